"""A topic that is made anew on a broker that has been away before, as every broker has in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import Fleet
from tests.integration.looking import answer
from tests.integration.own_node import own_node
from tests.integration.test_delivery import pictures, send
from tests.integration.test_topics_made_anew import delete, ends_for, make
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]


def test_a_topic_whose_leader_epochs_begin_again(tmp_path: Path, wait_until: Wait) -> None:
    """Seen: a client that knew the old topic took the new one's metadata for outdated, and never read it."""
    with own_node(tmp_path) as own, Fleet(own.servers, "epochs", tmp_path) as fleet, PictureServer(pictures(5)) as server:
        fleet.create_topics()
        own.node.stop()
        own.start_again()
        uploads = fleet.settings.topics.uploads
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once")
        send(fleet, server, 30, 5)
        wait_until(lambda: fleet.read() >= 30, what="verdicts before")
        delete(fleet, uploads, wait_until)
        make(fleet, uploads, wait_until)
        ends_for(worker, uploads)
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once")
        send_events(fleet.settings, [make_event(server.url(f"{n % 5}.jpg"), f"new-{n}") for n in range(30)])
        wait_until(lambda: fleet.read() >= 60, what="verdicts on the new topic's events")
        wait_until(lambda: answer(worker)[0] == 200, what="readiness")
        assert worker.terminate() == 0
        fleet.read()
    assert fleet.duplicates == 0
