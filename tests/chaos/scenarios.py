"""What is broken, how, and for how long. Each scenario acts while events keep coming; the runner counts afterwards."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.load import Load
from tests.chaos.stage import NotHereError, Stage
from tests.integration.fleet import WorkerProcess
from tests.integration.kafka_node import KafkaNode

__all__ = ["SCENARIOS", "Form", "Scenario"]

BAD_KINDS = ("ok", "drip", "silent", "reset", "short", "long", "flaky", "missing")


@dataclass(frozen=True)
class Form:
    """How much of it: events that are sent at most, how often something is done, how long something stays broken."""

    events: int
    times: int
    seconds: float


@dataclass(frozen=True)
class Scenario:
    """One way to break things.

    Attributes:
        act: breaks things, and mends them; called while events are being sent.
        short: the form for every change.
        long: the form by command.
        kind: how the picture of each number is served.
        whole: all events are sent, however soon ``act`` is over; else sending ends with it.
        most_pause_s: the longest time without any verdict that is tolerated, or ``None`` where none is promised.

    """

    name: str
    act: Callable[[Stage, Load, Form], None]
    short: Form
    long: Form
    kind: Callable[[int], str] = lambda _: "ok"
    whole: bool = False
    most_pause_s: float | None = None


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
        stage.workers[index].ask_to_stop()
        leaving.append(stage.workers[index])
        stage.replace(index)
    require_polite_ends(leaving)


def coming_and_going(stage: Stage, load: Load, form: Form) -> None:
    """Every two seconds one more worker joins, or the oldest leaves."""
    leaving = []
    for number in range(form.times):
        if number % 2:
            leaving.append(stage.workers.pop(0))
            leaving[-1].ask_to_stop()
        else:
            stage.workers.append(stage.fleet.start())
        stage.sleep(2.0)
    require_polite_ends(leaving)


def require_polite_ends(leaving: Sequence[WorkerProcess]) -> None:
    """Workers drain and end with 0, or by the signal itself if it came before they had begun."""
    codes = [worker.wait() for worker in leaving]
    if not set(codes) <= {0, -signal.SIGTERM}:
        raise AssertionError(f"exit codes after SIGTERM: {codes}")


def stop_brokers(stage: Stage, load: Load, form: Form) -> None:
    """The broker that leads the most partitions is stopped (its leaders move), and comes back; then the next one."""
    _without_brokers(stage, stage.fleet.settings.topics.uploads, form, KafkaNode.stop)


def kill_brokers(stage: Stage, load: Load, form: Form) -> None:
    """The same with SIGKILL: the controller has to find out."""
    _without_brokers(stage, stage.fleet.settings.topics.verdicts, form, KafkaNode.kill)


def _without_brokers(stage: Stage, topic: str, form: Form, end: Callable[[KafkaNode], None]) -> None:
    for _ in range(form.times):
        leads = stage.cluster.leads(topic)
        node = stage.cluster.nodes[max(set(leads), key=leads.count)]
        end(node)
        stage.sleep(form.seconds)
        node.start()
        stage.cluster.wait_in_sync(topic)


def slow_network(stage: Stage, load: Load, form: Form) -> None:
    """Everything between workers and brokers takes 150 ms longer each way."""
    for link in stage.cluster.links:
        link.delay(0.15)
    stage.sleep(form.seconds)
    for link in stage.cluster.links:
        link.heal()


def cut_network(stage: Stage, load: Load, form: Form) -> None:
    """Workers lose all brokers, and get them back."""
    for _ in range(form.times):
        for link in stage.cluster.links:
            link.cut()
        stage.sleep(form.seconds)
        for link in stage.cluster.links:
            link.heal()
        seen = load.answered()
        stage.wait(lambda seen=seen: load.answered() > seen + 20 or load.all_sent(), 90, "verdicts")  # type: ignore[misc]


def half_open(stage: Stage, load: Load, form: Form) -> None:
    """All connections of the workers fall silent without a goodbye; new ones work."""
    for _ in range(form.times):
        for link in stage.cluster.links:
            link.silence()
        seen = load.answered()
        stage.wait(lambda seen=seen: load.answered() > seen + 60 or load.all_sent(), 120, "verdicts")  # type: ignore[misc]


def redis_killed(stage: Stage, load: Load, form: Form) -> None:
    """SIGKILL for Redis, which keeps nothing; it comes back empty. Nobody lifts a hand."""
    for _ in range(form.times):
        stage.redis.stop()
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


def disk_full(stage: Stage, load: Load, form: Form) -> None:
    """No byte is left on one broker's disk; it gives up, the disk is cleared, it comes back."""
    if not stage.cluster.can_fill_disk:
        raise NotHereError("the right to mount a small file system")
    topic, node = stage.fleet.settings.topics.verdicts, stage.cluster.nodes[-1]
    stage.cluster.fill_disk()
    stage.wait(lambda: not node.running(), 120, "the end of the broker whose disk is full")
    stage.sleep(form.seconds)
    stage.cluster.free_disk()
    node.start()
    stage.cluster.wait_in_sync(topic)


def bad_hosts(stage: Stage, load: Load, form: Form) -> None:
    """One byte a second, no answer, RST, lengths that lie, 503 twice, 404: the runner looks at every reason."""


def poison(stage: Stage, load: Load, form: Form) -> None:
    """One partition is full of what is no event: all of it becomes dead letters, and nothing waits for it."""
    stage.send_poison(form.times)


def clock_jumps(stage: Stage, load: Load, form: Form) -> None:
    """One of two workers lives an hour ahead, then two hours behind, then in the present again.

    What it puts off meanwhile is tried again by either of them.
    """
    stage.workers[0].ask_to_stop()
    stage.workers[0].wait()
    stage.replace(0, **stage.skewed)
    stage.have(2)
    stage.jump(3600)
    stage.sleep(form.seconds)
    stage.jump(-7200)
    stage.sleep(form.seconds)
    stage.jump(0)


def every_kind(number: int) -> str:
    """Good pictures and all that go wrong, by turns."""
    return BAD_KINDS[number % len(BAD_KINDS)]


def some_flaky(number: int) -> str:
    """Now and then a picture that comes only when it is asked for a third time."""
    return "ok" if number % 20 else "flaky"


SCENARIOS = (
    Scenario("kill_workers", kill_workers, Form(600, 4, 0), Form(10_000, 50, 0), whole=True, most_pause_s=15),
    Scenario("sigterm_storm", sigterm_storm, Form(500, 4, 0), Form(3000, 25, 0), whole=True),
    Scenario("coming_and_going", coming_and_going, Form(2000, 5, 0), Form(10_000, 30, 0)),
    Scenario("stop_brokers", stop_brokers, Form(4000, 1, 2), Form(20_000, 6, 10)),
    Scenario("kill_brokers", kill_brokers, Form(4000, 1, 2), Form(20_000, 6, 10)),
    Scenario("slow_network", slow_network, Form(1000, 1, 6), Form(5000, 1, 60)),
    Scenario("cut_network", cut_network, Form(2000, 1, 4), Form(10_000, 5, 20)),
    Scenario("half_open", half_open, Form(2000, 1, 0), Form(10_000, 4, 0)),
    Scenario("redis_killed", redis_killed, Form(2000, 1, 2), Form(10_000, 5, 20)),
    Scenario("redis_frozen", redis_frozen, Form(2000, 1, 4), Form(10_000, 1, 120)),
    Scenario("redis_full", redis_full, Form(2000, 1, 4), Form(10_000, 1, 60)),
    Scenario("disk_full", disk_full, Form(6000, 1, 1), Form(20_000, 1, 20)),
    Scenario("bad_hosts", bad_hosts, Form(96, 1, 0), Form(800, 1, 0), kind=every_kind, whole=True),
    Scenario("poison", poison, Form(300, 300, 0), Form(3000, 5000, 0), whole=True),
    Scenario("clock_jumps", clock_jumps, Form(1500, 1, 3), Form(6000, 1, 20), kind=some_flaky),
)
