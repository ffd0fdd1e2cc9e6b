"""Commands about topics, without a real Kafka: what they say of a broker that is away, or that tells little."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from worker.embedded.broker import EmbeddedBroker
from worker.settings import Settings


def iqa(*words: str, **environment: str) -> tuple[int, str, list[str]]:
    """Exit code, output, and lines of complaint."""
    command = [sys.executable, "-m", "worker.cli", *words]
    variables = {**os.environ, **environment}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=120)
    return ended.returncode, ended.stdout, ended.stderr.splitlines()


@pytest.mark.parametrize("words", [("topics", "create"), ("topics", "check"), ("send", "http://h/a.jpg")])
def test_a_broker_that_is_away_is_one_line(words: tuple[str, ...]) -> None:
    """It came after a wall of the client's own."""
    code, out, complaints = iqa(*words, IQA_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    reason = "Connect to ipv4#127.0.0.1:1 failed: Connection refused; check IQA_KAFKA__BOOTSTRAP_SERVERS"
    assert (code, out, complaints) == (1, "", [f"iqa: no answer from 127.0.0.1:1: {reason}"])


@pytest.mark.parametrize("words", [("topics", "create"), ("topics", "check"), ("send", "http://h/a.jpg")])
@pytest.mark.parametrize("misspelt", ["SESSION_TIMEOUT_MSS", "LINGER_MSS"])
def test_a_misspelt_property_is_refused(words: tuple[str, ...], misspelt: str) -> None:
    """As a worker refuses it, before anything is done; those of consumers and producers were passed over."""
    code, out, complaints = iqa(*words, **{f"IQA_KAFKA__PROPERTIES__{misspelt}": "1"})
    told = f'iqa: IQA_KAFKA__PROPERTIES__{misspelt}: No such configuration property: "{misspelt.lower().replace("_", ".")}"'
    assert (code, out, complaints) == (2, "", [told])


def test_what_a_broker_does_not_tell_is_said() -> None:
    """And is no fault; retry topics and parked ones, which are made when they are needed, are none either."""
    settings = Settings()
    names = settings.topics
    with EmbeddedBroker([names.uploads, names.verdicts, names.dead_letters, settings.retry_topics[0]], 2) as broker:
        code, out, complaints = iqa("topics", "check", IQA_KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap_servers)
    lines = out.splitlines()
    assert (code, complaints) == (0, [])
    told = "is there, 2 partitions, 1 copy; its settings cannot be seen (no right to describe them)"
    assert lines[:4] == [
        f"{names.uploads}: {told}",
        f"{names.verdicts}: {told}",
        f"{names.retry}.1: {told}",
        f"{names.retry}.2: does not exist; it is made when it is needed",
    ]


def test_a_topic_that_is_missing_ends_with_one() -> None:
    """Every topic is told all the same."""
    names = Settings().topics
    with EmbeddedBroker([names.uploads, names.dead_letters]) as broker:
        code, out, complaints = iqa("topics", "check", IQA_KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap_servers)
    assert (code, complaints) == (1, [])
    assert f"{names.verdicts}: does not exist; run `iqa topics create`" in out.splitlines()
    assert len(out.splitlines()) == 7
