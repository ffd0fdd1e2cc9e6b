"""Nothing is passed over without a word: expired events, retry topics of an earlier setting, what waits; and lag is true."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import answer, counted, lags, letters, lines, places
from tests.integration.test_delivery import pictures, send
from tests.integration.test_exactly_once import ONCE
from tests.integration.test_retries_and_replay import host
from tests.patience import PATIENCE_S
from worker.embedded.picture_server import PictureServer
from worker.projection import projection_group
from worker.send import make_event, send_events
from worker.stream.clients import make_admin, make_producer, make_transactional_producer
from worker.stream.lane import retry_group

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]


def expire(fleet: Fleet, leave: int) -> dict[int, tuple[int, int]]:
    """Retention takes all but the last ``leave`` offsets; gives committed offset and new beginning of each partition."""
    topic, group = fleet.settings.topics.uploads, fleet.settings.kafka.group_id
    found = places(fleet, group, topic)
    begins = {number: max(0, committed, end - leave) for number, (committed, _, end) in found.items()}
    wanted = [TopicPartition(topic, number, begin) for number, begin in begins.items()]
    admin = make_admin(fleet.settings.kafka)
    for future in admin.delete_records(wanted).values():
        future.result(PATIENCE_S)
    return {number: (max(0, found[number][0]), begin) for number, begin in begins.items()}


def told_of(worker: WorkerProcess) -> dict[int, tuple[int, int]]:
    """What it says has expired: by partition, the first and behind the last offset."""
    told = lines(worker, "events_expired")
    return {line["partition"]: (line["from_offset"], line["to_offset"] + 1) for line in told}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_events_that_expired_while_nobody_read(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """A worker that comes back says which are lost, counts them, and answers the rest."""
    fleet.create_topics()
    ways = {"IQA_KAFKA__DELIVERY": delivery}
    with PictureServer(pictures(5)) as server:
        first = fleet.start(**ways)
        send(fleet, server, 30, 5)
        wait_until(lambda: fleet.read() >= 30, what="verdicts")
        assert first.terminate() == 0
        send_events(fleet.settings, [make_event(server.url("0.jpg"), f"more-{n}") for n in range(120)])
        gaps = {number: gap for number, gap in expire(fleet, 5).items() if gap[0] < gap[1]}
        lost = sum(begin - committed for committed, begin in gaps.values())
        assert lost > 0
        second = fleet.start(**ways)
        wait_until(lambda: fleet.read() >= 150 - lost, what="verdicts on the rest")
        wait_until(lambda: told_of(second) == gaps, what="a line on each gap")
        assert counted(second, "iqa_expired_events_total", topic=fleet.settings.topics.uploads) == lost
        assert all(line["level"] == "error" for line in lines(second, "events_expired"))
        assert second.terminate() == 0
        fleet.read()
    assert len(fleet.seen) == 150 - lost
    assert fleet.duplicates == 0


def test_events_that_expired_under_a_running_worker(fleet: Fleet, wait_until: Wait) -> None:
    """It was frozen for a while: whether it still has its partitions or gets them anew, it says what it has not seen."""
    fleet.create_topics()
    with PictureServer(pictures(5)) as server:
        # Longer than the pause: it goes on from its position, not from what is committed.
        worker = fleet.start(**ONCE, IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS="300000")
        send(fleet, server, 30, 5)
        wait_until(lambda: fleet.read() >= 30, what="verdicts")
        worker.signal(signal.SIGSTOP)
        send_events(fleet.settings, [make_event(server.url("0.jpg"), f"more-{n}") for n in range(120)])
        expire(fleet, 5)
        worker.signal(signal.SIGCONT)
        wait_until(lambda: told_of(worker), what="a line on a gap")

        def lost() -> int:
            return int(counted(worker, "iqa_expired_events_total"))

        # An answer to its last fetch may still have brought some.
        wait_until(lambda: fleet.read() + lost() == 150, what="each answered or told of")
        assert lost() == sum(behind - first for first, behind in told_of(worker).values()) > 0
        assert worker.terminate() == 0
        fleet.read()
    assert fleet.duplicates == 0


WHERE = {"image_id", "event_id", "topic", "partition", "offset"}


def test_retry_topics_of_an_earlier_setting(fleet: Fleet, wait_until: Wait) -> None:
    """What waits in the third and in the second is answered by a worker that has one delay; every line says whose it is."""
    fleet.create_topics()
    once = {"IQA_KAFKA__DELIVERY": "exactly_once", "IQA_FETCH__ATTEMPTS": "1"}
    with host(pictures(5)) as away:
        for attempt, delays in ((3, "0.1,0.1,3600"), (2, "0.1,3600")):
            worker = fleet.start(**once, IQA_RETRY__DELAYS_S=delays)
            events = [make_event(away.url(f"{n}.jpg"), f"waits-{attempt}-{n}") for n in range(5)]
            send_events(fleet.settings, events)
            wait_until(lambda w=worker, a=attempt: answer(w)[0] == 200 and counted(w, "iqa_retries_total", attempt=str(a)) == 5)
            assert worker.terminate() == 0
            told = lines(worker, "retry")
            assert len(told) == 5 * attempt
            assert all(line.keys() >= WHERE for line in told)
            assert {line["event_id"] for line in told} == {event.event_id for event in events}
            assert {line["topic"] for line in told} == {
                fleet.settings.topics.uploads,
                *fleet.settings.retry_topics[: attempt - 1],
            }
        assert fleet.read() == 0
        away.down = False
        last = fleet.start(**once, IQA_RETRY__DELAYS_S="5")
        wait_until(lambda: fleet.read() >= 10, what="a verdict on each that waited")
        (warned,) = lines(last, "old_retry_topics")
        assert warned["topics"] == list(fleet.settings.retry_topics[1:])
        wait_until(lambda: lags(fleet, retry_group(fleet.settings.kafka.group_id), warned["topics"]) == 0, what="no lag")
        assert last.terminate() == 0
        fleet.read()
    assert {verdict.status for verdict in fleet.latest.values()} == {"scored"}
    assert fleet.duplicates == 0
    assert letters(fleet) == []


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_dead_letters_are_told_with_their_picture(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """One of a host that stays away, one that is no event: image and event where they are known, and always the place."""
    fleet.create_topics()
    with host(pictures(1)) as away:
        settings = {"IQA_KAFKA__DELIVERY": delivery, "IQA_FETCH__ATTEMPTS": "1", "IQA_RETRY__DELAYS_S": "0.1"}
        worker = fleet.start(**settings)
        event = make_event(away.url("0.jpg"), "nobody-serves-it")
        send_events(fleet.settings, [event])
        producer = make_producer(fleet.settings.kafka)
        producer.produce(fleet.settings.topics.uploads, b"no json", b"a-key", 3)
        assert producer.flush(PATIENCE_S) == 0
        wait_until(lambda: len(lines(worker, "dead_letter")) >= 2, what="two dead letters")
        assert worker.terminate() == 0
    told = {line["code"]: line for line in lines(worker, "dead_letter")}
    assert told.keys() == {"http_server_error", "not_json"}
    names = ("image_id", "event_id", "topic")
    known = [told["http_server_error"][name] for name in names]
    assert known == [event.image_id, event.event_id, fleet.settings.retry_topics[0]]
    assert told["http_server_error"].keys() >= {"partition", "offset"}
    unknown = [told["not_json"][name] for name in ("key", "topic", "partition", "offset")]
    assert unknown == ["a-key", fleet.settings.topics.uploads, 3, 0]


@pytest.mark.redis
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_lag_reaches_nothing(fleet: Fleet, delivery: str, redis_url: str, wait_until: Wait) -> None:
    """Of all three groups, though markers of transactions lie at the ends: a sender's own, and the workers'."""
    fleet.create_topics()
    group, names, retries = fleet.settings.kafka.group_id, fleet.settings.topics, fleet.settings.retry_topics
    with host(pictures(5)) as served:
        settings = {"IQA_KAFKA__DELIVERY": delivery, "IQA_FETCH__ATTEMPTS": "1", "IQA_RETRY__DELAYS_S": "0.1,0.1,0.1"}
        worker = fleet.start(**settings, IQA_REDIS__URL=redis_url)
        sender = make_transactional_producer(fleet.settings.kafka, uuid.uuid4().hex)
        sender.init_transactions(PATIENCE_S)
        for commits in (True, False):
            sender.begin_transaction()
            for number in range(24):
                event = make_event(served.url("0.jpg"), f"lag-{commits}-{number}")
                sender.produce(names.uploads, event.model_dump_json(), event.image_id, number % PARTITIONS)
            assert sender.flush(PATIENCE_S) == 0
            (sender.commit_transaction if commits else sender.abort_transaction)(PATIENCE_S)
        wait_until(lambda: fleet.read() >= 24, what="verdicts")
        watched = {group: [names.uploads], retry_group(group): retries, projection_group(group): [names.verdicts]}
        for member, topics in watched.items():
            assert any(end for topic in topics for _, _, end in places(fleet, member, topic).values())
            wait_until(lambda m=member, t=topics: lags(fleet, m, t) == 0, what=f"no lag of {member}")
        assert worker.terminate() == 0
    assert set(fleet.seen) == {f"lag-True-{number}" for number in range(24)}
    assert fleet.duplicates == 0
