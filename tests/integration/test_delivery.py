"""Nothing is lost: real Kafka, worker processes, one of which dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.fleet import PARTITIONS, Fleet
from tests.pictures import encode, photo
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
IN_FLIGHT = 32


def pictures(count: int) -> dict[str, bytes]:
    return {f"{seed}.jpg": encode(photo(300, 260, seed)) for seed in range(count)}


def send(fleet: Fleet, server: PictureServer, count: int, kinds: int) -> set[str]:
    events = [make_event(server.url(f"{number % kinds}.jpg"), f"image-{number}") for number in range(count)]
    send_events(fleet.settings, events)
    return {event.image_id for event in events}


def test_kill_9_loses_nothing(fleet: Fleet, wait_until: Wait, record_property: Callable[[str, object], None]) -> None:
    """500 events over 6 partitions, two workers, one killed midway: a verdict on every image, few of them twice.

    At least once, so what the dead worker had published and not committed comes again: at most what it may have in
    flight, and as much again that was handed over to a commit which had not arrived.
    """
    fleet.create_topics()
    with PictureServer(pictures(50)) as server:
        bound = {"IQA_WORKER__MAX_IN_FLIGHT": str(IN_FLIGHT)}
        victim, survivor = fleet.start(**bound), fleet.start(**bound)
        pair = (victim, survivor)
        even = [PARTITIONS / 2] * 2
        wait_until(lambda: [w.metric("iqa_assigned_partitions") for w in pair] == even, what="an even assignment")
        wanted = send(fleet, server, 500, 50)
        wait_until(lambda: fleet.read() >= 150, what="150 verdicts")
        assert victim.metric("iqa_events_total") > 0
        victim.kill()
        at_kill = len(fleet.seen)
        wait_until(lambda: fleet.read() >= 500, what="a verdict on every image")
        assert survivor.terminate() == 0
        fleet.read()
    assert at_kill < 500
    assert set(fleet.seen) == wanted
    assert {verdict.status for verdict in fleet.latest.values()} == {"scored"}
    record_property("duplicates", fleet.duplicates)
    print(f"500 events, {at_kill} verdicts at the kill, lost 0, duplicates {fleet.duplicates}")
    assert fleet.duplicates <= 2 * IN_FLIGHT


def test_sigterm_loses_nothing_and_repeats_nothing(fleet: Fleet, wait_until: Wait) -> None:
    """A deploy: one worker goes in the middle of the work, another comes. It drains and commits before it leaves."""
    fleet.create_topics()
    with PictureServer(pictures(20)) as server:
        bound = {"IQA_WORKER__MAX_IN_FLIGHT": str(IN_FLIGHT)}
        first = fleet.start(**bound)
        wait_until(lambda: first.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        wanted = send(fleet, server, 600, 20)
        wait_until(lambda: fleet.read() >= 20, what="20 verdicts")
        second = fleet.start(**bound)
        assert first.terminate() == 0
        assert len(fleet.seen) < 600
        wait_until(lambda: fleet.read() >= 600, what="a verdict on every image")
        # One that has not begun yet would end by the signal itself.
        wait_until(lambda: second.metric("iqa_assigned_partitions") == PARTITIONS, what="all partitions for the second")
        assert second.terminate() == 0
        fleet.read()
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0
