"""``iqa rejudge`` on a real Kafka and Redis: each event once, nothing worse than it was, whatever ends it midway."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.fleet import Fleet, WorkerProcess
from tests.integration.looking import published
from tests.integration.test_delivery import pictures
from tests.integration.test_operations import joined, next_profile
from tests.patience import PATIENCE_S
from worker.contracts.verdicts import QualityVerdict
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis
from worker.send import make_event, send_events
from worker.settings import RedisSettings
from worker.store import VerdictReader, connect
from worker.stream.clients import make_transactional_producer

__all__ = ["next_profile"]

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

Wait = Callable[..., Any]
SINCE = "--since=2026-01-01"
COUNT = 60
TWICE, GONE, CHANGED, NEW = range(5), range(10, 13), range(13, 15), range(60, 65)


class Stage:
    """A fleet with Redis and pictures of its own, which can be taken away."""

    def __init__(self, fleet: Fleet, redis_url: str, profile: Path) -> None:
        self.fleet = fleet
        self.profile = profile
        self.files = pictures(80)
        self.environment = {
            **fleet.environment,
            "IQA_KAFKA__DELIVERY": "exactly_once",
            "IQA_REDIS__URL": redis_url,
            "IQA_RUNTIME": "onnx",
        }
        client = connect(RedisSettings(url=redis_url))
        assert client is not None
        self.reader = VerdictReader(client)
        fleet.create_topics()

    def worker(self, **more: str) -> WorkerProcess:
        return self.fleet.start(**{**self.environment, **more})

    def send(self, server: PictureServer, numbers: range, service: str | None = None) -> list[str]:
        """Upload events of images ``i-0`` and so on; gives their ids."""
        events = [make_event(server.url(f"{number}.jpg"), f"i-{number}", service) for number in numbers]
        send_events(self.fleet.settings, events)
        return [event.event_id for event in events]

    def stored(self, numbers: range = range(COUNT)) -> dict[str, QualityVerdict]:
        """The verdicts that Redis holds by now."""
        found = self.reader.get_many([f"i-{number}" for number in numbers])
        return {image: verdict for image, verdict in found.items() if verdict is not None}

    def judge(self, server: PictureServer, worker: WorkerProcess, wait_until: Wait) -> None:
        """Have the first pictures judged."""
        self.send(server, range(COUNT))
        wait_until(lambda: len(self.stored()) == COUNT, what="verdicts in Redis")
        assert worker.terminate() == 0

    @contextmanager
    def rejudge(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "tests.integration.odd_rejudge", "rejudge", *arguments]
        given = {**os.environ, **self.environment, **environment}
        with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def done(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        with self.rejudge(*arguments, **environment) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, err


@pytest.fixture
def stage(fleet: Fleet, own_redis: LocalRedis, next_profile: Path) -> Stage:
    return Stage(fleet, own_redis.url, next_profile)


def counts(out: str) -> dict[str, int]:
    """What a rejudge says at its end: how many of what."""
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    return {line[1]: int(line[0]) for line in lines if len(line) == 2 and line[0].isdigit()}


def test_each_event_once_and_nothing_worse(stage: Stage, wait_until: Wait) -> None:
    """Killed, stopped, and given again; what was uploaded again, judged already or taken away keeps its verdict."""
    fleet, new_profile = stage.fleet, {"IQA_PROFILE": str(stage.profile)}
    with PictureServer(stage.files) as server:
        worker = stage.worker()
        stage.judge(server, worker, wait_until)
        old = stage.stored()
        # What follows is judged as the rejudge will judge: the roll-out came first.
        worker = joined(stage.worker(), wait_until)
        again = set(stage.send(server, TWICE))
        wait_until(lambda: again <= {verdict.event_id for verdict in stage.stored().values()}, what="second uploads")
        assert worker.terminate() == 0
        worker = joined(stage.worker(**new_profile), wait_until)
        stage.send(server, NEW)
        wait_until(lambda: len(stage.stored(NEW)) == len(NEW), what="new verdicts")
        for number in GONE:
            del stage.files[f"{number}.jpg"]
        for number in CHANGED:
            stage.files[f"{number}.jpg"] = stage.files[f"{number + 60}.jpg"]
        before = sum(published(fleet).values())
        assert before == COUNT + len(TWICE) + len(NEW)

        with stage.rejudge(SINCE, "--rate", "5", **new_profile) as first:
            wait_until(lambda: sum(published(fleet).values()) >= before + 10, what="ten verdicts")
            # It goes on for seconds: new uploads do not wait for that.
            stage.send(server, range(65, 70))
            wait_until(lambda: len(stage.stored(range(65, 70))) == 5, what="verdicts on new uploads meanwhile")
            assert first.poll() is None
        at_kill = sum(published(fleet).values())
        with stage.rejudge(SINCE, "--rate", "5", **new_profile) as second:
            wait_until(lambda: sum(published(fleet).values()) >= at_kill + 5, what="five more")
            second.send_signal(signal.SIGTERM)
            told = second.communicate(timeout=PATIENCE_S)[1]
        assert (second.returncode, told.splitlines()[-1]) == (143, "interrupted: the same command goes on from here"), told
        at_term = sum(published(fleet).values())
        code, out, err = stage.done(SINCE, **new_profile)
        assert code == 0, err
        code, rest, err = stage.done(SINCE, **new_profile)
        assert (code, counts(rest)) == (0, {"judged again": 0}), err
        wait_until(lambda: fleet.read() and sum(fleet.seen.values()) == sum(published(fleet).values()), what="all verdicts")
        wait_until(lambda: stage.stored() == {f"i-{n}": fleet.latest[f"i-{n}"] for n in range(COUNT)}, what="Redis")
        assert worker.terminate() == 0
    assert COUNT - len(GONE) > at_kill - before - 5 > 0
    assert at_kill < at_term
    more = Counter({f"i-{n}": 1 for n in range(70)}) + Counter({f"i-{n}": 1 for n in TWICE})
    more += Counter({f"i-{n}": 1 for n in range(COUNT) if n not in GONE})
    assert published(fleet) == more
    ours = {verdict.fingerprint for verdict in stage.stored(NEW).values()}
    assert len(ours) == 1
    for image, verdict in stage.stored().items():
        gone = int(image[2:]) in GONE
        assert (verdict.fingerprint in ours, verdict == old[image]) == (not gone, gone)
    assert {stage.stored()[f"i-{n}"].event_id for n in TWICE} == again
    assert counts(out)["judged again"] == sum(published(fleet).values()) - at_term


def test_two_share_it_and_tell_what_was_left(stage: Stage, wait_until: Wait) -> None:
    """Together they have judged each event once."""
    new_profile = {"IQA_PROFILE": str(stage.profile)}
    with PictureServer(stage.files) as server:
        stage.judge(server, stage.worker(), wait_until)
        worker = joined(stage.worker(**new_profile), wait_until)
        again = set(stage.send(server, TWICE))
        wait_until(lambda: again <= {verdict.event_id for verdict in stage.stored().values()}, what="second uploads")
        for number in GONE:
            del stage.files[f"{number}.jpg"]
        for number in CHANGED:
            stage.files[f"{number}.jpg"] = stage.files[f"{number + 60}.jpg"]
        before, pair = sum(published(stage.fleet).values()), [SINCE, "--rate", "5"]
        with stage.rejudge(*pair, **new_profile) as one, stage.rejudge(*pair, **new_profile) as two:
            outputs = [process.communicate(timeout=PATIENCE_S) for process in (one, two)]
        assert worker.terminate() == 0
    assert (one.returncode, two.returncode) == (0, 0), outputs
    told = sum((Counter(counts(out)) for out, _ in outputs), Counter[str]())
    assert sum(published(stage.fleet).values()) - before == told["judged again"]
    assert told["judged again"] == COUNT - len(TWICE) - len(GONE)
    assert told["left: the image was uploaded again since"] == len(TWICE)
    assert told["left: judged by this profile and these engines before"] == len(TWICE)
    assert told["left: the picture cannot be fetched (http_not_found)"] == len(GONE)
    assert told["of them with other bytes at the same URL"] == len(CHANGED)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_rows_in_place_of_verdicts(stage: Stage, tmp_path: Path, wait_until: Wait) -> None:
    """One for each event, though it is killed midway; nothing is published, and another command's rows do not mix."""
    folder, arguments = tmp_path / "rows", ["--profile", str(stage.profile)]
    often = {"ODD_PART_S": "0.2"}
    with PictureServer(stage.files) as server:
        stage.judge(server, stage.worker(), wait_until)
        old, verdicts = stage.stored(), published(stage.fleet)
        for number in GONE:
            del stage.files[f"{number}.jpg"]
        command = [SINCE, "--to", str(folder), *arguments]
        with stage.rejudge(*command, "--rate", "5", **often) as first:
            wait_until(lambda: folder.exists() and len(rows_of(folder)) >= 10, what="ten rows")
            first.kill()
        at_kill = len(rows_of(folder))
        code, out, err = stage.done(*command, **often)
        assert code == 0, err
        same = stage.done(*command)
        other = stage.done(SINCE, "--to", str(folder))
    rows = rows_of(folder)
    assert at_kill < COUNT
    assert Counter(row["event_id"] for row in rows) == Counter(verdict.event_id for verdict in old.values())
    assert published(stage.fleet) == verdicts
    assert stage.stored() == old
    for row in rows:
        verdict = old[row["image_id"]]
        assert (row["old_category"], row["old_score"], row["old_profile"]) == (verdict.category, verdict.score, verdict.profile)
        gone = int(row["image_id"][2:]) in GONE
        assert (row["reason"], row["category"] is None) == (("http_not_found", True) if gone else (None, False))
        assert gone or (row["profile"], row["raw_score"] is None) == ("recruitment@999", False)
        assert row["url"] == verdict.url
    changed = sum(row["category"] not in {None, row["old_category"]} for row in rows)
    assert changed > 0
    assert out.splitlines()[-1].startswith(f"{changed} of {COUNT - len(GONE)} with a category"), out
    assert same[0] == 0
    assert counts(same[1])["judged again"] == 0
    assert rows_of(folder) == rows
    assert other[0] == 2
    assert "holds rows of another rejudge (fingerprints differ)" in other[2].splitlines()[-1]


def test_engines_that_fail_end_it(stage: Stage, wait_until: Wait) -> None:
    """Nothing of what they failed on is published or passed over: the next one judges all."""
    with PictureServer(stage.files) as server:
        stage.judge(server, stage.worker(), wait_until)
        before = published(stage.fleet)
        command = [SINCE, "--profile", str(stage.profile)]
        code, out, err = stage.done(*command, ODD_ENGINES="1")
        assert (code, counts(out)) == (1, {"judged again": 0}), err
        assert "the same command goes on from here" in err.splitlines()[-1]
        assert published(stage.fleet) == before
        code, out, err = stage.done(*command)
    assert (code, counts(out)["judged again"]) == (0, COUNT), err


def test_a_window_of_time_without_redis(stage: Stage) -> None:
    """By the records' times, in whatever order they lie; partitions that end with the marks of transactions end too."""
    topic, kafka, now = stage.fleet.settings.topics.uploads, stage.fleet.settings.kafka, datetime.now(UTC)
    sender = make_transactional_producer(kafka, f"{kafka.group_id}.sender")
    sender.init_transactions(PATIENCE_S)
    with PictureServer({}) as server:
        for hours, numbers in ((3, range(7)), (2, range(7, 20)), (1, range(20, 25))):
            for undone in (False, True):
                sender.begin_transaction()
                for number in numbers:
                    service = "housing" if number % 2 else None
                    body = make_event(server.url("none.jpg"), f"i-{number}", service).model_dump_json()
                    written = int((now - timedelta(hours=hours)).timestamp() * 1000)
                    sender.produce(topic, body, f"i-{number}", timestamp=written)
                (sender.abort_transaction if undone else sender.commit_transaction)(PATIENCE_S)
        since, until = ((now - timedelta(hours=hours)).isoformat() for hours in (2.5, 1.5))
        counted = stage.done("--since", since, "--until", until, "--dry-run")
        both = stage.done("--since", since, "--until", until, "--service", "housing", IQA_REDIS__URL="")
        rest = stage.done("--since", since, IQA_REDIS__URL="")
    assert re.search(r"all +\D+13\b", counted[1]), counted
    gone = "left: the picture cannot be fetched (http_not_found)"
    assert (both[0], counts(both[1])[gone], counts(both[1])["passed over: of other services"]) == (0, 7, 6), both
    assert (rest[0], counts(rest[1])[gone]) == (0, 18), rest
    assert "rejudge_without_redis" in rest[2]


def test_counting_and_mistakes(stage: Stage) -> None:
    """A dry run counts by service and fetches nothing; what is wrong is told in a line."""
    with PictureServer({}) as server:
        for numbers, service in ((range(3), None), (range(3, 8), "housing"), (range(8, 9), "used_cars")):
            stage.send(server, numbers, service)
    code, out, err = stage.done(SINCE, "--dry-run")
    assert code == 0, err
    assert [line.split()[1:4:2] for line in out.splitlines()[3:-1]] == [
        ["housing", "5"],
        ["(none)", "3"],
        ["used_cars", "1"],
        ["all", "9"],
    ]
    code, out, err = stage.done(SINCE, "--dry-run", "--service", "housing", "--service", "used_cars", "--rate", "1")
    assert out.splitlines()[-1] == "at 1 a second: 0.0 hours"
    assert "all" in out
    assert " 6 " in out
    for arguments, told in (
        (["--since", "lately"], "'lately' is no time"),
        (["--since", "2030-01-01"], "is yet to come"),
        ([SINCE, "--until", "2025-01-01"], "is not after"),
        ([SINCE, "--service", ""], "must not be empty"),
        ([SINCE, "--rate", "inf"], "is no number"),
        ([SINCE, "--profile", "nobody"], "--profile: no profile 'nobody'"),
    ):
        code, out, err = stage.done(*arguments)
        assert (code, out) == (2, "")
        assert told in err
        assert err.count("\n") == 1
