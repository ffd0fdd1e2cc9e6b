"""The embedded broker is one that other processes can reach."""

from __future__ import annotations

import subprocess
import sys

from tests.patience import PATIENCE_S
from tests.worker.helpers import make_settings
from tests.worker.stack import read
from worker.embedded.broker import EmbeddedBroker

SENDER = """
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
producer.produce("t", b"from another process", b"k")
sys.exit(producer.flush(10))
"""


def test_another_process_can_produce() -> None:
    """Real TCP, not a fake client."""
    with EmbeddedBroker(["t"], 3) as broker:
        subprocess.run([sys.executable, "-c", SENDER, broker.bootstrap_servers], check=True, timeout=PATIENCE_S)
        settings = make_settings(kafka={"bootstrap_servers": broker.bootstrap_servers})
        assert [message.value() for message in read(settings, "t", 1)] == [b"from another process"]


def test_closed_twice() -> None:
    """Harmless."""
    broker = EmbeddedBroker(["t"])
    broker.close()
    broker.close()
