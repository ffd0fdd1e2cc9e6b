"""Decoding in children: the same answers, and none of their deaths is the worker's."""

from __future__ import annotations

import fcntl
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from tests.hostile.corpus import hostile_files, seeds
from tests.patience import PATIENCE_S
from tests.pictures import encode, photo
from worker.errors import DecodingError, PictureError
from worker.intake import decoder_child
from worker.intake.decode import decode
from worker.intake.header import SCALED_LONGEST
from worker.intake.isolation import DecoderPool

MOST = 50_000_000
GOOD = encode(photo(80, 60))
CODES = {"not_an_image", "unsupported_format", "too_many_pixels", "truncated", "damaged"}


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    found = DecoderPool(2, PATIENCE_S, 1_500_000_000)
    yield found
    found.close()


@pytest.fixture
def dying() -> Iterator[tuple[DecoderPool, list[int]]]:
    deaths: list[int] = []
    found = DecoderPool(1, PATIENCE_S, 1_500_000_000, lambda: deaths.append(1), "tests.hostile.dying_child")
    yield found, deaths
    found.close()


@pytest.mark.parametrize("name", sorted(seeds()))
def test_the_same_pixels_as_in_this_process(pool: DecoderPool, name: str) -> None:
    """Whatever the format."""
    data = seeds()[name]
    here, there = decode(data, MOST), pool.decode(data, MOST)
    assert (here.width, here.height, here.format) == (there.width, there.height, there.format)
    assert np.array_equal(here.pixels, there.pixels)


def test_large_pictures_fit(pool: DecoderPool) -> None:
    """The largest that can come out: 1,999 on the longest side."""
    data = encode(photo(800, 800).resize((1999, 1999)), quality=60)
    assert pool.decode(data, MOST).pixels.shape == (1999, 1999, 3)


@pytest.mark.parametrize(("data", "code"), [(b"", "not_an_image"), (GOOD[:-9], "truncated"), (GOOD, "too_many_pixels")])
def test_the_same_reasons(pool: DecoderPool, data: bytes, code: str) -> None:
    """Codes and details pass through."""
    with pytest.raises(PictureError) as caught:
        pool.decode(data, 1000 if code == "too_many_pixels" else MOST)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "why"), [(b"DIE", "signal 11"), (b"EXIT", "exit code 3"), (b"HANG", "more than 1 s"), (b"EAT", "more memory")]
)
def test_a_decoder_that_dies(dying: tuple[DecoderPool, list[int]], data: bytes, why: str) -> None:
    """Tried twice (once, if it took too long), then it is the picture's fault; the next is decoded as if nothing had been."""
    pool, deaths = dying
    assert pool.decode(GOOD, MOST).width == 80
    pool._timeout_s = 1.0 if data == b"HANG" else PATIENCE_S
    with pytest.raises(PictureError, match=why) as caught:
        pool.decode(data, MOST)
    pool._timeout_s = PATIENCE_S
    assert caught.value.code == "decoder_failed"
    assert len(deaths) == {b"EAT": 0, b"HANG": 1}.get(data, 2)
    assert pool.decode(GOOD, MOST).width == 80


def test_children_know_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that is taken over finds no passwords in its environment."""
    monkeypatch.setenv("IQA_REDIS__URL", "redis://:secret-word@host")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-word")
    pool = DecoderPool(1, PATIENCE_S, 1_500_000_000)
    assert pool.decode(GOOD, MOST).width == 80
    (child,) = pool._all
    environment = Path(f"/proc/{child._process.pid}/environ").read_bytes()
    pool.close()
    assert b"PATH=" in environment
    assert b"secret-word" not in environment


def test_a_child_killed_from_outside_costs_nobody_a_verdict(pool: DecoderPool) -> None:
    """As the kernel does when memory is short: the picture is tried once more."""
    for _ in pool._all:
        pool.decode(GOOD, MOST)  # by turns: each has begun
    for child in tuple(pool._all):
        os.kill(child._process.pid, signal.SIGKILL)
    with ThreadPoolExecutor(8) as threads:
        assert {picture.width for picture in threads.map(lambda _: pool.decode(GOOD, MOST), range(30))} == {80}
    assert len(pool._all) == 2


def test_large_pictures_wait_for_their_turn() -> None:
    """Longer than one picture may take: waiting is not decoding."""
    large = encode(photo(100, 80).resize((4200, 3000)), "WEBP", quality=50, method=0)
    pool = DecoderPool(4, 8.0, 1_500_000_000)
    fcntl.lockf(pool._turns, fcntl.LOCK_EX)
    try:
        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(pool.decode, large, MOST) for _ in range(3)]
            assert threads.submit(pool.decode, GOOD, MOST).result().width == 80
            with pytest.raises(TimeoutError):
                waiting[0].result(8.5)  # not a bound
            fcntl.lockf(pool._turns, fcntl.LOCK_UN)
            assert {each.result().width for each in waiting} == {4200}
    finally:
        pool.close()


def test_decoders_that_do_not_start() -> None:
    """Nobody's picture is blamed for that."""
    pool = DecoderPool(1, PATIENCE_S, 1_500_000_000, module="tests.hostile.no_such_module")
    with pytest.raises(DecodingError, match="exit code 1"):
        pool.decode(GOOD, MOST)
    pool.close()


def test_the_hostile_corpus(pool: DecoderPool) -> None:
    """Every file gets a picture or a reason, within a child's time and memory, and no child dies of it."""
    files = hostile_files()
    assert len(files) >= 500
    assert len({name for name, _ in files}) == len(files)
    before = set(pool._all)

    def outcome(data: bytes) -> str:
        try:
            picture = pool.decode(data, MOST)
        except PictureError as error:
            return error.code
        assert min(picture.pixels.shape) > 0
        assert max(picture.pixels.shape) <= 2 * SCALED_LONGEST
        return "picture"

    with ThreadPoolExecutor(2) as threads:
        outcomes = dict(zip((name for name, _ in files), threads.map(outcome, (data for _, data in files)), strict=True))
    assert set(outcomes.values()) <= {"picture", *CODES}
    assert set(pool._all) == before
    cut = [name for name in outcomes if name.startswith("jpeg") and "-cut-" in name]
    assert {outcomes[name] for name in cut} <= {"truncated", "damaged", "not_an_image", "picture"}
    # Where nothing but the end marker is missing, or half of it, and the picture is not progressive.
    whole = [name.rpartition("-cut-")[0] for name in cut if outcomes[name] == "picture"]
    assert "jpeg-progressive" not in whole
    assert max(Counter(whole).values()) <= 2
    refused = {"not_an_image", "unsupported_format", "truncated", "damaged"}
    assert outcomes.pop("impostor-tiff") == "picture"
    assert {outcomes[name] for name in outcomes if name.startswith("impostor")} <= refused
    assert {outcomes["png-bomb-10-gigapixels"], outcomes["gif-bomb-frame"]} == {"too_many_pixels"}


def test_a_fault_of_ours_ends_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is answered, and what failed where is told to the worker, which logs it; not to the sender."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(decoder_child, "decode", fail)
    answer = decoder_child._answer(b"", 1, np.zeros(1, np.uint8), nullcontext())
    assert answer["code"] == "decoder_failed"
    assert "ZeroDivision" in answer["fault"]
    assert "ZeroDivision" not in answer["detail"]
