"""Rows in Parquet files, each once, whatever dies when.

A part holds the rows of consecutive offsets of one partition, and its name says which. It is there, whole, before its offsets
are committed, and they are committed together. So after a kill reading begins where a part ends, and whatever parts lie behind
that place were never committed: they are removed when the rows are written again.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from worker.errors import BrokerError, IqaError
from worker.rejudge.rows import RowOutgoing
from worker.stream.ledger import Entry, Ledger, Partition

__all__ = ["Part", "PartsPublisher", "claim_folder", "count_changes", "overlapping", "parts_of", "require_parquet"]

log = structlog.get_logger()

MARK = "_rejudge.json"
"""Which command's rows lie in a folder. Readers of Parquet pass over names with an underscore in front."""

_NAME = re.compile(r"part-(\d{5,})-(\d{12,})-(\d{12,})\.parquet")


def require_parquet() -> None:
    """Check that Parquet can be written.

    Raises:
        IqaError: it cannot; says what to install.

    """
    try:
        import pyarrow.parquet  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise IqaError("--to needs pyarrow: pip install 'iqa-fleet[rejudge]'") from error


def claim_folder(folder: Path, told: Mapping[str, Any]) -> str:
    """Make ``folder`` the one of the command that ``told`` describes; gives its id, a new one for a new folder.

    The id is part of the progress' name: where rows were deleted, they are written again.

    Raises:
        IqaError: it holds something else.
        OSError: it cannot be written to.

    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / MARK
    if not mark.exists():
        if any(folder.glob("*.parquet")):
            raise IqaError(f"--to: {folder} holds Parquet files of something else: name another folder")
        own = folder / f".{uuid.uuid4().hex}"
        own.write_text(json.dumps({"id": uuid.uuid4().hex, **told}, indent=2), encoding="utf-8")
        try:
            # Of several processes that begin at once, one makes it, and all go by that.
            os.link(own, mark)
        except FileExistsError:
            log.info("rejudge_joins_others", folder=str(folder))
        finally:
            own.unlink()
    found = _read(mark)
    if differs := [name for name in told if found.get(name) != told[name]]:
        raise IqaError(f"--to: {folder} holds rows of another rejudge ({', '.join(differs)} differ): name another folder")
    return str(found["id"])


def _read(mark: Path) -> dict[str, Any]:
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        return {"id": str(found["id"]), **found}
    except (ValueError, TypeError, KeyError) as error:
        raise IqaError(f"--to: {mark} is not what a rejudge has written: name another folder") from error


class Part(NamedTuple):
    """A file, and whose rows it holds: offsets from ``first`` to ``last`` of a partition."""

    partition: int
    first: int
    last: int
    path: Path


def parts_of(folder: Path) -> list[Part]:
    """All parts in ``folder``, by partition and offset."""
    named = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir())
    return sorted(Part(int(name[1]), int(name[2]), int(name[3]), path) for path, name in named if name)


def overlapping(parts: Sequence[Part]) -> list[Part]:
    """Parts with rows that the part before them has, too."""
    return [after for before, after in pairwise(parts) if before.partition == after.partition and after.first <= before.last]


class PartsPublisher:
    """Writes parts; committing is the consumer's business, afterwards.

    Args:
        folder: claimed.
        ledger: entries are marked there, all of a part at once: no commit falls into a part.

    """

    commits_offsets = False

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger
        self.failure: OSError | None = None
        """Why the last part could not be written; none, once one could."""

    def prepare(self) -> None:
        """Nothing is to be made ready."""

    def publish(self, entries: Sequence[Entry]) -> None:
        """See ``Publisher``."""
        by_partition: dict[Partition, list[Entry]] = {}
        for entry in entries:
            by_partition.setdefault(entry.partition, []).append(entry)
        try:
            there = parts_of(self._folder)
            for (_, number), group in by_partition.items():
                self._write(number, group, [part for part in there if part.partition == number])
                self._ledger.mark_published(*group)
        except OSError as error:
            self.failure = error
            raise BrokerError(f"a part was not written: {error.strerror or error}") from error
        self.failure = None

    def _write(self, number: int, group: Sequence[Entry], there: Sequence[Part]) -> None:
        first, last = group[0].offset, group[-1].offset
        for part in there:
            if part.first >= first:
                log.info("rejudge_part_written_again", part=part.path.name)
                part.path.unlink(missing_ok=True)
        rows = [dict(record.row) for entry in group for record in entry.records if isinstance(record, RowOutgoing)]
        if rows:
            _write_rows(self._folder / f"part-{number:05}-{first:012}-{last:012}.parquet", rows)


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """All of them, or no file of that name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    kinds = {"uploaded_at": pa.timestamp("us", "UTC"), "partition": pa.int32(), "offset": pa.int64()}
    kinds |= dict.fromkeys(("old_score", "score", "raw_score", "engine_score"), number)
    schema = pa.schema([(name, kinds.get(name, text)) for name in rows[0]])
    own = path.with_name(f".{uuid.uuid4().hex}.tmp")
    with own.open("wb") as file:
        pq.write_table(pa.Table.from_pylist(list(rows), schema), file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    own.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A name is durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def count_changes(parts: Sequence[Part]) -> Counter[tuple[str, str]]:
    """How many rows have each pair of old and new category; ``none`` where there is none."""
    import pyarrow.parquet as pq

    found = Counter[tuple[str, str]]()
    for part in parts:
        table = pq.read_table(part.path, columns=["old_category", "category"])
        columns = (table.column(name).to_pylist() for name in ("old_category", "category"))
        found.update((old or "none", new or "none") for old, new in zip(*columns, strict=True))
    return found
