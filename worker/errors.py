"""The tree of errors, and what a reader of each should do.

IqaError                        everything the worker raises on purpose
+-- SettingsError               correct the setting that the message names; the worker does not start (exit code 2)
+-- BrokerError                 check IQA_KAFKA__*; the broker is away or refuses
|   +-- TopicRemadeError        a topic was deleted and made again while in use: the process is started again (exit code 1)
+-- StoppedError                a part of the worker died: the log has its traceback; the worker is started again (exit code 1)
+-- CacheError                  check IQA_REDIS__URL; Redis is away. Judging goes on without it
+-- DecodingError               decoding processes do not start: check the machine's memory; the event is tried again later
+-- EventError                  the event goes to the dead-letter topic; its sender corrects it (has a reason code)
+-- UnscorableError             the picture gets a verdict that says so (has a reason code)
    +-- FetchFailedError        ... because its bytes cannot be had
    +-- PictureError            ... because its bytes are no picture that can be judged
EngineError                     (engines.errors) engines missing, wrong, or failing: `iqa engines fetch`, `iqa engines verify`
CalibrationError                (calibration.errors) a profile is wrong: correct the field that the message names
"""

from __future__ import annotations

__all__ = [
    "BrokerError",
    "CacheError",
    "DecodingError",
    "EventError",
    "FetchFailedError",
    "IqaError",
    "PictureError",
    "SettingsError",
    "StoppedError",
    "TopicRemadeError",
    "UnscorableError",
]


class IqaError(Exception):
    """Everything that the worker raises on purpose."""


class SettingsError(IqaError):
    """A setting is missing or wrong. Correct the one that the message names."""


class BrokerError(IqaError):
    """Kafka is away or refuses. Check the ``IQA_KAFKA__`` settings and the broker."""


class TopicRemadeError(BrokerError):
    """A topic that a client uses is another one under the same name: the process ends, and one with new clients goes on.

    librdkafka keeps the leader epochs of the old topic and takes lower ones, which the new topic begins with, for outdated
    metadata, for ever (``rd_kafka_toppar_leader_update`` in 2.16.1): it may never read a partition of the new topic.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} was made anew while in use: start again, since a new client is needed to read it")


class StoppedError(IqaError):
    """A thread that a worker cannot do without has died. The log has the reason; starting again is the remedy."""


class CacheError(IqaError):
    """Redis is away or refuses. Check ``IQA_REDIS__URL``; verdicts still reach the topic."""


class DecodingError(IqaError):
    """Decoding processes do not start. Check the machine's memory; the log says how they end."""


class _CodedError(IqaError):
    """An error with a stable code for programs and a detail for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class EventError(_CodedError):
    """An event that cannot be understood. It is kept in the dead-letter topic; its sender corrects it."""


class UnscorableError(_CodedError):
    """A picture that cannot be judged. It gets a verdict of status ``unscorable`` with this code."""


class FetchFailedError(UnscorableError):
    """The bytes cannot be had. ``transient`` ones may succeed later."""

    def __init__(self, code: str, detail: str, *, transient: bool = False) -> None:
        super().__init__(code, detail)
        self.transient = transient


class PictureError(UnscorableError):
    """The bytes are no picture that can be judged; the same bytes will never be."""
