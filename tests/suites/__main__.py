"""``python -m tests.suites DIR``: each folder in DIR is a suite; where do we differ from two other decoders?

Prints a table, then the files of each kind of difference. Exit code 1 if pixels or sizes are others than both references agree
on, or a decoding process died.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.suites.compare import KINDS, Finding, judge
from tests.suites.references import Reference, Seen, references, small
from worker.errors import PictureError
from worker.intake.isolation import DecoderPool

SHOWN = ("size", "pixels", "refused here", "taken here")
MOST_PIXELS = 50_000_000
TIMEOUT_S = 30.0
MEMORY = 1_500_000_000


def look(path: Path, pool: DecoderPool, others: dict[str, Reference]) -> Finding:
    """One file, by all."""
    ours: Seen | str
    try:
        picture = pool.decode(path.read_bytes(), MOST_PIXELS)
        ours = picture.width, picture.height, small(picture.pixels)
    except PictureError as error:
        ours = f"{error.code} ({error.detail})"
    return judge(ours, {name: reference(path) for name, reference in others.items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="list files on which the references differ, too")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder")
    others = references()
    if len(others) < 2:
        print("needs two references: pip install 'pyvips[binary]', and ImageMagick's convert", file=sys.stderr)
        return 2
    deaths: list[int] = []
    pool = DecoderPool(1, TIMEOUT_S, MEMORY, lambda: deaths.append(1))
    began, listed, counts = time.monotonic(), list[str](), dict[str, Counter[str]]()
    try:
        for suite in sorted(path for path in options.folder.iterdir() if path.is_dir()):
            counts[suite.name] = Counter()
            for path in sorted(path for path in suite.rglob("*") if path.is_file()):
                finding = look(path, pool, others)
                counts[suite.name][finding.kind] += 1
                if finding.kind in SHOWN or (options.all and finding.kind == "unclear"):
                    listed.append(f"{finding.kind:13} {suite.name}/{path.relative_to(suite)}: {finding.told}")
    finally:
        pool.close()
    print(f"{'suite':16}{'files':>7}" + "".join(f"{kind:>14}" for kind in KINDS))
    for name, found in {**counts, "all": sum(counts.values(), Counter[str]())}.items():
        print(f"{name:16}{found.total():7}" + "".join(f"{found[kind]:14}" for kind in KINDS))
    print("\n".join(["", *sorted(listed), "", *(f"{kind}: {meaning}" for kind, meaning in KINDS.items())]))
    print(f"{len(deaths)} decoding processes died, {time.monotonic() - began:.0f} s")
    return 1 if deaths or any(line.startswith(("size ", "pixels ")) for line in listed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
