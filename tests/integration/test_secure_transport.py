"""TLS, SASL and users, from files, against servers that ask for them; and no secret in any log or verdict."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.integration.conftest import absent
from tests.integration.fleet import Fleet
from tests.integration.kafka_node import libraries_there
from tests.integration.secure import USER, make_certificates, secure_kafka, secure_redis
from tests.patience import PATIENCE_S
from tests.pictures import encode, photo
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events
from worker.settings import KafkaSettings
from worker.store import VerdictReader

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

Wait = Callable[..., Any]
KAFKA_PASSWORD = "kafka-Passw0rd-c1b7"
REDIS_PASSWORD = "redis-Passw0rd-9f02"
SIGNATURE = "X-Amz-Signature=5e1f-signed"


@dataclass(frozen=True)
class Secured:
    fleet: Fleet
    redis_url: str
    properties: Path


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    if not libraries_there() or shutil.which("redis-server") is None:
        absent("needs `make kafka`, Java and redis-server")
    certificates = make_certificates(tmp_path)
    home = tmp_path / "kafka"
    home.mkdir()
    with (
        secure_kafka(home, certificates, KAFKA_PASSWORD) as servers,
        secure_redis(tmp_path, certificates, REDIS_PASSWORD) as url,
    ):
        properties = tmp_path / "kafka.properties"
        lines = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": USER,
            "sasl.password": KAFKA_PASSWORD,
            "ssl.ca.location": str(certificates.authority),
        }
        properties.write_text("# for tests\n" + "".join(f"{key}={value}\n" for key, value in lines.items()))
        (tmp_path / "redis-url").write_text(url + "\n")
        with Fleet(servers, "secured", tmp_path) as fleet:
            kafka = KafkaSettings(bootstrap_servers=servers, group_id="secured", properties_file=properties)
            fleet.settings = fleet.settings.model_copy(update={"kafka": kafka})
            fleet.environment |= {
                "IQA_KAFKA__PROPERTIES_FILE": str(properties),
                "IQA_REDIS__URL_FILE": str(tmp_path / "redis-url"),
                "IQA_LOG_LEVEL": "debug",
                "IQA_KAFKA__DELIVERY": "exactly_once",
                "IQA_RETRY__DELAYS_S": "0.2",
                "IQA_FETCH__ATTEMPTS": "1",
            }
            yield Secured(fleet, url, properties)


def test_tls_sasl_and_users(secured: Secured, wait_until: Wait) -> None:
    """The whole path, transactions and projection included, and nothing secret in what it writes."""
    fleet = secured.fleet
    fleet.create_topics()
    with PictureServer({"good.jpg": encode(photo(300, 260))}) as server:
        urls = {
            "good": f"{server.url('good.jpg')}?{SIGNATURE}",
            "missing": f"{server.url('missing.jpg')}?{SIGNATURE}",
            "credentials": server.url("good.jpg").replace("http://", f"http://me:{SIGNATURE}@"),
            "nowhere": f"http://127.0.0.1:9/?{SIGNATURE}",
            "broken": f"http://[::1/{SIGNATURE}",
            "bucket": f"s3://bucket/key?{SIGNATURE}",
        }
        worker = fleet.start()
        send_events(fleet.settings, [make_event(url, name) for name, url in urls.items()])
        wait_until(lambda: fleet.read() == len(urls), what="all verdicts")
        reader = VerdictReader(redis.Redis.from_url(secured.redis_url))
        stored = {name: reader.wait_for(name, PATIENCE_S) for name in urls}
        assert worker.terminate() == 0
    assert stored == fleet.latest
    codes = {name: verdict.reason.code if verdict.reason else None for name, verdict in fleet.latest.items()}
    assert codes == {
        "good": None, "missing": "http_not_found", "credentials": "invalid_url", "nowhere": "connect_failed",
        "broken": "invalid_url", "bucket": "bucket_refused",
    }  # fmt: skip
    written = worker.log.read_text() + "".join(verdict.model_dump_json() for verdict in fleet.latest.values())
    assert "judged" in written
    for secret in (KAFKA_PASSWORD, REDIS_PASSWORD, SIGNATURE, SIGNATURE.split("=")[1]):
        assert secret not in written


def test_a_wrong_password_is_told_without_it(secured: Secured) -> None:
    """One line, exit code 1, and neither password in it."""
    secured.properties.write_text(secured.properties.read_text().replace(KAFKA_PASSWORD, "wrong-Passw0rd"))
    worker = secured.fleet.start()
    assert worker.wait() == 1
    lines = [line for line in worker.log.read_text().splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert "IQA_KAFKA__PROPERTIES" in lines[0]
    assert "wrong-Passw0rd" not in worker.log.read_text()


def test_users_may_touch_nothing_else(secured: Secured) -> None:
    """The rights that SECURITY.md names are enough for the worker, and no more."""
    client = redis.Redis.from_url(secured.redis_url)
    for call in (lambda: client.set("other", 1), client.flushall, lambda: client.config_get("*")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            call()
