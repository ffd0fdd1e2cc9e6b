"""Memory is bounded by what is in flight, not by what waits, and pictures are as large as the settings allow and no larger."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.integration.fleet import Fleet
from tests.integration.test_delivery import pictures, send
from tests.integration.test_exactly_once import ONCE
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
MEGABYTE = 1_000_000
THREADS = 4


def resident(pid: int) -> int:
    """Bytes of a process and its children that lie in memory now."""
    children = (Path(f"/proc/{pid}/task/{pid}/children").read_text()).split()
    total = 0
    for each in (str(pid), *children):
        lines = Path(f"/proc/{each}/status").read_text().splitlines()
        total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def after_verdicts(fleet: Fleet, count: int, wait_until: Wait) -> int:
    """The most that a fresh worker needs while it publishes so many verdicts."""
    worker = fleet.start(**ONCE)
    most, start = 0, len(fleet.seen)

    def enough() -> bool:
        nonlocal most
        most = max(most, resident(worker.pid))
        return fleet.read() - start >= count

    wait_until(enough, what=f"{count} verdicts")
    worker.kill()
    return most


def test_a_backlog_costs_nothing(fleet: Fleet, wait_until: Wait) -> None:
    """1,000 verdicts with 20,000 events waiting, and with hardly any: the same memory, but for a tenth."""
    fleet.create_topics()
    with PictureServer(pictures(20)) as server:
        send(fleet, server, 1100, 20)
        little = after_verdicts(fleet, 1000, wait_until)
        events = [make_event(server.url(f"{number % 20}.jpg"), f"waiting-{number}") for number in range(20_000)]
        send_events(fleet.settings, events)
        much = after_verdicts(fleet, 1000, wait_until)
    print(f"{little // MEGABYTE} MB with 100 events waiting, {much // MEGABYTE} MB with 20,000")
    assert much < 1.1 * little


class Varied(Mapping[str, bytes]):
    """A picture of 20 MB under any name, different bytes each time."""

    def __init__(self) -> None:
        noise = np.random.default_rng(1).integers(0, 255, (2560, 2580, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, "PNG", compress_level=0)
        self.body = buffer.getvalue()

    def __getitem__(self, name: str) -> bytes:
        return self.body + name.encode()

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_the_largest_pictures(fleet: Fleet, wait_until: Wait) -> None:
    """Pictures of 20 MB cost what lies in memory of them at once, and forty more of them cost no more than forty."""
    fleet.create_topics()
    varied = Varied()
    assert 19 * MEGABYTE < len(varied.body) < 20 * MEGABYTE
    with PictureServer(pictures(40)) as small, PictureServer(varied) as large:
        worker = fleet.start(**ONCE, IQA_WORKER__THREADS=str(THREADS), IQA_FETCH__TOTAL_TIMEOUT_S="300")

        def most_for(name: str, urls: list[str]) -> int:
            most, goal = 0, len(fleet.seen) + len(urls)
            send_events(fleet.settings, [make_event(url, f"{name}-{number}") for number, url in enumerate(urls)])

            def done() -> bool:
                nonlocal most
                most = max(most, resident(worker.pid))
                return fleet.read() == goal

            wait_until(done, what=f"verdicts on {name}")
            return most

        ordinary = most_for("small", [small.url(f"{number}.jpg") for number in range(40)])
        first = most_for("first", [large.url(f"{number}.png") for number in range(40)])
        second = most_for("second", [large.url(f"{number}.png") for number in range(40, 80)])
        assert worker.terminate() == 0
    assert {verdict.status for verdict in fleet.latest.values()} == {"scored"}
    print(
        f"{ordinary // MEGABYTE} MB for small pictures, {first // MEGABYTE} and {second // MEGABYTE} MB for 40 of 20 MB, twice"
    )
    # With four threads; each more may hold another 40 MB, while bytes are put together.
    assert first < 1100 * MEGABYTE
    assert second < 1.1 * first
