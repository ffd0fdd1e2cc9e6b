"""Objects of a real S3 server, through the worker's own source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from obstore.store import S3Store
from pydantic import SecretStr

from tests.integration.conftest import absent
from tests.integration.s3_server import KEY_ID, SECRET, gateway, s3_server
from tests.patience import PATIENCE_S
from tests.pictures import encode, photo
from tests.worker.intake.servers import raw_server, silence
from worker.errors import FetchFailedError
from worker.intake.sources import Fetcher
from worker.settings import FetchSettings, S3Settings

pytestmark = pytest.mark.s3

PICTURE = encode(photo(300, 260))
LIMITS = FetchSettings(max_bytes=100_000, total_timeout_s=PATIENCE_S, connect_timeout_s=60, attempts=1)
NAMES = ("plain.jpg", "deep/er/one.jpg", "with space & plus+.jpg", "per%41cent.jpg", "头像.jpg", "question?mark=1.jpg")


@dataclass(frozen=True)
class Stored:
    endpoint: str

    def fetcher(self, limits: FetchSettings = LIMITS, **changes: object) -> Fetcher:
        given = {"endpoint": self.endpoint, "access_key_id": KEY_ID, "secret_access_key": SecretStr(SECRET)}
        return Fetcher(limits, S3Settings.model_validate({"buckets": ("uploads", "absent"), **given, **changes}))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    if gateway() is None:
        absent("needs a real S3 server: no versitygw (run `make s3`)")
    folder = tmp_path_factory.mktemp("s3")
    for bucket in ("uploads", "others"):
        (folder / "buckets" / bucket).mkdir(parents=True)
    with s3_server(folder) as endpoint:
        keys = {"access_key_id": KEY_ID, "secret_access_key": SECRET, "region": "us-east-1"}
        store = S3Store("uploads", endpoint=endpoint, client_options={"allow_http": True}, **keys)  # type: ignore[arg-type]
        for name in NAMES:
            store.put(name, PICTURE)
        store.put("large.bin", bytes(100_001))
        store.put("empty.jpg", b"")
        yield Stored(endpoint)


def code_of(call: Callable[[], object]) -> tuple[str, bool]:
    with pytest.raises(FetchFailedError) as caught:
        call()
    assert SECRET not in str(caught.value)
    return caught.value.code, caught.value.transient


@pytest.mark.parametrize("name", NAMES)
def test_objects_by_their_keys(stored: Stored, name: str) -> None:
    """Keys are taken as they are: nothing in them is an escape."""
    assert stored.fetcher().fetch(f"s3://uploads/{name}") == PICTURE


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("s3://uploads/nothing.jpg", "object_not_found"),
        ("s3://absent/a.jpg", "object_not_found"),
        ("s3://others/a.jpg", "bucket_refused"),
        ("s3://uploads", "invalid_url"),
        ("s3://uploads/", "invalid_url"),
        ("s3:///a.jpg", "invalid_url"),
        ("s3://uploads/large.bin", "too_many_bytes"),
    ],
)
def test_reasons(stored: Stored, url: str, code: str) -> None:
    """None of them passes by itself. A bucket that exists and is not listed is refused all the same."""
    assert code_of(lambda: stored.fetcher().fetch(url)) == (code, False)


def test_an_empty_object(stored: Stored) -> None:
    """The pipeline says what that means."""
    assert stored.fetcher().fetch("s3://uploads/empty.jpg") == b""


def test_wrong_keys(stored: Stored) -> None:
    """Told without them."""
    wrong = stored.fetcher(secret_access_key=SecretStr("wrong"))
    assert code_of(lambda: wrong.fetch("s3://uploads/plain.jpg")) == ("object_forbidden", False)


def test_a_secret_from_a_file(stored: Stored, tmp_path: Path) -> None:
    """As an orchestrator mounts it, with the newline that people leave."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    fetcher = stored.fetcher(secret_access_key=None, secret_access_key_file=tmp_path / "secret")
    assert fetcher.fetch("s3://uploads/plain.jpg") == PICTURE


def test_a_store_that_is_away_or_silent(stored: Stored) -> None:
    """Passing reasons, within the time that is allowed."""
    nobody = stored.fetcher(endpoint="http://127.0.0.1:9")
    assert code_of(lambda: nobody.fetch("s3://uploads/plain.jpg")) == ("store_failed", True)
    with raw_server(silence) as endpoint:
        silent = stored.fetcher(LIMITS.model_copy(update={"total_timeout_s": 2}), endpoint=endpoint)
        assert code_of(lambda: silent.fetch("s3://uploads/plain.jpg")) == ("fetch_timeout", True)


def test_no_buckets_by_default() -> None:
    """A worker's own credentials open nothing that its settings do not name."""
    assert code_of(lambda: Fetcher(LIMITS).fetch("s3://uploads/plain.jpg")) == ("bucket_refused", False)
    assert code_of(lambda: Fetcher(LIMITS, S3Settings()).fetch("S3://uploads/plain.jpg")) == ("bucket_refused", False)
