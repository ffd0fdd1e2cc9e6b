"""Only finished and published prefixes are ever committed."""

from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from worker.stream.ledger import Entry, Ledger, Outgoing, Partition

P0: Partition = ("u", 0)
P1: Partition = ("u", 1)
RECORD = Outgoing("v", b"k", b"v", [])


def run(ledger: Ledger, entry: Entry) -> None:
    assert ledger.begin(entry)
    ledger.finish(entry, [RECORD])


def test_a_gap_holds_back_what_comes_after_it() -> None:
    """Event 1 is slow: 0 may be committed, 2 may not."""
    ledger = Ledger()
    entries = [ledger.add(P0, offset, 10) for offset in (5, 6, 7)]
    for entry in (entries[0], entries[2]):
        run(ledger, entry)
    assert [entry.offset for entry in ledger.finished()] == [5]
    run(ledger, entries[1])
    assert [entry.offset for entry in ledger.finished()] == [5, 6, 7]


def test_only_published_entries_are_committed() -> None:
    """Finished is not enough."""
    ledger = Ledger()
    entries = [ledger.add(P0, offset, 10) for offset in (5, 6)]
    for entry in entries:
        run(ledger, entry)
    assert ledger.published().offsets == {}
    ledger.mark_published(entries[1])
    assert ledger.published().offsets == {}
    assert [entry.offset for entry in ledger.finished()] == [5]
    ledger.mark_published(entries[0])
    prefix = ledger.published()
    assert prefix.offsets == {P0: 7}
    ledger.confirm(prefix)
    assert (ledger.count, ledger.bytes) == (0, 0)


def test_forgotten_entries_change_nothing_when_they_finish() -> None:
    """The partition was taken away and came back: its old work must not count as new."""
    ledger = Ledger()
    old = ledger.add(P0, 5, 10)
    assert ledger.begin(old)
    ledger.forget([P0])
    new = ledger.add(P0, 5, 10)
    ledger.finish(old, [RECORD])
    ledger.mark_published(old)
    assert ledger.finished() == []
    assert ledger.published().offsets == {}
    assert ledger.begin(new)
    assert not ledger.begin(old)
    assert ledger.count == 1


def test_cancelled_entries_do_not_start() -> None:
    """What waits for a thread at shutdown is left to the next owner."""
    ledger = Ledger()
    running, queued, elsewhere = ledger.add(P0, 1, 1), ledger.add(P0, 2, 1), ledger.add(P1, 1, 1)
    assert ledger.begin(running)
    ledger.cancel_queued([P0])
    assert not ledger.begin(queued)
    assert ledger.begin(elsewhere)
    assert not ledger.wait_idle(0, [P0])
    ledger.finish(running, [RECORD])
    assert ledger.wait_idle(0, [P0])
    assert [entry.offset for entry in ledger.finished([P0])] == [1]


def test_waiting_for_room_and_for_idleness() -> None:
    """Waiters wake when something finishes, and give up when time does."""
    ledger = Ledger()
    entry = ledger.add(P0, 1, 100)
    assert ledger.wait_for_room(101, 0)
    assert not ledger.wait_for_room(100, 0.01)
    assert ledger.begin(entry)
    threading.Timer(0.05, ledger.finish, (entry, [RECORD])).start()
    assert ledger.wait_idle(10)


def test_what_is_finished_and_waits_is_no_unfinished_work() -> None:
    """One slow picture at the head: its partition holds many results, and one event."""
    ledger = Ledger()
    head, *others = [ledger.add(P0, offset, 10) for offset in range(50)]
    assert ledger.begin(head)
    for entry in others:
        run(ledger, entry)
    assert (ledger.load(P0).unfinished, ledger.load(P1).unfinished) == (1, 0)
    assert ledger.load(P0).bytes == 50 * 10 + 49 * RECORD.size
    assert ledger.finished() == []
    ledger.cancel_queued()
    ledger.finish(head, [RECORD])
    assert (ledger.load(P0).unfinished, len(ledger.finished())) == (0, 50)


def test_a_topic_that_takes_nothing_holds_back_only_who_needs_it() -> None:
    """A dead letter waits with all that comes after it in its partition; other partitions go on."""
    ledger, letter = Ledger(), Outgoing("dlq", b"k", b"", [])
    for partition, offset, record in ((P0, 0, RECORD), (P0, 1, letter), (P0, 2, RECORD), (P1, 0, RECORD), (P1, 1, RECORD)):
        entry = ledger.add(partition, offset, 1)
        assert ledger.begin(entry)
        ledger.finish(entry, [record])

    def places(*, only_closed: bool = False) -> list[tuple[Partition, int]]:
        return [(e.partition, e.offset) for e in ledger.finished(None, {"dlq"}, only_closed=only_closed)]

    assert places() == [(P0, 0), (P1, 0), (P1, 1)]
    assert places(only_closed=True) == []
    ledger.mark_published(ledger.finished()[0])
    assert places() == [(P1, 0), (P1, 1)]
    assert places(only_closed=True) == [(P0, 1), (P0, 2)]


def test_a_topic_made_anew_gets_no_old_offset() -> None:
    """What was in flight is published all the same, before what comes from the new topic."""
    ledger = Ledger()
    old = [ledger.add(P0, offset, 1) for offset in (500, 501)]
    run(ledger, old[0])
    assert not ledger.goes_back(P0, 502)
    assert ledger.goes_back(P0, 0)
    assert ledger.orphan([P0]) == 2
    new = ledger.add(P0, 0, 1)
    run(ledger, new)
    assert ledger.finished() == [old[0], new]
    assert not ledger.is_idle(P0)
    for entry in ledger.finished():
        ledger.mark_published(entry)
    prefix = ledger.published()
    assert prefix.offsets == {P0: 1}
    ledger.confirm(prefix)
    assert ledger.count == 1
    run(ledger, old[1])
    assert ledger.finished() == [old[1]]
    ledger.mark_published(old[1])
    prefix = ledger.published()
    assert prefix.offsets == {}
    ledger.confirm(prefix)
    assert (ledger.count, ledger.bytes, ledger.is_idle(P0)) == (0, 0, True)


def test_orphans_outlast_their_partition() -> None:
    """The topic was made anew, and then the partition goes to somebody else: nobody will ever read the old events again."""
    ledger = Ledger()
    old = [ledger.add(P0, offset, 1) for offset in (5, 6, 7)]
    run(ledger, old[2])
    assert ledger.begin(old[0])
    ledger.orphan([P0])
    new = ledger.add(P0, 0, 1)
    assert ledger.begun == 3
    ledger.cancel_queued([P0])
    assert not ledger.begin(new)
    assert ledger.wait_idle(0, [P0])
    assert not ledger.wait_idle(0)
    ledger.forget([P0])
    ledger.finish(old[0], [RECORD])
    run(ledger, old[1])
    assert ledger.finished() == old
    for entry in old:
        ledger.mark_published(entry)
    prefix = ledger.published()
    ledger.confirm(prefix)
    assert (prefix.offsets, ledger.count, ledger.bytes, ledger.begun) == ({}, 0, 0, 0)


def test_a_mark_is_committed_in_order_and_is_no_event() -> None:
    """Markers of transactions at the end of a partition: lag reaches 0, and nobody calls that work."""
    ledger = Ledger()
    ledger.mark(P0, 9)
    ledger.mark(P0, 9)
    assert (ledger.begun, ledger.bytes, ledger.load(P0).unfinished, ledger.is_idle(P0)) == (0, 0, 0, False)
    run(ledger, ledger.add(P0, 9, 1))
    for entry in ledger.finished():
        ledger.mark_published(entry)
    prefix = ledger.published()
    assert prefix.offsets == {P0: 10}
    ledger.confirm(prefix)
    assert ledger.count == 0
    entry = ledger.add(P0, 12, 1)
    ledger.mark(P0, 13)
    assert ledger.finished() == []
    run(ledger, entry)
    assert ledger.finished() == [entry]


def test_ages_tell_progress() -> None:
    """What runs, what could be published, what was taken first; nothing in flight has no age."""
    ledger = Ledger()
    assert (ledger.oldest_s(), ledger.running_s(), ledger.unpublished_s(), ledger.begun) == (0, 0, 0, 0)
    first, second = ledger.add(P0, 0, 1), ledger.add(P0, 1, 1)
    assert (ledger.begin(first), ledger.begin(second)) == (True, True)
    ledger.finish(second, [RECORD])
    first.since -= 100
    first.added -= 200
    second.since -= 50
    assert ledger.running_s() >= 100
    assert ledger.oldest_s() >= 200
    assert ledger.unpublished_s() == 0
    ledger.finish(first, [RECORD])
    first.since -= 30
    assert ledger.unpublished_s() >= 30
    assert ledger.begun == 2


def test_offsets_must_rise() -> None:
    """Reading a record twice without forgetting it is a bug."""
    ledger = Ledger()
    ledger.add(P0, 5, 1)
    with pytest.raises(ValueError, match="comes after 5"):
        ledger.add(P0, 5, 1)


class LedgerMachine(RuleBasedStateMachine):
    """Any order of work, publishing, commits and lost partitions."""

    entries = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.next = {P0: 0, P1: 0}
        self.committed = {P0: 0, P1: 0}
        self.published: set[tuple[Partition, int]] = set()
        self.living: list[Entry] = []

    @rule(target=entries, partition=st.sampled_from([P0, P1]), count=st.integers(1, 4))
    def arrive(self, partition: Partition, count: int) -> object:
        added = []
        for _ in range(count):
            added.append(self.ledger.add(partition, self.next[partition], 7))
            self.next[partition] += 1
        self.living += added
        return multiple(*added)

    @rule(entry=entries)
    def work(self, entry: Entry) -> None:
        if self.ledger.begin(entry):
            self.ledger.finish(entry, [RECORD])

    @rule(share=st.integers(1, 3))
    def publish(self, share: int) -> None:
        for number, entry in enumerate(self.ledger.finished()):
            if number % share == 0:
                self.ledger.mark_published(entry)
                self.published.add((entry.partition, entry.offset))

    @rule()
    def commit(self) -> None:
        prefix = self.ledger.published()
        for partition, offset in prefix.offsets.items():
            assert offset > self.committed[partition]
            # The promise: everything before a committed offset was published.
            assert all((partition, n) in self.published for n in range(offset))
            self.committed[partition] = offset
        self.ledger.confirm(prefix)
        self.living = [entry for entry in self.living if entry not in prefix.entries]

    @rule(partition=st.sampled_from([P0, P1]))
    def lose(self, partition: Partition) -> None:
        self.ledger.forget([partition])
        self.living = [entry for entry in self.living if entry.partition != partition]
        self.next[partition] = self.committed[partition]

    @invariant()
    def counts_add_up(self) -> None:
        waiting = sum(self.next[p] - self.committed[p] for p in (P0, P1))
        assert self.ledger.count == waiting
        assert self.ledger.bytes == 7 * waiting + RECORD.size * sum(bool(entry.records) for entry in self.living)
        for partition in (P0, P1):
            mine = [entry for entry in self.living if entry.partition == partition]
            assert self.ledger.load(partition).unfinished == sum(entry.state.name in {"QUEUED", "RUNNING"} for entry in mine)


TestLedger = LedgerMachine.TestCase
