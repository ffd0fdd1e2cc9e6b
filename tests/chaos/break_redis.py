"""A Redis that goes, comes back empty or with what it had once, hangs, refuses, or is replaced by another."""

from __future__ import annotations

from tests.chaos.load import Load
from tests.chaos.scenario import Form
from tests.chaos.stage import Stage

__all__ = ["failover", "redis_frozen", "redis_full", "redis_killed", "snapshot_restored"]

SYNC_S = 60.0


def redis_killed(stage: Stage, load: Load, form: Form) -> None:
    """SIGKILL for Redis, which keeps nothing; it comes back empty. Nobody lifts a hand."""
    for _ in range(form.times):
        stage.redis.stop()
        stage.redis.forget_snapshot()
        stage.sleep(form.seconds)
        stage.redis.start()


def redis_frozen(stage: Stage, load: Load, form: Form) -> None:
    """Redis keeps its connections and answers nothing."""
    stage.redis.freeze()
    stage.sleep(form.seconds)
    stage.redis.thaw()


def redis_full(stage: Stage, load: Load, form: Form) -> None:
    """Redis refuses every write: out of memory."""
    stage.redis.limit_memory(1)
    stage.sleep(form.seconds)
    stage.redis.limit_memory(0)


def snapshot_restored(stage: Stage, load: Load, form: Form) -> None:
    """Redis is saved, goes on, is killed, and comes back with the older snapshot. Nobody lifts a hand."""
    for _ in stage.steps(load, form.times):
        stage.redis.save()
        stage.sleep(form.seconds)
        stage.redis.stop()
        stage.redis.start()


def failover(stage: Stage, load: Load, form: Form) -> None:
    """A replica that has fallen behind takes over, behind one address. By turns the old primary is demoted, and dies.

    Demoted, it keeps its connections and answers READONLY.
    """
    for number in range(form.times):
        stage.redis.add_replica()
        stage.wait(stage.redis.in_sync, SYNC_S, "a replica in step")
        stage.redis.cut_off_replica()
        stage.sleep(form.seconds)
        stage.redis.fail_over(demote=number % 2 == 0)
        stage.sleep(form.seconds)
