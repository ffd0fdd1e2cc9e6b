"""Checks librdkafka properties before any client is made with them."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaException, Producer

from worker.errors import SettingsError
from worker.settings import KafkaSettings

__all__ = ["check_properties"]

_OWN = {
    "group.id": "GROUP_ID",
    "transactional.id": "TRANSACTIONAL_ID",
    "group.instance.id": "INSTANCE_ID",
    "group.protocol": "PROTOCOL",
}
# What the promises rest on; files that were written for other clients may say the same.
_FIXED = {
    "enable.auto.commit": ("false",),
    "enable.auto.offset.store": ("false",),
    "enable.idempotence": ("true",),
    "acks": ("all", "-1"),
    "isolation.level": ("read_committed",),
}

_silent = logging.getLogger("librdkafka.check")
_silent.disabled = True


def check_properties(settings: KafkaSettings) -> None:
    """Have librdkafka look at every property, known to it or not, without a connection.

    Raises:
        SettingsError: a property is unknown, has a wrong value, or is not the user's to set.

    """
    properties = settings.librdkafka()
    for key, setting in _OWN.items():
        if key in properties:
            raise SettingsError(f"{_named(settings, key)}: {key} has a setting of its own, IQA_KAFKA__{setting}")
    for key, allowed in _FIXED.items():
        if str(properties.get(key, allowed[0])).lower() not in allowed:
            raise SettingsError(f"{_named(settings, key)}: {key} must be {allowed[0]}: the worker's promises rest on it")
    del properties["bootstrap.servers"]
    if told := _refusal(properties):
        # librdkafka may call it by another name; alone it is refused as well, unless it is the combination.
        culprit = next((key for key, value in properties.items() if _refusal({key: value})), "")
        raise SettingsError(f"{_named(settings, culprit)}: {told}")


def _refusal(properties: dict[str, Any]) -> str:
    """What librdkafka has against them; "" if nothing. A producer looks at consumers' properties as well."""
    try:
        Producer(properties, logger=_silent)
    except KafkaException as error:
        return str(error.args[0].str())
    return ""


def _named(settings: KafkaSettings, key: str) -> str:
    """The setting that a property came by."""
    for name in settings.properties:
        if name.replace("_", ".") == key:
            return f"IQA_KAFKA__PROPERTIES__{name.upper()}"
    return "IQA_KAFKA__PROPERTIES_FILE" if settings.properties_file else "IQA_KAFKA__PROPERTIES"
