"""Operations by hand, as ``k8s/monitoring/operations.md`` tells them: on a real broker, while workers work."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from calibration.profile_file import load_profile
from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import counted, samples, whole_topic
from tests.integration.test_delivery import pictures
from tests.integration.test_retries_and_replay import poisoned
from tests.integration.test_top import top
from tests.integration.test_whole_path import iqa
from tests.patience import PATIENCE_S
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events
from worker.stream.clients import make_admin
from worker.stream.dead_letters import Filter
from worker.stream.replay import Replayed, replay
from worker.stream.topic_facts import describe

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
ONCE = {"IQA_KAFKA__DELIVERY": "exactly_once"}
KINDS = 20


def send(fleet: Fleet, server: PictureServer, name: str, count: int = KINDS) -> set[str]:
    """Events of images ``name-0`` and so on."""
    events = [make_event(server.url(f"{number % KINDS}.jpg"), f"{name}-{number}") for number in range(count)]
    send_events(fleet.settings, events)
    return {event.image_id for event in events}


def joined(worker: WorkerProcess, wait_until: Wait, partitions: int = PARTITIONS) -> WorkerProcess:
    wait_until(lambda: worker.metric("iqa_assigned_partitions") == partitions, what=f"{partitions} partitions")
    return worker


def builds(worker: WorkerProcess) -> set[str]:
    """Fingerprints that it tells of itself."""
    (sample,) = samples(worker, "iqa_build_info")
    return set(sample.labels["fingerprint"].split(","))


def add(fleet: Fleet, topic: str, partitions: int, wait_until: Wait) -> None:
    """As ``kafka-topics.sh --alter --partitions`` does."""
    admin = make_admin(fleet.settings.kafka)
    for future in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        future.result(PATIENCE_S)
    wait_until(lambda: describe(admin, [topic])[topic].partitions == partitions, what="the broker's word on it")


def partitions_of(fleet: Fleet, topic: str) -> dict[str, set[int]]:
    """Of every key that lies on a topic: in which partitions."""
    found: dict[str, set[int]] = {}
    for message in whole_topic(fleet, topic):
        found.setdefault((message.key() or b"").decode(), set()).add(message.partition() or 0)
    return found


def test_partitions_are_added_while_a_worker_runs(fleet: Fleet, wait_until: Wait) -> None:
    """To the uploads, then to the verdicts: every event gets one verdict, no worker is restarted, and what breaks is told."""
    fleet.create_topics()
    names, more = fleet.settings.topics, 2 * PARTITIONS
    with PictureServer(pictures(KINDS)) as server:
        worker = joined(fleet.start(**ONCE), wait_until)
        wanted = send(fleet, server, "both", 120)
        wait_until(lambda: fleet.read() >= 20, what="20 verdicts")
        add(fleet, names.uploads, more, wait_until)
        wanted |= send(fleet, server, "uploads", 120)
        joined(worker, wait_until, more)
        wait_until(lambda: fleet.read() >= 240, what="a verdict on every image")
        told = iqa("topics", "check", **fleet.environment)
        assert told.returncode == 0, told.stderr
        assert f"{names.verdicts} has {PARTITIONS} partitions, {names.uploads} has {more} (should be as many)" in told.stdout
        shown = json.loads(top(fleet, "--json").stdout)["uploads"]["partitions"]
        assert len(shown) == more
        assert all(each["owner"] and each["end"] for each in shown)
        assert {len(found) for found in partitions_of(fleet, names.verdicts).values()} == {1}

        add(fleet, names.verdicts, more, wait_until)
        rounds = itertools.count()

        def in_new_ones() -> bool:
            # Producers hear of new partitions within ten seconds, and choose among the old ones until then.
            wanted.update(send(fleet, server, f"verdicts-{next(rounds)}", 12))
            return any(number >= PARTITIONS for found in partitions_of(fleet, names.verdicts).values() for number in found)

        wait_until(in_new_ones, what="verdicts in new partitions")
        again = send(fleet, server, "both", 120)
        wait_until(lambda: fleet.read() >= len(wanted) and all(fleet.seen[image] == 2 for image in again), what="all others")
        assert worker.terminate() == 0
        fleet.read()
    assert set(fleet.seen) == wanted
    assert {image for image, times in fleet.seen.items() if times != 1} == again
    # Compaction keeps both, wherever an image's key leads elsewhere now.
    split = {key for key, found in partitions_of(fleet, names.verdicts).items() if len(found) == 2}
    assert split
    assert split < again


@pytest.fixture
def next_profile(tmp_path: Path) -> Path:
    """The shipped profile's next version, which finds most pictures better."""
    shipped = Path(__file__).parents[2] / "calibration" / "profiles" / "recruitment.yaml"
    text = re.sub(r"^version: \d+$", "version: 999", shipped.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    text, changed = re.subn(r"(output_mapping:\n  medium: )\d+(\n  high: )\d+", r"\g<1>20\g<2>36", text)
    assert changed == 1
    path = tmp_path / "recruitment-next.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_profile_is_tried_on_the_side_rolled_out_and_rolled_back(fleet: Fleet, next_profile: Path, wait_until: Wait) -> None:
    """Two fingerprints during the roll-out, one after it, and after the way back the first one again."""
    fleet.create_topics()
    old_label, new_label = load_profile("recruitment").label, load_profile(str(next_profile)).label
    new_settings = ONCE | {"IQA_PROFILE": str(next_profile)}

    def judged(images: set[str]) -> set[tuple[str, str]]:
        wait_until(lambda: fleet.read() and images <= set(fleet.seen), what="a verdict on every image")
        return {(fleet.latest[image].profile, fleet.latest[image].fingerprint) for image in images}

    with PictureServer(pictures(KINDS)) as server:
        old = joined(fleet.start(**ONCE, IQA_SHADOW_PROFILE=str(next_profile)), wait_until)
        ((label, fingerprint),) = judged(send(fleet, server, "side"))
        assert label == old_label
        assert counted(old, "iqa_shadow_verdicts_total", profile=old_label, shadow=new_label) == KINDS
        better = counted(old, "iqa_shadow_verdicts_total", shadow=new_label, published="low", category="medium")
        assert better == sum(verdict.category == "low" for verdict in fleet.latest.values()) > 0

        new = fleet.start(**new_settings)
        for worker in (old, new):
            joined(worker, wait_until, PARTITIONS // 2)
        both = judged(send(fleet, server, "both", 60))
        assert {profile for profile, _ in both} == {old_label, new_label}
        assert set(json.loads(top(fleet, "--json").stdout)["verdicts"]["fingerprints"]) == {each for _, each in both}
        assert [fingerprint in builds(worker) for worker in (old, new)] == [True, False]
        assert {each for _, each in both} <= builds(old) | builds(new)

        assert old.terminate() == 0
        joined(new, wait_until)
        assert {profile for profile, _ in judged(send(fleet, server, "new"))} == {new_label}
        back = fleet.start(**ONCE)
        assert new.terminate() == 0
        joined(back, wait_until)
        assert judged(send(fleet, server, "back")) == {(old_label, fingerprint)}
        assert back.terminate() == 0
        fleet.read()
    assert fleet.duplicates == 0


def test_uploads_are_judged_again_from_a_place_on(fleet: Fleet, next_profile: Path, wait_until: Wait) -> None:
    """The group's place is set back, which the broker refuses while a worker is there; the last verdict is the good one's."""
    fleet.create_topics()
    topic, admin = fleet.settings.topics.uploads, make_admin(fleet.settings.kafka)

    def set_back() -> None:
        beginning = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
        wanted = ConsumerGroupTopicPartitions(fleet.settings.kafka.group_id, beginning)
        for future in admin.alter_consumer_group_offsets([wanted]).values():
            assert all(each.error is None for each in future.result(PATIENCE_S).topic_partitions)

    with PictureServer(pictures(KINDS)) as server:
        bad = joined(fleet.start(**ONCE, IQA_PROFILE=str(next_profile)), wait_until)
        images = send(fleet, server, "wrong")
        wait_until(lambda: fleet.read() >= KINDS, what="the wrong verdicts")
        wrong = dict(fleet.latest)
        with pytest.raises((KafkaException, AssertionError)):
            set_back()
        assert bad.terminate() == 0
        set_back()
        good = fleet.start(**ONCE)
        wait_until(lambda: fleet.read() and all(fleet.seen[image] == 2 for image in images), what="verdicts once more")
        assert good.terminate() == 0
        fleet.read()
    assert all(fleet.seen[image] == 2 for image in images)
    assert {fleet.latest[image].profile for image in images} == {load_profile("recruitment").label}
    assert all(fleet.latest[image].event_id == wrong[image].event_id for image in images)


def test_each_filter_of_a_replay_has_a_place_of_its_own(fleet: Fleet) -> None:
    """The same one sends nothing twice; another one would send the same letters once more, and says so when asked."""
    fleet.create_topics()
    poisoned(fleet, 9)
    once, everything = fleet.settings.kafka.model_copy(update={"delivery": "exactly_once"}), Filter()
    settings = fleet.settings.model_copy(update={"kafka": once})
    assert replay(settings, everything) == Replayed(sent=8, parked=1)
    assert replay(settings, everything, dry_run=True) == replay(settings, everything) == Replayed()
    assert replay(settings, Filter(("not_json",)), dry_run=True) == Replayed(sent=8, parked=1)
