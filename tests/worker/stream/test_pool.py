"""Forty pictures of a host that hangs hold that host's share of the threads, and nobody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from worker.stream.pool import HostPool, Leave, host_of, share_of

Wait = Callable[..., Any]


def note(seen: list[Any], what: object, _: Leave) -> None:
    seen.append(what)


def hold(gate: threading.Event) -> None:
    gate.wait()


def test_a_host_that_hangs_keeps_to_its_share(wait_until: Wait) -> None:
    """All others go on with the threads that are left."""
    pool, go, hanging, done = HostPool(4, 2), threading.Event(), list[int](), list[int]()

    def hang(leave: Leave) -> None:
        hanging.append(1)
        go.wait()

    for _ in range(40):
        pool.submit_to("http://slow", hang)
    for number in range(200):
        pool.submit_to(f"http://h{number % 3}", partial(note, done, number))
    wait_until(lambda: len(done) == 200)
    assert len(hanging) == 2
    wait_until(lambda: pool.busy == 2, what="two threads at work")
    assert (pool.idle, pool.queued) == (2, 38)
    go.set()
    wait_until(lambda: len(hanging) == 40)
    wait_until(lambda: (pool.busy, pool.queued) == (0, 0), what="no work left")
    pool.shutdown()


def test_a_host_is_left_once_its_bytes_are_there(wait_until: Wait) -> None:
    """What comes after fetching holds up no other fetch of the same host; leaving twice is leaving once."""
    pool, go, begun = HostPool(4, 1), threading.Event(), list[int]()

    def work(leave: Leave) -> None:
        leave()
        leave()
        begun.append(1)
        go.wait()

    for _ in range(4):
        pool.submit_to("h", work)
    wait_until(lambda: len(begun) == 4)
    go.set()
    pool.shutdown()


def test_work_of_one_host_begins_in_order_and_hosts_take_turns(wait_until: Wait) -> None:
    """Whoever comes with a thousand pictures does not go before whoever comes with one."""
    pool, gate, order = HostPool(1, 1), threading.Event(), list[str]()
    pool.submit(lambda: hold(gate))
    for name in ("many0", "many1", "many2"):
        pool.submit_to("many", partial(note, order, name))
    pool.submit_to("one", partial(note, order, "one0"))
    pool.submit(lambda: order.append("first"))
    gate.set()
    wait_until(lambda: len(order) == 5)
    assert order == ["first", "many0", "one0", "many1", "many2"]
    pool.shutdown()


def test_work_that_raises_costs_no_thread_and_no_share(wait_until: Wait) -> None:
    """It must not; but a thread less would be a thread less for ever."""
    pool, done = HostPool(1, 1), threading.Event()

    def fail(_: Leave) -> None:
        raise RuntimeError("unforeseen")

    pool.submit_to("h", fail)
    pool.submit_to("h", lambda _: done.set())
    wait_until(done.is_set)
    pool.shutdown()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("HTTP://Example.ORG:8080/a?b", "http://example.org"),
        ("s3://bucket/key", "s3://bucket"),
        ("file:///a", "file://"),
        ("http://[::1", ""),
        ("no url", "://"),
        ("http://user:password@h/", "http://h"),
    ],
)
def test_hosts_of_urls(url: str, host: str) -> None:
    """Whatever cannot be parsed waits for nobody: its fetch says what is wrong."""
    assert host_of(url) == host


def test_shares() -> None:
    """A quarter, but two; never more than there are threads."""
    assert [share_of(16, 0), share_of(4, 0), share_of(1, 0), share_of(16, 5), share_of(4, 100)] == [4, 2, 1, 5, 4]
