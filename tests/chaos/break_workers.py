"""Workers that die, leave, come, live in another time, or share what each should have for itself."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from tests.chaos.load import Load
from tests.chaos.scenario import Form
from tests.chaos.stage import Stage
from tests.integration.fleet import WorkerProcess

__all__ = ["clock_jumps", "coming_and_going", "kill_workers", "shared_transactional_id", "sigterm_storm"]


def kill_workers(stage: Stage, load: Load, form: Form) -> None:
    """SIGKILL for a random one of two workers, again and again; a new one comes in its place."""
    for _ in stage.steps(load, form.times):
        index = stage.rng.randrange(len(stage.workers))
        stage.workers[index].kill()
        stage.replace(index)


def sigterm_storm(stage: Stage, load: Load, form: Form) -> None:
    """SIGTERM for a random worker; its successor starts at once, while it still drains."""
    leaving = []
    for _ in stage.steps(load, form.times):
        index = stage.rng.randrange(len(stage.workers))
        stage.let_go(stage.workers[index])
        leaving.append(stage.workers[index])
        stage.replace(index)
    require_polite_ends(leaving)


def coming_and_going(stage: Stage, load: Load, form: Form) -> None:
    """Every two seconds one more worker joins, or the oldest leaves."""
    leaving = []
    for number in range(form.times):
        if number % 2:
            leaving.append(stage.workers.pop(0))
            stage.let_go(leaving[-1])
        else:
            stage.add()
        stage.sleep(2.0)
    require_polite_ends(leaving)


def require_polite_ends(leaving: Sequence[WorkerProcess]) -> None:
    """Workers drain and end with 0, or by the signal itself if it came before they had begun."""
    codes = [worker.wait() for worker in leaving]
    if not set(codes) <= {0, -signal.SIGTERM}:
        raise AssertionError(f"exit codes after SIGTERM: {codes}")


def clock_jumps(stage: Stage, load: Load, form: Form) -> None:
    """One of two workers lives an hour ahead, then two hours behind, then in the present again.

    What it puts off meanwhile is tried again by either of them.
    """
    stage.let_go(stage.workers[0])
    stage.workers[0].wait()
    stage.replace(0, **stage.skewed)
    stage.have(2)
    stage.jump(3600)
    stage.sleep(form.seconds)
    stage.jump(-7200)
    stage.sleep(form.seconds)
    stage.jump(0)


def shared_transactional_id(stage: Stage, load: Load, form: Form) -> None:
    """Both workers have one transactional id, by a mistake in a setting: each takes it from the other again and again."""
    stage.sleep(form.seconds)
    if not stage.counted("iqa_producers_fenced_total"):
        raise AssertionError("nobody was fenced")
