"""Columns of class probabilities become text."""

from __future__ import annotations

import numpy as np
import pytest

from engines.catalog import RecognitionInput
from engines.errors import ManifestError
from engines.text_recognition import TextRecogniser, crop_line, decode_ctc
from tests.engines.fakes import RECOGNITION, FakeNetwork
from tests.pictures import corners, pixels

CLASSES = ["", "a", "b", " "]


def columns(*best: int, probability: float = 0.9) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    scores = np.full((len(best), len(CLASSES)), (1 - probability) / 3, np.float32)
    scores[np.arange(len(best)), list(best)] = probability
    return scores


@pytest.mark.parametrize(
    ("best", "text"),
    [((1, 1, 0, 1), "aa"), ((0, 1, 2, 2, 0), "ab"), ((1, 3, 2), "a b"), ((0, 0), ""), ((3, 1, 3), "a")],
)
def test_greedy_ctc(best: tuple[int, ...], text: str) -> None:
    """Repeats collapse, blanks separate, outer spaces go."""
    assert decode_ctc(columns(*best), CLASSES).text == text


def test_confidence_is_the_mean_over_characters() -> None:
    """Blanks and repeats do not count."""
    assert decode_ctc(columns(0, 1, 1, 0, 2, probability=0.8), CLASSES).confidence == pytest.approx(0.8, abs=1e-3)


def test_a_dictionary_of_another_size_is_refused() -> None:
    """Shifted classes would read as plausible nonsense."""
    with pytest.raises(ManifestError, match="4 classes, its dictionary 5"):
        decode_ctc(columns(1), [*CLASSES, "c"])
    with pytest.raises(ManifestError, match="no dictionary"):
        TextRecogniser(RECOGNITION, FakeNetwork(lambda batch: batch))


def test_crop_is_straightened_and_vertical_lines_are_turned() -> None:
    """A quarter turn against the clock, so that the top of the line comes to the left... of reading."""
    picture = pixels(corners(64, 48))
    flat = crop_line(picture, np.array([[0, 0], [64, 0], [64, 48], [0, 48]], np.float32))
    assert flat.shape == (48, 64, 3)
    tall = crop_line(picture, np.array([[0, 0], [20, 0], [20, 48], [0, 48]], np.float32))
    assert tall.shape == (20, 48, 3)


@pytest.mark.parametrize(("width", "height"), [(10, 48), (333, 20), (9000, 30), (1, 1), (5, 500)])
def test_lines_are_scaled_to_the_networks_height(width: int, height: int) -> None:
    """Padded to the least width and to a multiple, never wider than the most."""
    network = FakeNetwork(lambda batch: np.eye(4, dtype=np.float32)[None, :1], {"character": "a\nb"})
    TextRecogniser(RECOGNITION, network).read_line(np.zeros((height, width, 3), np.uint8))
    batch, channels, rows, total = network.shapes[0]
    assert (batch, channels, rows) == (1, 3, 48)
    assert 160 <= total <= 1600
    assert total % 8 == 0


def test_doubtful_lines_are_left_out() -> None:
    """Below the manifest's confidence a line counts as unread."""
    quad = np.array([[0, 0], [64, 0], [64, 48], [0, 48]], np.float32)
    for probability, read in ((0.9, True), (0.4, False)):
        network = FakeNetwork(lambda _, p=probability: columns(1, 2, probability=p)[None], {"character": "a\nb"})  # type: ignore[misc]
        assert (TextRecogniser(RECOGNITION, network).read(pixels(corners()), quad) is not None) is read


assert isinstance(RECOGNITION.input, RecognitionInput)
STRETCHED = RECOGNITION.model_copy(
    update={
        "input": RECOGNITION.input.model_copy(
            update={
                "colour": "GREY",
                "height": 32,
                "min_width": 32,
                "multiple": 16,
                "fit": "stretch",
                "blank": "last",
                "space": False,
            }
        )
    }
)


@pytest.mark.parametrize(("width", "height", "seen"), [(100, 32, 96), (105, 32, 112), (5, 32, 32), (101, 64, 48), (30, 10, 96)])
def test_grey_lines_are_stretched_to_a_multiple(width: int, height: int, seen: int) -> None:
    """One channel; the nearest multiple of 16, nothing padded."""
    network = FakeNetwork(lambda batch: np.eye(3, dtype=np.float32)[None, :1], {"character": "a\nb"})
    TextRecogniser(STRETCHED, network).read_line(np.full((height, width, 3), 90, np.uint8))
    assert network.shapes == [(1, 1, 32, seen)]


def test_the_blank_may_come_last() -> None:
    """Classes are then the dictionary from the first on, and a space only if the dictionary has one."""
    best = np.array([0, 0, 2, 1, 2], int)
    network = FakeNetwork(lambda batch: np.eye(3, dtype=np.float32)[best][None], {"character": "a\nb"})
    assert TextRecogniser(STRETCHED, network).read_line(np.zeros((32, 64, 3), np.uint8)).text == "ab"
