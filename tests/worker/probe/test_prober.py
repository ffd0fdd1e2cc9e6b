"""A prober's rounds: every partition with every picture, also after a broker that did not answer for a moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worker.helpers import make_settings
from worker.embedded.broker import EmbeddedBroker
from worker.errors import BrokerError
from worker.probe.known import KNOWN
from worker.probe.prober import Probe, Prober

PARTITIONS = 3


@pytest.fixture
def ended() -> list[Probe]:
    return []


@pytest.fixture
def prober(ended: list[Probe]) -> Iterator[Prober]:
    with EmbeddedBroker(["image.uploads", "image.quality.verdicts"], PARTITIONS) as broker:
        settings = make_settings(
            kafka={"bootstrap_servers": broker.bootstrap_servers},
            probe={"served_at": "http://127.0.0.1:1/", "interval_s": 1, "timeout_s": 1},
        )
        found = Prober(settings, ended.append)
        yield found
        found.close()


def test_every_partition_gets_every_picture(prober: Prober) -> None:
    """In two rounds; each image has a name of its own."""
    probes = [prober.send() for _ in range(2 * PARTITIONS)]
    assert [probe.partition for probe in probes] == 2 * list(range(PARTITIONS))
    assert {(probe.partition, probe.known) for probe in probes} == {(n, known) for n in range(PARTITIONS) for known in KNOWN}
    assert len({probe.image_id for probe in probes}) == len(probes)
    assert {probe.expected for probe in probes} == {"high", "medium"}


def test_a_round_that_could_not_begin_begins_later(prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker was away just when it was asked for its partitions: nothing of the prober is used up by that."""
    for _ in range(PARTITIONS):
        prober.send()

    def away(*_: object) -> range:
        raise BrokerError("away")

    with monkeypatch.context() as patched:
        patched.setattr(prober, "_numbers", away)
        for _ in range(2):
            with pytest.raises(BrokerError, match="away"):
                prober.send()
    assert [prober.send().partition for _ in range(PARTITIONS)] == list(range(PARTITIONS))


def test_what_nobody_answers_is_lost(prober: Prober, ended: list[Probe]) -> None:
    """Once, and with words that say so."""
    sent = prober.send()
    while prober.pending:
        prober.turn()
    assert [(probe.event_id, probe.result, probe.told) for probe in ended] == [(sent.event_id, "lost", "no verdict within 1 s")]
