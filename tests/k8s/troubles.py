"""What is broken, one thing after the other, and the alerts that it must raise."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from tests.integration.looking import bound_records, configure
from tests.k8s.scene import Scene, closed_port

__all__ = ["TROUBLES", "Trouble"]

DOWN = closed_port()
Step = Callable[[Scene], object]


@dataclass(frozen=True)
class Trouble:
    """``breaks``, the alerts that must fire then, ``mends``."""

    name: str
    breaks: Step
    wanted: frozenset[str]
    mends: Step = lambda _: None


def trouble(name: str, breaks: Step, *wanted: str, mends: Step = lambda _: None) -> Trouble:
    return Trouble(name, breaks, frozenset(wanted), mends)


def expire(scene: Scene) -> None:
    """Events that the topic loses while nobody reads."""
    scene.worker.terminate()
    scene.send(60)
    scene.delete_unread()
    scene.start_worker()


def pages(scene: Scene) -> None:
    """What is served is no picture: see ``provoke``, which serves it under this name."""
    scene.keep_sending(10, lambda n: scene.pictures.url("page.jpg"))


def restart(scene: Scene) -> None:
    """Five times: it dies each time, as one without memory would."""
    for _ in range(5):
        scene.worker.kill()
        scene.start_worker()


def same_name(scene: Scene) -> None:
    """Two workers under one transactional id."""
    scene.worker.terminate()
    scene.start_worker(IQA_KAFKA__TRANSACTIONAL_ID="pod-0")
    scene.start_second(IQA_KAFKA__TRANSACTIONAL_ID="pod-0")

    scene.keep_sending(24)


def one_name_less(scene: Scene) -> None:
    scene.hush()
    scene.end_second()
    scene.worker.terminate()
    scene.start_worker()


def wrong_expectation(scene: Scene) -> None:
    scene.probe.terminate()
    scene.start_probe(IQA_PROBE__EXPECTED_PHOTO="low", IQA_PROBE__EXPECTED_CERTIFICATE="low")


def probe_again(scene: Scene) -> None:
    scene.probe.kill()
    scene.start_probe()


def refuse(scene: Scene) -> None:
    """Verdicts are larger than the topic takes from now on."""
    bound_records(scene.fleet, 900, scene.fleet.settings.topics.verdicts)
    scene.send(20)


def take_again(scene: Scene) -> None:
    bound_records(scene.fleet, 4_000_000, scene.fleet.settings.topics.verdicts)


def new_worker(scene: Scene) -> None:
    scene.worker.kill()
    scene.start_worker()


def without_worker(scene: Scene) -> None:
    scene.worker.kill()


def stop_redis(scene: Scene) -> None:
    scene.redis.stop()
    scene.send(20)


def freeze_kafka(scene: Scene) -> None:
    scene.send(200)
    scene.node.node.freeze()


def many_of_one_kind(scene: Scene) -> None:
    """Twelve hundred verdicts on five drawings: another population than any reference."""
    scene.send(1200)


def slow_burst(scene: Scene) -> None:
    """Six thousand events for a host that takes seconds for each, and a topic that forgets within an hour."""
    configure(scene.fleet, "retention.ms", "3600000", scene.fleet.settings.topics.uploads)
    scene.send_for_slow_host(9000, 60)


TROUBLES = (
    trouble("a service that no profile is for", lambda scene: scene.send(15, service="nobody"), "IqaUnknownServices"),
    trouble(
        "twelve hundred records that are no events",
        lambda scene: scene.produce(scene.fleet.settings.topics.uploads, b"no json", 1200),
        "IqaDeadLetters",
        "IqaDeadLettersWait",
    ),
    trouble("web pages in place of pictures", pages, "IqaUnscorable", mends=Scene.hush),
    trouble(
        "a host that is down",
        lambda scene: scene.keep_sending(10, lambda n: f"{DOWN}/{uuid.uuid4().hex}.jpg"),
        "IqaFetchesFail",
        mends=Scene.hush,
    ),
    trouble("scores of another population", many_of_one_kind, "IqaScoresDrift"),
    trouble("decoders that are killed", lambda scene: scene.kill_decoders(30), "IqaDecodersDie"),
    trouble(
        "records on the verdicts topic that are none",
        lambda scene: scene.produce(scene.fleet.settings.topics.verdicts, b"no verdict", 5),
        "IqaProjectionUnreadable",
    ),
    trouble("verdicts larger than the topic takes", refuse, "IqaRecordsRefused", mends=take_again),
    trouble("known pictures judged otherwise", wrong_expectation, "IqaProbeWrong", mends=probe_again),
    trouble("no probe", lambda scene: scene.probe.kill(), "IqaProbeGone", mends=probe_again),
    trouble("hardly a file may be opened", lambda scene: scene.bound_files(), "IqaFilesRunOut", mends=new_worker),
    trouble("members that come and go", lambda scene: scene.join_and_leave(9), "IqaRebalanceStorm"),
    trouble("retention while no worker runs", expire, "IqaEventsExpired"),
    trouble("a worker that dies over and over", restart, "IqaRestarts"),
    trouble(
        "a second version for long",
        lambda scene: scene.start_second(IQA_TEXT="strict"),
        "IqaVersionsDiffer",
        mends=Scene.end_second,
    ),
    trouble("two under one transactional id", same_name, "IqaProducersFenced", mends=one_name_less),
    trouble(
        "Redis stopped",
        stop_redis,
        "IqaRedisAway",
        "IqaProbeNotInRedis",
        mends=lambda scene: scene.redis.start(),
    ),
    trouble(
        "Kafka frozen, events in flight",
        freeze_kafka,
        "IqaBrokerSilent",
        "IqaNotReady",
        "IqaProbeLost",
        mends=lambda scene: scene.node.node.thaw(),
    ),
    trouble(
        "no worker",
        without_worker,
        "IqaAbsent",
        "IqaNoneJoined",
        "IqaWorkerDown",
        "IqaPartitionsUnowned",
        "IqaProbeLost",
        mends=Scene.start_worker,
    ),
    trouble(
        "a burst for a slow host, and a topic that forgets",
        slow_burst,
        "IqaLagGrows",
        "IqaRetentionNear",
        "IqaEventHangs",
        "IqaVerdictsLateFast",
        "IqaLagOld",
    ),
)
