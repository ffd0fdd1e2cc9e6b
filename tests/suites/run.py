"""Every file of every suite, by all decoders."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.suites.compare import Finding, judge
from tests.suites.references import WHITE, Reference, Seen, small
from worker.errors import PictureError
from worker.intake.backdrop import DARK
from worker.intake.header import Picture

__all__ = ["Record", "Run", "most_memory", "walk"]

CHILD = b"worker.intake.decoder_child"


@dataclass(frozen=True)
class Record:
    """One file of one suite.

    Attributes:
        suite: the folder's name.
        file: its path below that.
        finding: what was made of it.
        seconds: that decoding here took.

    """

    suite: str
    file: str
    finding: Finding
    seconds: float


@dataclass
class Run:
    """All files.

    Attributes:
        names: of suites, those without files too.
        records: in order of suite and file.
        deaths: of decoding processes.
        seconds: of all, with the references.
        memory: the most bytes that a decoding process held at once; 0 where the system does not tell.
        memory_file: after which file that was first seen.

    """

    names: list[str]
    records: list[Record] = field(default_factory=list)
    deaths: int = 0
    seconds: float = 0.0
    memory: int = 0
    memory_file: str = ""


def walk(
    folder: Path,
    decode: Callable[[bytes], Picture],
    others: Mapping[str, Reference],
    memory: Callable[[], int] | None = None,
) -> Run:
    """Decode all files below the folders in ``folder``; ``decode`` is ours, ``memory`` says the most bytes so far.

    Raises:
        DecodingError: decoding processes do not start.

    """
    suites = sorted(path for path in folder.iterdir() if path.is_dir())
    done, began, memory = Run([suite.name for suite in suites]), time.monotonic(), memory or most_memory
    for suite in suites:
        for path in sorted(path for path in suite.rglob("*") if path.is_file()):
            started = time.monotonic()
            ours = _ours(path.read_bytes(), decode)
            took = time.monotonic() - started
            finding = _compare(ours, path, others)
            done.records.append(Record(suite.name, str(path.relative_to(suite)), finding, took))
            if (most := memory()) > done.memory:
                done.memory, done.memory_file = most, f"{suite.name}/{path.relative_to(suite)}"
    done.seconds = time.monotonic() - began
    return done


def _ours(data: bytes, decode: Callable[[bytes], Picture]) -> Seen | str:
    try:
        picture = decode(data)
    except PictureError as error:
        return f"{error.code} ({error.detail})"
    return picture.width, picture.height, small(picture.pixels)


def _compare(ours: Seen | str, path: Path, others: Mapping[str, Reference]) -> Finding:
    finding = judge(ours, {name: reference(path, WHITE) for name, reference in others.items()})
    if finding.kind == "pixels":
        on_dark = judge(ours, {name: reference(path, DARK[0]) for name, reference in others.items()})
        if on_dark.kind == "same":
            return Finding("dark ground", finding.told)
    return finding


def most_memory(processes: Path = Path("/proc"), parent: int | None = None) -> int:
    """The most bytes that a living decoding process of ours held at once, shared pixels included; 0 where none tells.

    Args:
        processes: where the system tells of them (proc(5): ``status`` and ``cmdline``).
        parent: the process that started them; this one by default.

    """
    most, parent = 0, os.getpid() if parent is None else parent
    for status in processes.glob("[0-9]*/status"):
        try:
            told = {name: rest.split() for name, _, rest in (line.partition(":") for line in status.read_text().splitlines())}
            if told["PPid"] == [str(parent)] and CHILD in (status.parent / "cmdline").read_bytes():
                most = max(most, int(told["VmHWM"][0]) * 1024)
        except (OSError, KeyError, ValueError):
            continue  # it has ended meanwhile
    return most
