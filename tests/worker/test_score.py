"""Files without Kafka: in order, an answer for each, and the same verdicts as a worker's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.pictures import encode, page, photo
from tests.worker.helpers import make_settings
from tests.worker.stack import embedded_stack, read, running, verdicts
from worker.contracts.verdicts import QualityVerdict
from worker.score import find_files, score_files
from worker.send import make_event, send_events

TIMES = {"produced_at", "latency_ms", "uploaded_at"}
IDENTITY = {"image_id", "event_id", "metadata", "url"}


def test_find_files(tmp_path: Path) -> None:
    """Files as given; folders in the order of names, all the way down."""
    for name in ("b/2.jpg", "b/1.jpg", "a.png", "b/c/3.txt", "b/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_files([tmp_path / "b", tmp_path / "a.png"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["b/.hidden", "b/1.jpg", "b/2.jpg", "b/c/3.txt", "a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    """A folder may hold anything."""
    os.mkfifo(tmp_path / "pipe")
    (answer,) = score_files(find_files([tmp_path]), make_settings())
    assert answer.reason is not None
    assert answer.reason.code == "file_unreadable"


def test_a_path_that_is_not_there() -> None:
    """Told before anything is judged."""
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        find_files([Path("nowhere")])


def test_every_file_gets_an_answer_in_order(tmp_path: Path) -> None:
    """Slow pictures, broken ones, none at all."""
    files = {
        "0-large.jpg": encode(photo(2400, 1600)),
        "1-empty": b"",
        "2-text.txt": b"hello, this is text",
        "3-small.png": encode(photo(40, 30), "PNG"),
        "4-odd \udcff name.gif": encode(photo(300, 300), "GIF"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    answers = list(score_files(find_files([tmp_path]), make_settings()))
    assert [Path(answer.image_id).name[0] for answer in answers] == ["0", "1", "2", "3", "4"]
    assert [answer.reason.code if answer.reason else None for answer in answers] == [
        None, "empty_body", "not_an_image", None, None,
    ]  # fmt: skip


def test_the_same_verdict_as_from_the_worker(tmp_path: Path) -> None:
    """Field by field: only the times, and what names the event, differ."""
    files = {
        "photo.jpg": encode(photo()),
        "wide.png": encode(photo(900, 200), "PNG"),
        "page.webp": encode(page(["BUSINESS LICENCE", "No. 7", "granted to the holder"]), "WEBP", quality=90),
        "half.jpg": encode(photo())[:4000],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with embedded_stack(files) as stack:
        settings = stack.settings()
        with running(settings):
            send_events(settings, [make_event(stack.pictures.url(name), name) for name in files])
            published = verdicts(read(settings, settings.topics.verdicts, len(files)))
    for answer in score_files(find_files([tmp_path]), settings):
        name = Path(answer.image_id).name
        assert comparable(answer) == comparable(published[name])
    assert set(published) == set(files)


def comparable(verdict: QualityVerdict) -> dict[str, object]:
    return verdict.model_dump(exclude=TIMES | IDENTITY)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Their verdicts can be written; so can all behind them."""
    file = tmp_path / os.fsdecode(b"\xff.jpg")
    file.write_bytes(encode(photo()))
    (verdict,) = score_files([file], make_settings())
    assert "\ufffd.jpg" in verdict.model_dump_json()
    assert verdict.status == "scored"


def test_urls_are_not_files() -> None:
    """And are told so."""
    with pytest.raises(FileNotFoundError, match="is a URL"):
        find_files([Path("https://example.org/a.jpg")])
