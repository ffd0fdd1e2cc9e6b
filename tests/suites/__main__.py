"""``python -m tests.suites DIR``: each folder in DIR is a suite; where do we differ from two other decoders?

Prints a table, then the files of each kind of difference. Exit code 1 if pixels or sizes are others than both references agree
on, or a decoding process died. With ``--cases DIR``: judges the files that ``DIR/expected.csv`` names; exit code 1 if any
verdict is another one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.suites import cases
from tests.suites.references import Reference, references
from tests.suites.report import as_json, differs, lines, table
from tests.suites.run import Run, walk
from worker.intake.isolation import DecoderPool
from worker.settings import load_settings

NEEDS = "needs two references: pip install 'pyvips[binary]', and ImageMagick's convert or magick (apt-get install imagemagick)"


def main(arguments: Sequence[str] | None = None, others: dict[str, Reference] | None = None) -> int:
    """Run, print, say how it went; ``others`` are the references, by default those of this machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="its folders are the suites")
    parser.add_argument("--list", action="store_true", help="list every file, and not only those that differ")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found of each file")
    parser.add_argument("--cases", type=Path, metavar="DIR", help="judge the files that DIR/expected.csv names")
    options = parser.parse_args(arguments)
    folder: Path = options.cases or options.folder or parser.error("a folder of suites, or --cases DIR")
    if not folder.is_dir():
        parser.error(f"{folder} is no folder")
    if options.cases:
        if not (folder / cases.NAME).is_file():
            parser.error(f"{folder} has no {cases.NAME}")
        return cases.run(folder, load_settings())
    others = references() if others is None else others
    if len(others) < 2:
        print(NEEDS, file=sys.stderr)
        return 2
    done = _run(folder, others)
    if options.json:
        options.json.write_text(json.dumps(as_json(done), indent=1) + "\n", encoding="utf-8")
    print("\n".join([*table(done), "", *lines(done, everything=options.list)]))
    return 1 if differs(done) else 0


def _run(folder: Path, others: dict[str, Reference]) -> Run:
    deaths: list[int] = []
    limits = load_settings().decode
    pool = DecoderPool(1, limits.timeout_s, limits.memory_bytes, lambda: deaths.append(1))
    try:
        done = walk(folder, lambda data: pool.decode(data, limits.max_pixels), others)
    finally:
        pool.close()
    done.deaths = len(deaths)
    return done


if __name__ == "__main__":
    raise SystemExit(main())
