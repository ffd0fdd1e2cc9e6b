"""What is logged of an exception says where it came from, and is never long."""

from __future__ import annotations

import traceback

from worker.telemetry.tracebacks import CAUSES, CHARACTERS, FIRST, LAST, bounded_traceback

LEFT_OUT = 40
"""More characters than the words take that say how much was left out."""


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def told(error: BaseException) -> str:
    try:
        raise error
    except BaseException:
        return text_of(error)


def text_of(error: BaseException) -> str:
    return bounded_traceback((type(error), error, error.__traceback__))


def fall(depth: int, message: str) -> None:
    """``depth`` frames that differ, as those of real programs do."""
    if depth == 0:
        raise ValueError(message)
    namespace: dict[str, object] = {"fall": fall}
    exec(compile(f"def step{depth}(m):\n    fall({depth - 1}, m)\n", f"step{depth}.py", "exec"), namespace)
    namespace[f"step{depth}"](message)  # type: ignore[operator]


def fallen(depth: int, message: str = "down") -> ValueError:
    try:
        fall(depth, message)
    except ValueError as error:
        return error
    raise AssertionError


def test_as_python_tells_it() -> None:
    """Word for word, but for the carets: people and tools know the form."""
    try:
        try:
            raise KeyError("first")
        except KeyError as cause:
            raise ValueError("second") from cause
    except ValueError as error:
        found = text_of(error)
        lines = [line for line in traceback.format_exc().splitlines() if set(line) - {" ", "^", "~"} or not line]
    assert found.splitlines() == lines
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904 - that is what is tried
    except ValueError as error:
        assert "During handling of the above exception" in text_of(error)


def test_what_was_silenced_stays_silent() -> None:
    """``from None`` means it."""
    try:
        try:
            raise KeyError("secret")
        except KeyError:
            raise ValueError("told") from None
    except ValueError as error:
        assert "secret" not in text_of(error)


def test_deep_stacks_show_both_ends() -> None:
    """Our own code at the one, what failed at the other, and how many frames lie between."""
    found = told(fallen(60))
    # Two frames a step, and those of ``told``, ``fallen`` and the last call.
    assert f"({2 * 60 + 3 - FIRST - LAST} frames left out)" in found
    assert "in told" in found
    assert "in fallen" in found
    assert "in step1\n" in found
    assert found.endswith("ValueError: down")
    assert found.count("  File ") == FIRST + LAST


def test_long_chains_end() -> None:
    """The last exceptions of it, with a word that there were more; one that leads to itself ends too."""
    error = ValueError("0")
    for number in range(1, 100):
        later = ValueError(str(number))
        later.__cause__ = error
        error = later
    found = told(error)
    assert found.startswith("(what led to it is left out)")
    assert found.count("ValueError: ") == CAUSES
    assert found.endswith("ValueError: 99")
    round_trip = ValueError("round")
    round_trip.__cause__ = KeyError("trip")
    round_trip.__cause__.__cause__ = round_trip
    assert told(round_trip).count("ValueError: round") == 1


def test_long_messages_are_cut() -> None:
    """An event's whole body may be in one."""
    error = fallen(1, "x" * 1_000_000)
    error.add_note("n" * 1_000_000)
    last, note = told(error).splitlines()[-2:]
    assert last.endswith(f"({1_000_000 + len('ValueError: ') - CHARACTERS} characters left out)")
    assert max(len(last), len(note)) < CHARACTERS + LEFT_OUT


def test_the_whole_is_bounded() -> None:
    """Everything too large at once."""
    error = fallen(200, "m" * 5_000)
    for _ in range(20):
        later = fallen(200, "m" * 5_000)
        later.__cause__ = error
        error = later
    # A frame's two lines are short here; that each piece is cut, the other tests say.
    assert len(told(error)) < CAUSES * ((FIRST + LAST) * 200 + 2 * CHARACTERS)


def test_an_exception_that_cannot_say_what_it_is() -> None:
    """Logging it must not fail."""
    assert told(UnspeakableError()).endswith("UnspeakableError: <its message cannot be made: RuntimeError>")
