"""Every failure of a transaction ends in all or nothing: published and committed together, or both again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from tests.patience import PATIENCE_S
from tests.worker.stream.test_ledger import P0, RECORD
from worker.errors import BrokerError
from worker.stream.ledger import Ledger, Partition
from worker.stream.refusals import ClosedTopicError
from worker.stream.transactions import TransactionalPublisher, committed_offsets


def failure(*, retriable: bool = False, abort: bool = False, fatal: bool = False) -> KafkaException:
    return KafkaException(
        KafkaError(KafkaError._ALL_BROKERS_DOWN, "made up", fatal=fatal, retriable=retriable, txn_requires_abort=abort)
    )


class Broker:
    """What is committed, seen from outside; failures are queued by the name of the call that they meet."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.offset = 0
        self.failures: dict[str, list[KafkaException]] = {}
        self.producers = 0
        self.generation = 1
        self.commit_in_silence = False
        self.answering = True
        self.silent_calls = 0
        self.ends: list[tuple[str, int, int]] = []
        """What a publisher told of its transactions."""

    def meet(self, call: str) -> None:
        if self.failures.get(call):
            raise self.failures[call].pop(0)

    def producer(self) -> Producer:
        self.producers += 1
        return Producer(self)

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        if not self.answering:
            raise TimeoutError
        return {P0: self.offset} if self.offset else {}


class Producer:
    """A producer of transactions; nothing is seen before its commit."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.state = "new"
        self.records: list[bytes] = []
        self.offset = 0

    def init_transactions(self, _: float) -> None:
        self.broker.meet("init")
        assert self.state == "new"
        self.state = "ready"

    def begin_transaction(self) -> None:
        assert self.state == "ready"
        self.state, self.records = "open", []

    def produce(self, topic: str, value: bytes, key: bytes, *, headers: Any, on_delivery: Any) -> None:
        assert self.state == "open"
        self.broker.meet("produce")
        self.records.append(value)

    def poll(self, _: float) -> int:
        return 0

    def send_offsets_to_transaction(self, places: Any, group: int, _: float) -> None:
        self.broker.meet("offsets")
        if self.broker.silent_calls:
            self.broker.silent_calls -= 1
            threading.Event().wait()
        if group != self.broker.generation:
            raise failure(abort=True)
        (place,) = places
        self.offset = place.offset

    def commit_transaction(self, _: float) -> None:
        assert self.state == "open"
        if self.broker.commit_in_silence:
            self._commit()
        self.broker.meet("commit")
        self._commit()

    def _commit(self) -> None:
        if self.state == "open":
            self.broker.records += self.records
            self.broker.offset = self.offset
            self.state = "ready"

    def abort_transaction(self, _: float) -> None:
        self.broker.meet("abort")
        self.state = "ready"


@pytest.fixture
def broker() -> Broker:
    return Broker()


def made(
    broker: Broker, count: int = 3, bound_s: float = PATIENCE_S, closed: Sequence[str] = ()
) -> tuple[Ledger, TransactionalPublisher]:
    ledger = Ledger()
    add(ledger, range(count))
    publisher = TransactionalPublisher(
        broker.producer,  # type: ignore[arg-type]
        lambda: broker.generation,
        broker.committed,
        ledger,
        bound_s,
        on_end=lambda *told: broker.ends.append(told),
        closed_topics=lambda: closed,
    )
    publisher.prepare()
    return ledger, publisher


def add(ledger: Ledger, offsets: range) -> None:
    for offset in offsets:
        entry = ledger.add(P0, offset, 1)
        assert ledger.begin(entry)
        ledger.finish(entry, [RECORD.__class__("v", b"k", str(offset).encode(), [])])


def test_records_and_offsets_go_together(broker: Broker) -> None:
    """In order, and once; what comes later is a transaction of its own."""
    ledger, publisher = made(broker)
    publisher.publish(ledger.finished())
    assert (broker.records, broker.offset) == ([b"0", b"1", b"2"], 3)
    ledger.confirm(ledger.published())
    add(ledger, range(3, 5))
    publisher.publish(ledger.finished())
    assert (broker.records[3:], broker.offset) == ([b"3", b"4"], 5)
    assert broker.producers == 1
    assert broker.ends == [("committed", 3, 0), ("committed", 2, 0)]


@pytest.mark.parametrize("call", ["init", "offsets", "commit"])
def test_passing_failures_are_tried_again(broker: Broker, call: str) -> None:
    """Within one publication, by the same producer."""
    broker.failures[call] = [failure(retriable=True), failure(retriable=True)]
    ledger, publisher = made(broker)
    publisher.publish(ledger.finished())
    assert broker.records == [b"0", b"1", b"2"]
    assert broker.producers == 1


@pytest.mark.parametrize("call", ["produce", "offsets", "commit"])
def test_what_must_be_aborted_is_published_whole_later(broker: Broker, call: str) -> None:
    """Nothing of it is seen, nothing of it is committed, nothing is skipped."""
    ledger, publisher = made(broker)
    broker.failures[call] = [failure(abort=True)]
    with pytest.raises(BrokerError):
        publisher.publish(ledger.finished())
    assert (broker.records, broker.offset, ledger.published().offsets) == ([], 0, {})
    publisher.publish(ledger.finished())
    assert (broker.records, broker.offset) == ([b"0", b"1", b"2"], 3)
    assert broker.producers == 1
    assert [result for result, *_ in broker.ends] == ["aborted", "committed"]


@pytest.mark.parametrize("call", ["produce", "offsets"])
def test_after_a_fatal_failure_another_producer_goes_on(broker: Broker, call: str) -> None:
    """The old one is not even asked to abort."""
    ledger, publisher = made(broker)
    broker.failures = {call: [failure(fatal=True)], "abort": [failure(fatal=True)]}
    with pytest.raises(BrokerError):
        publisher.publish(ledger.finished())
    assert broker.failures["abort"]
    publisher.publish(ledger.finished())
    assert broker.records == [b"0", b"1", b"2"]
    assert broker.producers == 2


def test_a_producer_that_cannot_abort_is_replaced(broker: Broker) -> None:
    """Its open transaction is ended by the next one with the same id."""
    ledger, publisher = made(broker)
    broker.failures = {"offsets": [failure(abort=True)], "abort": [failure()]}
    with pytest.raises(BrokerError):
        publisher.publish(ledger.finished())
    publisher.publish(ledger.finished())
    assert broker.records == [b"0", b"1", b"2"]
    assert broker.producers == 2


@pytest.mark.parametrize("happened", [True, False])
def test_commits_without_an_answer_are_looked_up(broker: Broker, happened: bool) -> None:
    """Published after all, or again: once in both cases."""
    ledger, publisher = made(broker)
    broker.commit_in_silence = happened
    broker.failures["commit"] = [failure()]
    with pytest.raises(BrokerError, match="not committed"):
        publisher.publish(ledger.finished())
    broker.commit_in_silence = False
    add(ledger, range(3, 4))
    publisher.publish(ledger.finished())
    assert broker.records == [b"0", b"1", b"2", b"3"]
    assert ledger.published().offsets == {P0: 4}
    assert [result for result, *_ in broker.ends] == ["unanswered", "committed"]


def test_nothing_is_published_while_a_commit_is_unknown(broker: Broker) -> None:
    """As long as nobody can say, waiting is the only honest thing."""
    ledger, publisher = made(broker)
    broker.commit_in_silence = True
    broker.failures["commit"] = [failure()]
    with pytest.raises(BrokerError):
        publisher.publish(ledger.finished())
    broker.commit_in_silence, broker.answering = False, False
    with pytest.raises(BrokerError, match="looked up"):
        publisher.publish(ledger.finished())
    broker.answering = True
    publisher.publish(ledger.finished())
    assert broker.records == [b"0", b"1", b"2"]


def test_a_worker_of_an_old_generation_publishes_nothing(broker: Broker) -> None:
    """Its partitions belong to somebody else."""
    ledger = Ledger()
    add(ledger, range(2))
    publisher = TransactionalPublisher(broker.producer, lambda: 0, broker.committed, ledger)  # type: ignore[arg-type]
    with pytest.raises(BrokerError, match="given up"):
        publisher.publish(ledger.finished())
    assert (broker.records, broker.offset) == ([], 0)


def test_a_broker_without_transactions_is_told_at_the_start(broker: Broker) -> None:
    """With what to set."""
    broker.failures["init"] = [failure()]
    with pytest.raises(BrokerError, match="IQA_KAFKA__DELIVERY=at_least_once"):
        made(broker)


def test_time_is_bounded(broker: Broker) -> None:
    """A broker that always says "later" is given up, and nothing is lost."""
    ledger, publisher = made(broker, bound_s=0.0)
    broker.failures["offsets"] = [failure(retriable=True)] * 3
    with pytest.raises(BrokerError):
        publisher.publish(ledger.finished())
    assert len(broker.failures["offsets"]) == 2
    publisher = TransactionalPublisher(broker.producer, lambda: 1, broker.committed, ledger)  # type: ignore[arg-type]
    publisher.publish(ledger.finished())
    assert broker.records == [b"0", b"1", b"2"]


def test_a_call_that_never_comes_back_is_left_behind(broker: Broker) -> None:
    """librdkafka's issue 5456: the time-out is ignored. Another producer publishes everything, once."""
    broker.silent_calls = 1
    ledger, publisher = made(broker, bound_s=0.2)
    with pytest.raises(BrokerError, match="another producer"):
        publisher.publish(ledger.finished())
    assert broker.records == []
    publisher._bound_s = PATIENCE_S
    publisher.publish(ledger.finished())
    assert broker.records == [b"0", b"1", b"2"]
    assert (broker.producers, broker.offset) == (2, 3)
    assert [result for result, *_ in broker.ends] == ["left_behind", "committed"]


@pytest.mark.parametrize("call", ["offsets", "commit"])
@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._STATE])
def test_a_topic_that_takes_nothing_is_named(broker: Broker, call: str, code: int) -> None:
    """No record tells of it: the transaction fails as a whole, and the broker is asked which of its topics is to blame."""
    ledger, publisher = made(broker, closed=("other", "v"))
    broker.failures[call] = [KafkaException(KafkaError(code, "made up", txn_requires_abort=True))]
    with pytest.raises(ClosedTopicError) as raised:
        publisher.publish(ledger.finished())
    assert raised.value.topic == "v"
    publisher.publish(ledger.finished())
    assert (broker.records, broker.producers) == ([b"0", b"1", b"2"], 1)


def test_a_right_to_read_that_is_missing_closes_no_topic(broker: Broker) -> None:
    """Offsets are refused with the same code."""
    ledger, publisher = made(broker, closed=("other",))
    broker.failures["offsets"] = [
        KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "made up", txn_requires_abort=True))
    ]
    with pytest.raises(BrokerError) as raised:
        publisher.publish(ledger.finished())
    assert not isinstance(raised.value, ClosedTopicError)


class Coordinator:
    """An admin client whose answers are queued: offsets, or errors in their place."""

    def __init__(self, *answers: int | KafkaError) -> None:
        self.answers = list(answers)

    def list_consumer_group_offsets(self, _: object, **__: object) -> dict[str, Future[SimpleNamespace]]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        wrong = answer if isinstance(answer, KafkaError) else None
        place = SimpleNamespace(topic="t", partition=0, offset=-1001 if wrong else answer, error=wrong)
        future: Future[SimpleNamespace] = Future()
        future.set_result(SimpleNamespace(topic_partitions=[place]))
        return {"g": future}


def asked(*answers: int | KafkaError) -> dict[Partition, int]:
    return committed_offsets(cast("AdminClient", Coordinator(*answers)), "g")([P0])


def test_a_pending_transaction_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in an offset's place is no offset that is absent; one that stays, or another one, is told."""
    pending, refused = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT), KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    assert asked(pending, pending, 7) == {("t", 0): 7}
    assert asked(-1001) == {}
    with pytest.raises(KafkaException):
        asked(refused, 7)
    monkeypatch.setattr("worker.stream.transactions.PENDING_S", 0.2)
    with pytest.raises(KafkaException):
        asked(pending)
