"""Publishes as workers do, after a last look: a picture may have been uploaded anew while the old one was judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from worker.contracts.verdicts import QualityVerdict
from worker.errors import BrokerError, CacheError
from worker.rejudge.handler import Judged
from worker.rejudge.tally import Tally
from worker.rejudge.wanted import is_superseded
from worker.stream.ledger import Entry
from worker.stream.publisher import Publisher

__all__ = ["CheckingPublisher"]

FindMany = Callable[[Sequence[str]], Mapping[str, QualityVerdict | None]]
"""The verdicts that images have now, in one question."""


class CheckingPublisher:
    """Drops verdicts on pictures that have been replaced, and gives the rest to ``inner``.

    A later upload whose verdict comes between this look and the transaction's end still has the earlier one's after it.

    Args:
        inner: publishes.
        find: asks Redis.
        tally: counts what was dropped.

    """

    def __init__(self, inner: Publisher, find: FindMany, tally: Tally) -> None:
        self._inner = inner
        self._find = find
        self._tally = tally
        self.commits_offsets = inner.commits_offsets

    def prepare(self) -> None:
        """See ``Publisher``."""
        self._inner.prepare()

    def publish(self, entries: Sequence[Entry]) -> None:
        """See ``Publisher``."""
        judged = {entry: record.event for entry in entries for record in entry.records if isinstance(record, Judged)}
        try:
            found = self._find(sorted({event.image_id for event in judged.values()}))
        except CacheError as error:
            raise BrokerError(f"nothing is published while it is not known what was uploaded since: {error}") from error
        for entry, event in judged.items():
            if is_superseded(found.get(event.image_id), event):
                self._tally.expect(entry, "superseded")
                entry.records = ()
        self._inner.publish(entries)
