"""What is wrong with settings is told in one line that begins with the setting's name, before anything is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from worker.errors import SettingsError
from worker.settings import Settings, load_settings

EMPTY_IS_REFUSED = "must not be empty"


def wrong(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """What is said of these settings."""
    for name in [name for name in os.environ if name.upper().startswith("IQA_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def every_setting() -> list[tuple[str, bool, bool]]:
    """Each setting's name, whether it may be none, and whether it is a list."""
    found = []
    for name, field in Settings.model_fields.items():
        section = field.annotation if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) else None
        fields = section.model_fields if section else {"": field}
        for part, leaf in fields.items():
            full = "__".join(filter(None, (f"IQA_{name}", part))).upper()
            if full != "IQA_KAFKA__PROPERTIES":
                found.append((full, type(None) in get_args(leaf.annotation), isinstance(leaf.default, tuple)))
    return found


@pytest.mark.parametrize(("name", "optional", "several"), every_setting())
@pytest.mark.parametrize("value", ["", "  "])
def test_empty_means_none_or_nothing_and_is_refused_elsewhere(
    monkeypatch: pytest.MonkeyPatch, name: str, optional: bool, several: bool, value: str
) -> None:
    """Of every setting there is: a manifest's variable that was not filled in must not silently be the default."""
    if not optional and not several:
        assert wrong(monkeypatch, **{name: value}).startswith(f"{name}: {EMPTY_IS_REFUSED}")
        return
    monkeypatch.setenv(name, value)
    section, _, part = name.removeprefix("IQA_").lower().partition("__")
    found = getattr(load_settings(), section)
    assert (getattr(found, part) if part else found) == (() if several else None)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"IQA_KAFKA__BOOTSTRAP_SERVERS": "http://k:9092/"}, "IQA_KAFKA__BOOTSTRAP_SERVERS: must be host:port"),
        ({"IQA_KAFKA__BOOTSTRAP_SERVERS": "k1:9092,,k2"}, "IQA_KAFKA__BOOTSTRAP_SERVERS: must be host:port"),
        ({"IQA_KAFKA__PROPERTIES__SASL_PASSWORD": ""}, f"IQA_KAFKA__PROPERTIES__SASL_PASSWORD: {EMPTY_IS_REFUSED}"),
        ({"IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MSS": "6000"}, "IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MSS: No such"),
        ({"IQA_KAFKA__PROPERTIES__LINGER_MS": "soon"}, "IQA_KAFKA__PROPERTIES__LINGER_MS: Invalid value"),
        ({"IQA_KAFKA__PROPERTIES__GROUP_ID": "mine"}, "IQA_KAFKA__PROPERTIES__GROUP_ID: group.id has a setting of its own"),
        ({"IQA_KAFKA__PROPERTIES__ACKS": "1"}, "IQA_KAFKA__PROPERTIES__ACKS: acks must be all"),
        ({"IQA_KAFKA__PROPERTIES__ISOLATION_LEVEL": "read_uncommitted"}, "IQA_KAFKA__PROPERTIES__ISOLATION_LEVEL: isol"),
        ({"IQA_KAFKA": "k:9092"}, "IQA_KAFKA: is a section; set IQA_KAFKA__BOOTSTRAP_SERVERS"),
        ({"IQA_KAFKA": '{"bootstrap_servers": ""}'}, f"IQA_KAFKA__BOOTSTRAP_SERVERS: {EMPTY_IS_REFUSED}"),
        ({"IQA_FETCH__CONNECT_TIMEOUT_S": "30", "IQA_FETCH__TOTAL_TIMEOUT_S": "5"}, "IQA_FETCH__CONNECT_TIMEOUT_S: 30 is"),
        ({"IQA_RETRY__DELAYS_S": "300,30"}, "IQA_RETRY__DELAYS_S: must not fall"),
        ({"IQA_RETRY__DELAYS_S": "1,-1"}, "IQA_RETRY__DELAYS_S: item 2: "),
        ({"IQA_RETRY__DELAYS_S": "inf"}, "IQA_RETRY__DELAYS_S: item 1: "),
        ({"IQA_REDIS__TIMEOUT_S": "inf"}, "IQA_REDIS__TIMEOUT_S: "),
        ({"IQA_REDIS__VERDICT_TTL_S": "9" * 20}, "IQA_REDIS__VERDICT_TTL_S: "),
        ({"IQA_FETCH__ALLOW_HOSTS": "http://h"}, "IQA_FETCH__ALLOW_HOSTS: 'http://h' is no host name"),
        ({"IQA_FETCH__ALLOW_HOSTS": "a.org,h:8080"}, "IQA_FETCH__ALLOW_HOSTS: 'h:8080' is no host name"),
        ({"IQA_FETCH__ALLOW_HOSTS": "*.a.org"}, "IQA_FETCH__ALLOW_HOSTS: '*.a.org' is no host name"),
        ({"IQA_S3__ACCESS_KEY_ID": "a"}, "IQA_S3__ACCESS_KEY_ID: goes with"),
        ({"IQA_WORKER__CPU_SLOTS": "32"}, "IQA_WORKER__CPU_SLOTS: 32 is more than IQA_WORKER__THREADS, 16"),
        ({"IQA_WORKER__DRAIN_TIMEOUT_S": "400"}, "IQA_WORKER__DRAIN_TIMEOUT_S: must be under 300"),
        ({"IQA_WORKER__DRAIN_TIMEOUT_S": "inf"}, "IQA_WORKER__DRAIN_TIMEOUT_S: "),
        ({"IQA_KAFKA__PROPERTIES__MAX_POLL_INTERVAL_MS": "10000"}, "IQA_WORKER__DRAIN_TIMEOUT_S: must be under 10"),
        ({"IQA_TEXT__ALWAYS": "1"}, "IQA_TEXT__ALWAYS: no such setting; did you mean IQA_TEXT?"),
    ],
)
def test_values_that_cannot_work(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], told: str) -> None:
    """Each by itself, and beside others."""
    assert wrong(monkeypatch, **environment).startswith(told)


@pytest.mark.parametrize(
    ("typo", "meant", "listed"),
    [
        ("IQA_KAFKA__BOOTSTRAP_SERVER", "IQA_KAFKA__BOOTSTRAP_SERVERS", "IQA_KAFKA__GROUP_ID"),
        ("IQA_KAFKA_BOOTSTRAP_SERVERS", "IQA_KAFKA__BOOTSTRAP_SERVERS", "IQA_KAFKA__..."),
        ("IQA_KAFAK__GROUP_ID", "IQA_KAFKA__GROUP_ID", "IQA_REDIS__..."),
        ("IQA_HTTP__PROT", "IQA_HTTP__PORT", "IQA_HTTP__HOST"),
        ("IQA_TXT", "IQA_TEXT", "IQA_LOG_LEVEL"),
        ("iqa_profil", "IQA_PROFILE", "IQA_PROFILES"),
    ],
)
def test_typos_get_the_nearest_name_and_the_list(monkeypatch: pytest.MonkeyPatch, typo: str, meant: str, listed: str) -> None:
    """In a section the section's names, else the sections."""
    told = wrong(monkeypatch, **{typo: "1"})
    assert told.startswith(f"{typo}: no such setting; did you mean {meant}? There are ")
    assert listed in told


def test_typos_inside_json_are_named_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section may be given as one object."""
    told = wrong(monkeypatch, IQA_HTTP='{"prot": 1}')
    assert told.startswith("IQA_HTTP__PROT: no such setting; did you mean IQA_HTTP__PORT?")


def test_service_links_of_a_cluster_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service named iqa-worker gives every pod such a variable."""
    told = wrong(monkeypatch, IQA_WORKER_PORT_8080_TCP="tcp://10.0.0.1:8080")
    assert "enableServiceLinks" in told


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and values; nothing twice."""
    told = wrong(monkeypatch, IQA_TXT="1", IQA_HTTP__PORT="x", IQA_TEXT="never", IQA_HTTP__PROT="1")
    assert [told.count(f"{name}: ") for name in ("IQA_TXT", "IQA_HTTP__PORT", "IQA_TEXT", "IQA_HTTP__PROT")] == [1, 1, 1, 1]


def test_nothing_that_may_be_a_secret_is_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither by the message nor by what it was raised from."""
    file = tmp_path / "properties"
    file.write_text("sasl.username=u\nhush-hush\n")
    for environment in (
        {"IQA_FETCH__PROXY": "ftp://u:hush-hush@p:1"},
        {"IQA_FETCH__PROXY": "http://u:hush-hush@["},
        {"IQA_KAFKA__PROPERTIES_FILE": str(file)},
        {"IQA_KAFKA": '{"properties": {"sasl_password": ["hush-hush"]}}'},
        {"IQA_S3": '{"secret_access_key": ["hush-hush"]}'},
        {"IQA_REDIS": '{"url": ["redis://:hush-hush@r"]}'},
        {"IQA_REDIS": "redis://:hush-hush@r"},
        {"IQA_REDIS__ULR": "redis://:hush-hush@r"},
    ):
        for name in [name for name in os.environ if name.startswith("IQA_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            load_settings()
        assert "hush" not in f"{caught.value} {caught.value.__cause__}", environment


def test_files_with_secrets_must_hold_some(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret that was mounted empty is no reason to go without; nor is one that is no text."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("empty", "binary", "none", "."):
        monkeypatch.setenv("IQA_REDIS__URL_FILE", str(tmp_path / name))
        with pytest.raises(SettingsError, match="IQA_REDIS__URL_FILE: "):
            load_settings().redis.resolved_url()
    (tmp_path / "properties").write_text("client.id=a\n\n# nothing\nno pair\n")
    assert wrong(monkeypatch, IQA_KAFKA__PROPERTIES_FILE=str(tmp_path / "properties")).endswith("line 4: not key=value")


def test_what_others_clients_files_say_too_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One file for many clients: what it says of acknowledgements is what is done anyway."""
    (tmp_path / "properties").write_text("bootstrap.servers=k:1\nacks=all\nisolation.level=read_committed\nlinger.ms=3\n")
    monkeypatch.setenv("IQA_KAFKA__PROPERTIES_FILE", str(tmp_path / "properties"))
    assert load_settings().kafka.librdkafka()["linger.ms"] == "3"


def test_a_short_total_time_is_enough_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a connect time-out that somebody chose can contradict it."""
    monkeypatch.setenv("IQA_FETCH__TOTAL_TIMEOUT_S", "2")
    assert load_settings().fetch.total_timeout_s == 2
