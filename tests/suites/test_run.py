"""A run over a folder, with decoders that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import corners, encode
from tests.suites.__main__ import main
from tests.suites.references import SIDE, Reference, Seen, small
from tests.suites.report import as_json, differs, lines, table
from tests.suites.run import most_memory, walk
from worker.errors import PictureError
from worker.intake.header import Picture

PICTURE = Picture(np.full((7, 9, 3), 10, np.uint8), 9, 7, "PNG")


def decode(data: bytes) -> Picture:
    if data == b"bad":
        raise PictureError("damaged", "broken on purpose")
    return PICTURE


def reference(path: Path, ground: int) -> Seen | None:
    """By the file's name: what is in it."""
    name = path.stem
    if name == "nobody" or "bad" in name:
        return None
    size = (7, 9) if name == "turned" else (9, 7)
    level = {"other": 90, "logo": 12 if ground < 255 else 255}.get(name, 12)
    return (*size, np.full((SIDE, SIDE, 3), level, np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one/good", "one/turned", "two/other", "two/deep/nobody", "two/logo"):
        file = tmp_path / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"fine")
    (tmp_path / "two" / "kept.png").write_bytes(b"bad")
    (tmp_path / "two" / "bad.png").write_bytes(b"bad")
    (tmp_path / "beside.png").write_bytes(b"in no suite")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_every_file_of_every_suite_is_judged(folder: Path) -> None:
    """In the order of their names, files in folders below too; one beside the suites is none."""
    memory: Iterator[int] = iter([5, 9, 9, 2, 2, 2, 2])
    done = walk(folder, decode, {"a": reference, "b": reference}, lambda: next(memory))
    assert [(record.suite, record.file, record.finding.kind) for record in done.records] == [
        ("one", "good.png", "same"), ("one", "turned.png", "size"), ("two", "bad.png", "refused"),
        ("two", "deep/nobody.png", "taken here"), ("two", "kept.png", "refused here"), ("two", "logo.png", "dark ground"),
        ("two", "other.png", "pixels"),
    ]  # fmt: skip
    assert (done.memory, done.memory_file) == (9, "one/turned.png")
    assert differs(done)


def test_the_report_names_what_differs(folder: Path) -> None:
    """Counts by suite; lines for differences alone, unless all are wanted."""
    done = walk(folder, decode, {"a": reference, "b": reference}, lambda: 3_000_000)
    counted = {line.split()[0]: [int(count) for count in line.split()[1:]] for line in list(table(done))[1:]}
    assert counted["one"] == [2, 1, 0, 0, 0, 1, 0, 0, 0]
    assert counted["two"] == [5, 0, 1, 1, 1, 0, 1, 1, 0]
    assert counted["empty"] == [0] * 9
    assert counted["all"] == [7, 1, 1, 1, 1, 1, 1, 1, 0]
    told = "\n".join(lines(done))
    assert "one/turned.png: here 9 x 7; a 7 x 9; b 7 x 9" in told
    assert "two/kept.png: here damaged (broken on purpose)" in told
    assert "one/good.png" not in told.replace("longest here", "").split("0 decoding processes")[0]
    assert "one/good.png" in "\n".join(lines(done, everything=True)).split("0 decoding processes")[0]
    assert "3 MB" in told


def test_a_death_alone_is_a_fault(folder: Path) -> None:
    """Though every file is refused by all."""
    done = walk(folder, decode, {}, lambda: 0)
    done.records.clear()
    assert not differs(done)
    done.deaths = 1
    assert differs(done)
    assert as_json(done)["deaths"] == 1


def test_memory_is_that_of_decoding_processes_of_this_one(tmp_path: Path) -> None:
    """Not of others' children, nor of other programs; one that has just ended has no line."""
    for process, parent, program, most in (
        (11, 7, "worker.intake.decoder_child", "VmHWM:\t    2000 kB\n"), (12, 7, "convert", "VmHWM:\t    9000 kB\n"),
        (13, 8, "worker.intake.decoder_child", "VmHWM:\t    8000 kB\n"), (14, 7, "worker.intake.decoder_child", ""),
        (15, 7, "worker.intake.decoder_child", "VmHWM:\t    3000 kB\n"),
    ):  # fmt: skip
        home = tmp_path / str(process)
        home.mkdir()
        (home / "status").write_text(f"Name:\tpython\nPPid:\t{parent}\n{most}")
        (home / "cmdline").write_bytes(b"\0".join([b"python", b"-m", program.encode()]))
    assert most_memory(tmp_path, 7) == 3000 * 1024


def test_the_command_decodes_in_a_child(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture that is one, and references that see it so, or turned: exit codes 0 and 1."""
    suite = tmp_path / "suites" / "own"
    suite.mkdir(parents=True)
    (suite / "corners.png").write_bytes(encode(corners(64, 48), "PNG"))
    seen = small(np.asarray(corners(64, 48), np.uint8))
    right: dict[str, Reference] = {"a": lambda *_: (64, 48, seen), "b": lambda *_: (64, 48, seen)}
    told = tmp_path / "told.json"
    assert main([str(suite.parent), "--json", str(told), "--list"], right) == 0
    assert "own/corners.png: here 64 x 48" in capsys.readouterr().out
    (file,) = json.loads(told.read_text())["files"]
    assert (file["suite"], file["file"], file["kind"]) == ("own", "corners.png", "same")
    flipped: dict[str, Reference] = {"a": lambda *_: (64, 48, seen[::-1]), "b": lambda *_: (64, 48, seen[::-1])}
    assert main([str(suite.parent)], flipped) == 1
    assert main([str(suite.parent)], {"a": right["a"]}) == 2
