"""Pictures, lines and checkpoints for the parity check: ``python -m tests.parity.prepare FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from engines.models.crnn import CRNN
from engines.models.dbnet import DBNet
from engines.preprocess import normalise
from tests.pictures import photo

WORDS = ["welcome", "open now", "no 2024", "exit 12", "coffee bar", "sale 50", "platform 3", "hire me", "tea", "room 101"]
SIZES = [(640, 480), (1280, 960), (300, 420), (1600, 500), (900, 901)]
STEPS, SIDE = 80, 320


def written(size: tuple[int, int], rng: np.random.Generator) -> tuple[Image.Image, NDArray[np.float32]]:
    """A photo with words in several sizes and slants, and the mask of where they stand, a little shrunk."""
    picture = photo(*size, seed=int(rng.integers(1000)))
    mask = Image.new("L", size, 0)
    for _ in range(6):
        font = ImageFont.load_default(float(rng.integers(size[1] // 18 + 8, size[1] // 8 + 9)))
        word = WORDS[int(rng.integers(len(WORDS)))]
        left, top, right, bottom = (int(v) for v in font.getbbox(word))
        tile, stencil = Image.new("RGBA", (right + 8, bottom + 8)), Image.new("L", (right + 8, bottom + 8), 0)
        ImageDraw.Draw(tile).text((4, 4), word, font=font, fill=(255, 255, 240) if rng.random() < 0.5 else (20, 10, 30))
        inset = (bottom - top) // 5
        ImageDraw.Draw(stencil).rectangle((left + 4 + inset, top + 4 + inset, right + 4 - inset, bottom + 4 - inset), fill=255)
        angle = float(rng.uniform(-12, 12))
        place = (int(rng.integers(0, max(1, size[0] - right))), int(rng.integers(0, max(1, size[1] - bottom))))
        turned = tile.rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
        picture.paste(turned, place, turned)
        mask.paste(255, place, stencil.rotate(angle, expand=True))
    return picture, np.asarray(mask, dtype=np.float32) / np.float32(255)


def fitted_dbnet() -> DBNet:
    """A DBNet that has learnt, roughly, where words stand."""
    torch.manual_seed(5)
    model, rng = DBNet().train(), np.random.default_rng(5)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(STEPS):
        samples = [written((SIDE, SIDE), rng) for _ in range(2)]
        x = torch.from_numpy(np.concatenate([normalise(np.asarray(picture)) for picture, _ in samples]))
        y = torch.from_numpy(np.stack([mask for _, mask in samples]))[:, None]
        loss = F.binary_cross_entropy(model(x), y, weight=1 + 4 * y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 19:
            print(f"fitting DBNet: step {step + 1}/{STEPS}, loss {float(loss.detach()):.3f}", flush=True)
    return model.eval()


def random_crnn() -> CRNN:
    """A CRNN whose answers are sure of themselves, if not right."""
    torch.manual_seed(6)
    model = CRNN().eval()
    for name, parameter in model.named_parameters():
        if "embedding.weight" in name or "rnn.weight" in name:
            parameter.data *= 4
    return model


def main(folder: Path) -> None:
    """Write ``pictures/``, ``lines/``, ``dbnet.pth`` and ``crnn.pth``."""
    rng = np.random.default_rng(1)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    (folder / "lines").mkdir(exist_ok=True)
    for index, size in enumerate(SIZES * 2):
        written(size, rng)[0].save(folder / "pictures" / f"{index}.png")
    for index, word in enumerate(WORDS * 2):
        line = photo(40 + 30 * len(word), 24 + 9 * (index % 5), index)
        ImageDraw.Draw(line).text((8, 2), word, font=ImageFont.load_default(20 + 5 * (index % 5)), fill="white")
        cv2.imwrite(str(folder / "lines" / f"{index}.png"), np.asarray(line)[:, :, ::-1])
    for name, model in (("dbnet", fitted_dbnet()), ("crnn", random_crnn())):
        # As MMOCR saves them: statistics of its preprocessor, and a measure that is a numpy scalar.
        extra = {"data_preprocessor.mean": torch.zeros(3, 1, 1), "data_preprocessor.std": torch.ones(3, 1, 1)}
        state = {**extra, **model.state_dict()}
        torch.save({"meta": {"best": np.float64(0.8)}, "state_dict": state}, folder / f"{name}.pth")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
