"""The command line, as a person meets it: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S
from tests.pictures import encode, photo
from tests.worker.helpers import Run, verdict
from tests.worker.intake.servers import raw_server
from tests.worker.stack import embedded_stack, read
from worker.app import EXIT_LEFT
from worker.embedded.redis_server import LocalRedis
from worker.score import common_folder
from worker.send import make_event, send_events
from worker.settings import RedisSettings
from worker.store import VerdictWriter, connect


def test_help_names_every_command(iqa: Run) -> None:
    """A newcomer's first question."""
    code, out, _ = iqa("--help")
    assert code == 0
    assert all(command in out for command in ("worker", "score", "send", "verdict", "topics", "engines", "demo"))


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("score", "nowhere"), {}, "nowhere does not exist"),
        (("score", "."), {"IQA_TEXT": "sometimes"}, "IQA_TEXT"),
        (("score", "."), {"IQA_TYPO": "1"}, "IQA_TYPO"),
        (("score", "."), {"IQA_PROFILE": "nobody"}, "nobody"),
        (("score", "."), {"IQA_ENGINES__QUALITY": "nothing"}, "no engine 'nothing'"),
        (("score", "."), {"IQA_ENGINES__DIRECTORY": "/nowhere"}, "iqa engines fetch"),
        (("worker", "run"), {"IQA_FETCH__ALLOW_NETWORKS": "10.0.0.0/99"}, "IQA_FETCH__ALLOW_NETWORKS"),
        (("worker", "run"), {"IQA_KAFKA__DELIVERY": "twice"}, "IQA_KAFKA__DELIVERY"),
        (("score", "."), {"IQA_RUNTIME": "tensorrt"}, "IQA_RUNTIME=tensorrt needs the gpu extra"),
        (("engines", "build"), {}, "gpu extra"),
        (("send", "http://h/a", "http://h/b", "--image-id", "x"), {}, "--image-id"),
        (("send", ""), {}, "url"),
        (("verdict", "get", "x"), {}, "IQA_REDIS__URL"),
        (("demo", "--folder", "/proc/nowhere"), {}, "/proc/nowhere"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(
    iqa: Run, arguments: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    """No traceback; the line names what is wrong."""
    code, out, err = iqa(*arguments, **environment)
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("iqa: ")
    assert told in lines[0]


def test_unknown_commands_and_options(iqa: Run) -> None:
    """Typer's own errors use the same code."""
    assert iqa("scoer")[0] == 2
    assert iqa("score", "--jsn", ".")[0] == 2
    assert iqa("score")[0] == 2


def test_score_as_json(iqa: Run, tmp_path: Path) -> None:
    """One object a line, in the order of the input; unscorable files are answers, not failures."""
    (tmp_path / "b.jpg").write_bytes(encode(photo()))
    (tmp_path / "a.txt").write_text("no picture")
    code, out, _ = iqa("score", str(tmp_path / "b.jpg"), str(tmp_path / "a.txt"), "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert (first["status"], Path(first["image_id"]).name) == ("scored", "b.jpg")
    assert (second["status"], second["reason"]["code"]) == ("unscorable", "not_an_image")


def test_score_as_a_table(iqa: Run, tmp_path: Path) -> None:
    """Category, scores, reasons."""
    (tmp_path / "tiny.jpg").write_bytes(encode(photo(100, 80)))
    code, out, _ = iqa("score", str(tmp_path))
    assert code == 0
    assert "tiny.jpg" in out
    assert "low" in out
    assert "shorter side of 80 px" in out


def test_tables_name_files_by_what_differs(iqa: Run, tmp_path: Path) -> None:
    """However long the way to them: the folder stands above the table, once."""
    deep = tmp_path / "/".join(["a-folder-of-pictures"] * 6)
    (deep / "more").mkdir(parents=True)
    for name in ("one.jpg", "more/two.jpg"):
        (deep / name).write_bytes(encode(photo(100, 80)))
    _, out, _ = iqa("score", str(deep))
    assert "│ one.jpg " in out
    assert "│ more/two.jpg " in out
    assert "".join(out.split()).count("a-folder-of-pictures") == 6


def test_paths_without_a_common_folder() -> None:
    """Absolute beside relative ones, files here, and none at all."""
    assert common_folder([Path("/a/b.jpg"), Path("c/d.jpg")]) == ""
    assert common_folder([Path("b.jpg"), Path("c/d.jpg")]) == ""
    assert common_folder([Path("/b.jpg")]) == ""
    assert common_folder([]) == ""
    assert common_folder([Path("c/e/b.jpg"), Path("c/d.jpg")]) == "c"


def test_an_empty_folder_is_no_error(iqa: Run, tmp_path: Path) -> None:
    """Nothing asked, nothing answered."""
    assert iqa("score", str(tmp_path), "--json") == (0, "", "")


def test_send_prints_the_image_ids(iqa: Run) -> None:
    """And the broker has the events."""
    with embedded_stack({}) as stack:
        code, out, _ = iqa("send", "http://h/a.jpg", "--image-id", "a1", IQA_KAFKA__BOOTSTRAP_SERVERS=stack.kafka)
        assert (code, out) == (0, "a1\n")
        assert [m.key() for m in read(stack.settings(), "image.uploads", 1)] == [b"a1"]


def test_verdict_get(iqa: Run) -> None:
    """Found: JSON. Not found: exit code 1 and a word."""
    with LocalRedis() as redis:
        client = connect(RedisSettings(url=redis.url))
        assert client is not None
        VerdictWriter(client, RedisSettings()).write([verdict("a1")])
        code, out, _ = iqa("verdict", "get", "a1", IQA_REDIS__URL=redis.url)
        assert code == 0
        assert json.loads(out)["image_id"] == "a1"
        assert iqa("verdict", "get", "a2")[::2] == (1, "no verdict on a2\n")


def test_a_server_that_is_away_is_exit_code_1(iqa: Run) -> None:
    """Trying again may help, unlike with a wrong setting."""
    code, _, err = iqa("verdict", "get", "a1", IQA_REDIS__URL="redis://127.0.0.1:1/0", IQA_REDIS__TIMEOUT_S="0.2")
    assert code == 1
    assert err.startswith("iqa: Redis does not answer")


def test_worker_process_logs_json_and_drains_on_sigterm(wait_until: Callable[..., Any]) -> None:
    """As a pod would run it: judged events carry their ids in the log; SIGTERM ends it with 0 and nothing unpublished."""
    with embedded_stack({"a.jpg": encode(photo())}) as stack:
        environment = {
            "IQA_KAFKA__BOOTSTRAP_SERVERS": stack.kafka,
            "IQA_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
            "IQA_HTTP__PORT": "0",
            "IQA_REDIS__URL": stack.redis,
        }
        command = [sys.executable, "-m", "worker.cli", "worker", "run"]
        with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True) as process:
            event = make_event(stack.pictures.url("a.jpg"), "a1")
            send_events(stack.settings(), [event])
            messages = read(stack.settings(), "image.quality.verdicts", 1)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE_S)
    assert [message.key() for message in messages] == [b"a1"]
    assert process.returncode == 0
    lines = [json.loads(line) for line in err.splitlines()]
    judged = next(line for line in lines if line["event"] == "judged")
    assert (judged["event_id"], judged["image_id"]) == (event.event_id, "a1")
    assert lines[-1]["event"] == "stopped"
    assert lines[-1]["unpublished"] == 0


def test_a_host_that_hangs_does_not_hold_the_process(wait_until: Callable[..., Any]) -> None:
    """The drain has a budget; after it the process ends, whatever its threads wait for."""
    arrived = threading.Event()

    def behave(connection: socket.socket, over: threading.Event) -> None:
        arrived.set()
        over.wait()

    with embedded_stack({}) as stack, raw_server(behave) as url:
        environment = {
            "IQA_KAFKA__BOOTSTRAP_SERVERS": stack.kafka,
            "IQA_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
            "IQA_FETCH__TOTAL_TIMEOUT_S": "300",
            "IQA_WORKER__DRAIN_TIMEOUT_S": "0.2",
            "IQA_HTTP__PORT": "0",
        }
        command = [sys.executable, "-m", "worker.cli", "worker", "run"]
        with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True) as process:
            send_events(stack.settings(), [make_event(f"{url}/a.jpg", "a1")])
            assert arrived.wait(PATIENCE_S)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EXIT_LEFT
    assert json.loads(err.splitlines()[-1])["unpublished"] == 1
