"""Odd arguments of every command: one line or a usage box that says what is wrong, never a traceback."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from tests.pictures import encode, photo
from tests.worker.helpers import Run

Case = tuple[tuple[str, ...], dict[str, str]]

LONG = "/tmp/" + "x" * 300
BYTES = "no-utf-8-\udcff"
"""As a byte that is not UTF-8 arrives from the shell."""
NO_FOLDERS = ("/proc/x", "/proc/x/y", "/etc/passwd", "/dev/null", "/dev/null/x", LONG)
PATHS = (*NO_FOLDERS, "/nowhere", "/etc", "/", "BINARY", "EMPTY", "LOOP", BYTES, "a\nb", "[red]", "~nobody/x")


def paths() -> Iterator[Case]:
    """Every place for a path with every odd path."""
    for path in PATHS:
        if path not in {"/etc", "/"}:
            yield ("score", path), {"IQA_ENGINES__DIRECTORY": "/nowhere"}
        for command in ("evaluate", "fit", "check"):
            yield ("calibrate", command, path), {}
        yield ("calibrate", "check", f"{path}.yaml"), {}
        if path != "/":
            yield ("calibrate", "benchmark", f"photos={path}", "/proc/out"), {}
            yield ("calibrate", "benchmark", path, "/proc/out"), {}
        yield ("engines", "list", "--directory", path), {}
        yield ("engines", "list"), {"IQA_ENGINES__DIRECTORY": path}
        yield ("engines", "verify", "--directory", path, "--pictures", path), {}
        yield ("engines", "bench", "--engine", path, "--seconds", "0.1"), {}
        yield ("engines", "bench", "--directory", path, "--engine", "ppocrv6-small-det", "--seconds", "0.1"), {}
        yield ("engines", "import", "mmocr", "--kind", "dbnet", "--checkpoint", path, "--directory", path), {}
        yield ("engines", "train", "--data", f"clive={path}", "--out", path), {}
        for setting in ("PROFILE", "PROFILES", "SHADOW_PROFILE", "KAFKA__PROPERTIES_FILE", "REDIS__URL_FILE"):
            wanted = f"{path}.yaml" if setting == "SHADOW_PROFILE" else path
            yield ("worker", "run"), {f"IQA_{setting}": wanted, "IQA_ENGINES__DIRECTORY": "/nowhere", "IQA_HTTP__PORT": "0"}
        yield ("verdict", "get", "a"), {"IQA_REDIS__URL_FILE": path}
    for path in NO_FOLDERS:
        yield ("engines", "fetch", "--directory", path), {}
        yield ("engines", "fetch"), {"IQA_ENGINES__DIRECTORY": path}
        yield ("demo", "--folder", path), {}
        yield ("calibrate", "benchmark", "--size", "100", "photos=PHOTOS", path), {}


def sent() -> Iterator[Case]:
    """What nobody could fetch, and ids that are none."""
    odd: list[str] = [
        "",
        " ",
        "notaurl",
        "ftp://x",
        "file:///etc/passwd",
        "file://",
        "http://",
        "http://[",
        "http://h:99999/",
        "-",
    ]
    odd += [
        "s3://",
        "s3://bucket",
        "s3:///key",
        "http:///x",
        "javascript:alert(1)",
        "http://a b/",
        "http://h/\n",
        f"http://h/{BYTES}",
    ]
    for url in odd:
        yield ("send", "--", url), {}
    for image_id in ("", " ", BYTES, "x" * 100_000):
        yield ("send", "http://h/a", "--image-id", image_id), {}
    yield ("send", "http://h/a", "--service", ""), {}
    yield ("send", "http://h/a", "http://h/b", "--image-id", "x"), {}


def redis() -> Iterator[Case]:
    """Keys, times and addresses."""
    for key in ("", " ", BYTES, "x" * 100_000):
        yield ("verdict", "get", key), {"IQA_REDIS__URL": "redis://127.0.0.1:1/0", "IQA_REDIS__TIMEOUT_S": "0.2"}
    for wait in ("nan", "inf", "-1", "soon"):
        yield ("verdict", "get", "a", "--wait", wait), {}
    for url in ("x", "http://h", "redis://h:99999", "redis://h:x", "unix:///etc/passwd", "redis://127.0.0.1:1/x", "rediss://"):
        yield ("verdict", "get", "a"), {"IQA_REDIS__URL": url, "IQA_REDIS__TIMEOUT_S": "0.2"}
    for command in (("projection", "run"), ("projection", "rebuild")):
        yield command, {"IQA_REDIS__URL": ""}
        yield command, {"IQA_REDIS__URL": "x"}


def kafka() -> Iterator[Case]:
    """Dead letters and topics, with no broker to be had."""
    for command, option in itertools.product(("list", "stats", "replay"), ("--since", "--until")):
        for value in ("", "x", "2026-13-01", "9999-99", "0000-01-01", BYTES):
            yield ("dlq", command, option, value), {}
    for arguments in (
        ("list", "--limit", "0"),
        ("replay", "--rate", "-1"),
        ("replay", "--rate", "nan"),
        ("replay", "--rate", "x"),
    ):
        yield ("dlq", *arguments), {}
    yield ("dlq", "replay", "--max-replays", "0"), {}
    for command in ("list", "stats", "replay"):
        yield ("dlq", command), {"IQA_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    for rows in (("--partitions", "0"), ("--replication", "0"), ("--partitions", "x")):
        yield ("topics", "create", *rows), {}


def names() -> Iterator[Case]:
    """Engines, hosts, services, commands."""
    for name in ("nothing", "", "+", "fast+nothing", "../x", BYTES, "ppocrv6-small-det"):
        yield ("engines", "verify", "--quality", name), {}
    for runtime in ("tensorrt", "", "x"):
        yield ("engines", "verify", "--runtime", runtime), {}
    yield ("engines", "bench", "--batch", "0"), {}
    yield ("calibrate", "benchmark", "/nowhere"), {}
    yield ("calibrate", "benchmark", "nobody=/tmp", "/proc/out"), {}
    for host in ("nowhere.invalid", "256.1.1.1", "::1::", BYTES, "x" * 300):
        yield ("worker", "run"), {"IQA_HTTP__HOST": host, "IQA_ENGINES__DIRECTORY": "/nowhere"}
    yield ("worker", "run"), {"IQA_HTTP__PORT": "TAKEN", "IQA_ENGINES__DIRECTORY": "/nowhere"}
    yield ("score", "PHOTOS", "--service", ""), {}
    yield ("score", "PHOTOS"), {"IQA_PROFILES": "/nowhere", "IQA_ENGINES__DIRECTORY": "/nowhere"}
    yield ("score", "PHOTOS"), {"IQA_ENGINES__QUALITY": "+"}
    odd: list[tuple[str, ...]] = [(), ("worker",), ("scoer",), ("--nothing",), ("score",), (BYTES,), ("dlq", BYTES)]
    for arguments in odd:
        yield arguments, {}


def told(case: Case) -> str:
    arguments, environment = case
    text = " ".join(("iqa", *arguments, *(f"{name}={value}" for name, value in environment.items())))
    return ascii(text)[1:90]


CASES = [*paths(), *sent(), *redis(), *kafka(), *names()]


def test_there_are_enough_of_them() -> None:
    """A hundred were asked for."""
    assert len(CASES) > 300


@pytest.fixture(scope="module")
def stands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the words in capitals stand for."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "empty").touch()
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "photos").mkdir()
    for number in range(4):
        (folder / "photos" / f"{number}.jpg").write_bytes(encode(photo(seed=number)))
    with socket.create_server(("0.0.0.0", 0)) as taken:
        names = ("binary", "empty", "loop", "photos")
        yield {name.upper(): str(folder / name) for name in names} | {"TAKEN": str(taken.getsockname()[1])}


@pytest.mark.parametrize("case", CASES, ids=told)
def test_no_command_ends_in_a_traceback(iqa: Run, case: Case, stands: dict[str, str]) -> None:
    """Code 1 or 2 (0 where the odd is fine), and at most one line beside logs in JSON; or typer's usage box."""

    def real(text: str) -> str:
        for name, value in stands.items():
            text = text.replace(name, value)
        return text

    arguments, environment = case
    code, out, err = iqa(*map(real, arguments), **{name: real(value) for name, value in environment.items()})
    lines = [line for line in err.splitlines() if not line.startswith("{")]
    assert code in {0, 1, 2}, err
    assert "Traceback" not in err
    assert "internal error" not in err
    if code and not any(line.lstrip().startswith("Usage: ") for line in (*lines, *out.splitlines())):
        assert len(lines) == 1, err
        assert lines[0].startswith(("iqa: ", "no verdict on ")) or arguments[:2] == ("calibrate", "check"), err
