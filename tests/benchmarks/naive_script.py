"""See ``naive``: not ours to run, but what one would write in an afternoon."""

from __future__ import annotations

import json
import sys
import time

import torch
from PIL import Image
from rapidocr import RapidOCR
from torch import nn
from torchvision import models, transforms

CROPS = 10
PREPARE = transforms.Compose(
    [
        transforms.Resize((512, 384)),
        transforms.RandomCrop(size=224),
        transforms.ToTensor(),
        transforms.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    ]
)


class Stand(nn.Module):
    """ResNet-50 and a head of hyperIQA's cost: the trunk is nearly all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*list(models.resnet50(weights=None).children())[:-2])
        self.narrow = nn.Sequential(
            nn.Conv2d(2048, 1024, 1), nn.ReLU(), nn.Conv2d(1024, 512, 1), nn.ReLU(), nn.Conv2d(512, 112, 1)
        )
        self.weights = nn.Conv2d(112, 512, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N scores of N crops."""
        return self.weights(self.narrow(self.trunk(x))).mean(dim=(1, 2, 3))


def main() -> None:
    """Judge the files named on standard input, one after the other."""
    model, ocr = Stand().eval(), RapidOCR()
    files = sys.stdin.read().split("\n")
    began = 0.0
    for number, path in enumerate([files[0], *files]):
        if number == 1:
            began = time.process_time()
        picture = Image.open(path).convert("RGB")
        with torch.no_grad():
            score = float(sum(model(PREPARE(picture)[None]) for _ in range(CROPS)) / CROPS)
        words = ocr(path)
        json.dumps({"score": score, "text": str(words)[:1000]})
    print(json.dumps({"core_seconds": time.process_time() - began}))


if __name__ == "__main__":
    main()
