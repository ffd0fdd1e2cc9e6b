"""What the stream tells of its work to whatever traces; and ``NO_TRACING``, which is told nothing, for workers that do not.

Nothing of OpenTelemetry's is imported here, nor anywhere but in ``worker.telemetry.tracing``, which is imported where traces
are switched on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from confluent_kafka import KafkaError, Message

from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import QualityVerdict
from worker.errors import SettingsError
from worker.settings import Settings
from worker.stream.incoming import Record
from worker.stream.ledger import Entry
from worker.stream.outgoing import Outgoing

__all__ = ["NO_TRACING", "Committing", "Headers", "LaneTracing", "Polling", "Sending", "Tracing", "Work", "make_tracing"]

Headers = list[tuple[str, str | bytes | None]]


class Polling(Protocol):
    """One call for records."""

    def add(self, record: Record) -> object:
        """One that came; gives what its entry should keep as its ``origin``."""

    def fail(self, error: KafkaError) -> None:
        """An error that came in place of a record."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Work(Protocol):
    """The work on one event."""

    @property
    def record(self) -> Record:
        """To work on: what is made of it carries the trace on."""

    @property
    def logged(self) -> Mapping[str, str]:
        """What lines of the log are to have: ``trace_id``, if there is one."""

    def end(self, event: ImageUploaded | None, verdict: QualityVerdict | None, fault: str | None) -> None:
        """It is over. ``fault`` says what kind of failure it ended with, if it did; a picture that is bad is none."""


class Sending(Protocol):
    """One record on its way to the broker."""

    @property
    def headers(self) -> Headers:
        """To send it with."""

    def end(self, error: KafkaError | None, message: Message | None) -> None:
        """The broker's answer; an ``error`` without a message if the record never left."""


class Committing(Protocol):
    """One commit on its way."""

    def end(self, error: BaseException | KafkaError | None = None) -> None:
        """It was taken, or failed. What comes after the first call is passed over."""


class LaneTracing(Protocol):
    """What one lane tells. No method raises; all but the first may be called from any thread."""

    def begin(self, cluster_id: Callable[[], str | None]) -> None:
        """The lane begins; ``cluster_id`` asks the broker, and may raise."""

    def poll(self) -> Polling:
        """The consumer is asked for records from here on, until the first is added."""

    def process(self, record: Record) -> Work:
        """Work on ``record`` begins."""

    def send(self, record: Outgoing) -> Sending:
        """``record`` is handed to a producer."""

    def commit(self, entries: Sequence[Entry]) -> Committing:
        """The offsets of ``entries`` are about to be committed."""


class Tracing(Protocol):
    """Of one worker."""

    def lane(self, group_id: str) -> LaneTracing:
        """For the lane whose consumer is a member of ``group_id``."""

    def close(self, timeout_s: float) -> None:
        """Export what is left, for ``timeout_s`` seconds at most."""


class _Nothing:
    """Does nothing, and remembers nothing: one for all."""

    def add(self, record: Record) -> object:
        return None

    def fail(self, error: KafkaError) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def end(self, error: BaseException | KafkaError | None = None) -> None:
        pass


class _Untraced:
    """Work that nobody traces."""

    logged: Mapping[str, str] = {}

    def __init__(self, record: Record) -> None:
        self.record = record

    def end(self, event: ImageUploaded | None, verdict: QualityVerdict | None, fault: str | None) -> None:
        pass


class _Unmarked:
    """A record that is sent as it is."""

    def __init__(self, record: Outgoing) -> None:
        self.headers: Headers = list(record.headers)

    def end(self, error: KafkaError | None, message: Message | None) -> None:
        pass


_NOTHING = _Nothing()


class _NoTracing:
    """See ``Tracing`` and ``LaneTracing``."""

    def lane(self, group_id: str) -> LaneTracing:
        return self

    def close(self, timeout_s: float) -> None:
        pass

    def begin(self, cluster_id: Callable[[], str | None]) -> None:
        pass

    def poll(self) -> Polling:
        return _NOTHING

    def process(self, record: Record) -> Work:
        return _Untraced(record)

    def send(self, record: Outgoing) -> Sending:
        return _Unmarked(record)

    def commit(self, entries: Sequence[Entry]) -> Committing:
        return _NOTHING


NO_TRACING = _NoTracing()


def make_tracing(settings: Settings) -> Tracing:
    """As ``settings`` and OpenTelemetry's own variables want it.

    Raises:
        SettingsError: traces are on, and cannot be.

    """
    if not settings.tracing.enabled or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NO_TRACING
    try:
        from worker.telemetry.tracing import OtelTracing
    except ImportError as error:
        told = f"needs packages that are not installed ({error.name}): pip install 'iqa-fleet[otel]'"
        raise SettingsError(f"IQA_TRACING__ENABLED: {told}") from error
    return OtelTracing(settings)
