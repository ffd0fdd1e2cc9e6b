"""Topics whose names cannot stand beside each other stop the start; librdkafka died of two that are equal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from worker.errors import SettingsError
from worker.settings import load_settings


@pytest.mark.parametrize(
    ("topics", "told"),
    [
        ({"UPLOADS": "a", "VERDICTS": "a"}, "IQA_TOPICS__UPLOADS and IQA_TOPICS__VERDICTS are both a: every"),
        ({"DEAD_LETTERS": "image.uploads"}, "IQA_TOPICS__UPLOADS and IQA_TOPICS__DEAD_LETTERS are both image.uploads: every"),
        ({"VERDICTS": "image.uploads.dlq.parked"}, "IQA_TOPICS__VERDICTS and IQA_TOPICS__DEAD_LETTERS with .parked are both"),
        ({"RETRY": "image.uploads"}, "IQA_TOPICS__UPLOADS and IQA_TOPICS__RETRY are both image.uploads: every"),
        ({"VERDICTS": "image.uploads.retry.2"}, "IQA_TOPICS__VERDICTS is image.uploads.retry.2, which is a retry topic by"),
        ({"UPLOADS": "image.uploads.retry.12"}, "IQA_TOPICS__UPLOADS is image.uploads.retry.12, which is a retry topic by"),
        ({"VERDICTS": "image_uploads"}, "are both image.uploads and image_uploads, one name to Kafka: every"),
        ({"UPLOADS": ".."}, "IQA_TOPICS__UPLOADS: .. is no topic name"),
        ({"DEAD_LETTERS": "d" * 243}, "IQA_TOPICS__DEAD_LETTERS with .parked: ddd"),
        ({"RETRY": "r" * 248}, "IQA_TOPICS__RETRY: rrr"),
    ],
)
def test_names_that_are_one(monkeypatch: pytest.MonkeyPatch, topics: dict[str, str], told: str) -> None:
    """The settings are named, in one line."""
    for name, value in topics.items():
        monkeypatch.setenv(f"IQA_TOPICS__{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_only_begin_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are fine, and as long as can be."""
    names = {"UPLOADS": "image.uploads.retry.x", "VERDICTS": "v", "DEAD_LETTERS": "d" * 242, "RETRY": "image.uploads.retry"}
    for name, value in names.items():
        monkeypatch.setenv(f"IQA_TOPICS__{name}", value)
    assert load_settings().topics.uploads == "image.uploads.retry.x"


def test_equal_names_end_a_command_with_one_line() -> None:
    """It was a segmentation fault."""
    environment = {"IQA_TOPICS__UPLOADS": "a", "IQA_TOPICS__VERDICTS": "a", "IQA_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    command = [sys.executable, "-m", "worker.cli", "topics", "create"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    line = "iqa: IQA_TOPICS__UPLOADS and IQA_TOPICS__VERDICTS are both a: every topic needs a name of its own\n"
    assert (ended.stdout, ended.stderr) == ("", line)
