"""Settings come from the environment; a wrong one is named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.settings import load_settings


def test_fixed_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that other teams' manifests use."""
    values = {
        "IQA_KAFKA__BOOTSTRAP_SERVERS": "k1:9092,k2:9092",
        "IQA_KAFKA__GROUP_ID": "g",
        "IQA_KAFKA__DELIVERY": "at_least_once",
        "IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS": "6000",
        "IQA_TOPICS__UPLOADS": "u",
        "IQA_TOPICS__VERDICTS": "v",
        "IQA_TOPICS__DEAD_LETTERS": "d",
        "IQA_TOPICS__RETRY": "r",
        "IQA_REDIS__URL": "redis://r:6379/0",
        "IQA_FETCH__ALLOW_NETWORKS": "10.0.0.0/8, fd00::/8",
        "IQA_HTTP__PORT": "9000",
        "IQA_TEXT": "always",
        "IQA_RUNTIME": "onnx",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.kafka.librdkafka() == {"bootstrap.servers": "k1:9092,k2:9092", "session.timeout.ms": "6000"}
    assert (settings.topics.uploads, settings.topics.verdicts) == ("u", "v")
    assert (settings.topics.dead_letters, settings.topics.retry) == ("d", "r")
    assert settings.redis.resolved_url() == "redis://r:6379/0"
    assert [str(network) for network in settings.fetch.allow_networks] == ["10.0.0.0/8", "fd00::/8"]
    assert (settings.http.port, settings.text, settings.runtime) == (9000, "always", "onnx")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IQA_FETCH__ALLOW_NETWORKS", "10.0.0.0/99"),
        ("IQA_FETCH__MAX_BYTES", "many"),
        ("IQA_HTTP__PORT", "70000"),
        ("IQA_KAFKA__DELIVERY", "sometimes"),
        ("IQA_KAFKA__BOOTSTRAP", "k:9092"),
        ("IQA_TOPICS__UPLOADS", "no spaces"),
        ("IQA_RUNTIME", "cuda"),
        ("IQA_GPU__BATCH", "0"),
        ("IQA_TEXT", "sometimes"),
        ("IQA_TXT", "lazy"),
        ("IQA_WORKER__THREADS", "0"),
    ],
)
def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """In one line, misspelt names included."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """librdkafka properties and the Redis URL; a missing file is named."""
    (tmp_path / "kafka").write_text("# SASL\nsasl.password = hush=hush\nclient.id=a\n")
    (tmp_path / "redis").write_text("rediss://:hush@r:6379/1\n")
    monkeypatch.setenv("IQA_KAFKA__PROPERTIES_FILE", str(tmp_path / "kafka"))
    monkeypatch.setenv("IQA_KAFKA__PROPERTIES__CLIENT_ID", "b")
    monkeypatch.setenv("IQA_REDIS__URL_FILE", str(tmp_path / "redis"))
    settings = load_settings()
    assert settings.kafka.librdkafka()["sasl.password"] == "hush=hush"
    assert settings.kafka.librdkafka()["client.id"] == "b"
    assert settings.redis.resolved_url() == "rediss://:hush@r:6379/1"
    monkeypatch.setenv("IQA_KAFKA__PROPERTIES_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="IQA_KAFKA__PROPERTIES_FILE"):
        load_settings().kafka.librdkafka()
