"""No test depends on how fast the machine is: what would make one so is not in the tests' source."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

HERE = Path(__file__).parent
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time"}
WAITS = {"acquire", "communicate", "flush", "join", "result", "wait_for"}
LEAST_S = 30
"""A bound below this is met by a machine that is merely busy."""
TIMEOUT_S = int(tomllib.loads((HERE.parent / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["timeout"])
CHANGES = (
    "gzip.compress",
    "datetime.now",
    "datetime.today",
    "date.today",
    "time.time",
    "os.urandom",
    "os.getpid",
    "uuid.uuid4",
    "secrets.",
    "random.",
)
"""What gives something else in each process: if a test's name is made of it, pytest-xdist stops, none runs."""
EXCEPTIONS = ("# not a bound", "# a promise")
"""In a line: a wait that must end, and a time that the worker promises to keep."""
ELSEWHERE = {"benchmarks", "bindings", "chaos", "fuzz", "parity"}
"""Programs of their own, which pytest does not run."""


def reads_a_clock(node: ast.AST) -> bool:
    """Whether a clock of ``time`` is asked somewhere in ``node``."""
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr.removesuffix("_ns") in CLOCKS
        and isinstance(each.func.value, ast.Name)
        and each.func.value.id == "time"
        for each in ast.walk(node)
    )


def timed_asserts(function: ast.FunctionDef) -> Iterator[int]:
    """Lines that assert something of a clock, or of what was computed from one."""
    timed = {
        name.id
        for each in ast.walk(function)
        if isinstance(each, ast.Assign) and reads_a_clock(each.value)
        for target in each.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    for each in ast.walk(function):
        if isinstance(each, ast.Assert):
            names = {name.id for name in ast.walk(each) if isinstance(name, ast.Name)}
            if reads_a_clock(each) or timed & names:
                yield each.lineno


def is_short_wait(call: ast.Call) -> bool:
    """Whether it gives up soon. ``wait`` is another matter: ``pause.wait(0.02)`` is a pause between two looks."""
    bounds = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"]
    if isinstance(call.func, ast.Attribute) and call.func.attr in WAITS:
        bounds += call.args
    given = [bound.value for bound in bounds if isinstance(bound, ast.Constant)]
    return any(isinstance(value, int | float) and 0 < value < LEAST_S for value in given)


def is_short_timeout(call: ast.Call) -> bool:
    """Whether it is a mark that ends a test sooner than others are ended."""
    given = [bound.value for bound in call.args if isinstance(bound, ast.Constant)]
    return ast.unparse(call.func) == "pytest.mark.timeout" and any(
        isinstance(value, int) and value < TIMEOUT_S for value in given
    )


def faults(source: str) -> list[tuple[int, str]]:
    """Lines that make a test depend on speed, with why."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    found = {
        (line, "asserts on a clock") for node in nodes if isinstance(node, ast.FunctionDef) for line in timed_asserts(node)
    }
    found |= {(call.lineno, "sleeps") for call in calls if ast.unparse(call.func) in {"time.sleep", "sleep"}}
    found |= {(call.lineno, "has a shorter time-out than all tests") for call in calls if is_short_timeout(call)}
    found |= {(call.lineno, f"waits for less than {LEAST_S} s") for call in calls if is_short_wait(call)}
    return sorted(found)


def changing_names(source: str) -> list[int]:
    """Lines where values outside of functions, such as parameters of tests, differ from process to process."""
    found = []
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += node.decorator_list
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(CHANGES):
            same = ast.unparse(node.func) == "gzip.compress" and any(keyword.arg == "mtime" for keyword in node.keywords)
            if not same and not (ast.unparse(node.func) == "random.Random" and node.args):
                found.append(node.lineno)
        pending += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "X = gzip.compress(b'a')",
        "@pytest.mark.parametrize('x', [uuid.uuid4()])\ndef test(x):\n    pass",
        "A = [random.random()]",
    ],
)
def test_names_that_change_are_found(source: str) -> None:
    """A packed text tells when it was packed: two workers that began in different seconds collected different tests."""
    assert changing_names(source)


def test_names_that_stay_are_left_alone() -> None:
    """What is made within a test is its own affair."""
    assert not changing_names("X = gzip.compress(b'a', mtime=0)\nR = random.Random(3)\ndef test():\n    os.urandom(3)")


def test_no_name_of_a_test_changes() -> None:
    """In any file that pytest collects from."""
    found = [
        f"{path.relative_to(HERE)}:{line}"
        for path in sorted(HERE.rglob("test_*.py"))
        if path != Path(__file__)
        for line in changing_names(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import time\ntime.sleep(1)", "sleeps"),
        ("from time import sleep\nsleep(1)", "sleeps"),
        ("def test():\n    began = time.monotonic()\n    f()\n    assert time.monotonic() - began < 5", "asserts on a clock"),
        ("def test():\n    took = time.perf_counter() - began\n    assert took < 5", "asserts on a clock"),
        ("reader.wait_for('a', 20)", "waits for less"),
        ("thread.join(5)", "waits for less"),
        ("process.communicate(timeout=10)", "waits for less"),
        ("@pytest.mark.timeout(200)\ndef test():\n    pass", "has a shorter time-out"),
    ],
)
def test_what_is_looked_for_is_found(source: str, why: str) -> None:
    """Each kind."""
    assert any(why in fault for _, fault in faults(source))


def test_what_is_no_bound_is_left_alone() -> None:
    """Pauses between looks, strings that are joined, waits without an end, conditions that are counted."""
    source = "pause.wait(0.02)\n', '.join(x)\nover.wait()\nthread.join(PATIENCE_S)\nend = time.monotonic() + 5\nassert f()"
    assert faults(source) == []


def test_no_test_depends_on_speed() -> None:
    """``wait_until``, injected clocks, bounds of ``PATIENCE_S``; a line that is neither says why (``EXCEPTIONS``)."""
    found = []
    for path in sorted(HERE.rglob("*.py")):
        if path.relative_to(HERE).parts[0] not in ELSEWHERE and path != Path(__file__):
            source = path.read_text(encoding="utf-8")
            lines = source.splitlines()
            told = [(line, why) for line, why in faults(source) if not any(mark in lines[line - 1] for mark in EXCEPTIONS)]
            found += [f"{path.relative_to(HERE)}:{line}: {why}" for line, why in told]
    assert not found, "\n".join(found)


def test_no_traceback_is_drawn() -> None:
    """A log that falls back to structlog's defaults fails, and is not merely slow: forty of them took a minute."""
    structlog.get_logger().exception("cheap", exc_info=ValueError("told"))
    structlog.reset_defaults()
    with pytest.raises(AssertionError, match="drawn with rich"):
        structlog.get_logger().exception("dear", exc_info=ValueError("drawn"))
