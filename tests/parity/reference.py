"""What the real MMOCR 1.0.1 answers: ``python reference.py FOLDER``, in an environment that has it, not this project."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch


def stand_ins() -> None:
    """``mmcv._ext`` (compiled operators) and ``torchvision``: imported by MMOCR, not needed by these two models."""

    class Anything(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Anything(f"{self.__name__}.{name}")

        def __call__(self, *_: Any, **__: Any) -> None:
            return None

    import importlib.machinery

    for name in ("mmcv._ext", "torchvision", "torchvision.transforms", "torchvision.ops", "torchvision.models"):
        module = Anything(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        setattr(module, "__version__", "0.28.0")  # noqa: B010
        module.__path__ = []
        sys.modules[name] = module


def build(config: str, checkpoint: Path) -> tuple[Any, list[Any]]:
    """The model with its weights, and the transforms of its test pipeline without loading and labels."""
    import mmocr
    from mmengine.config import Config
    from mmocr.registry import MODELS, TRANSFORMS

    found = Config.fromfile(str(Path(mmocr.__file__).parent / ".mim" / "configs" / config))
    found.model.pop("init_cfg", None)
    if "backbone" in found.model:
        found.model.backbone.pop("init_cfg", None)
    model = MODELS.build(found.model).eval()
    state = torch.load(checkpoint, weights_only=False)["state_dict"]
    own = {key: value for key, value in state.items() if not key.startswith("data_preprocessor.")}
    model.load_state_dict(own, strict=True)
    steps = [s for s in found.test_pipeline if s["type"] not in {"LoadImageFromFile", "LoadOCRAnnotations"}]
    return model, [TRANSFORMS.build(step) for step in steps]


def prepare(model: Any, transforms: list[Any], image: Any) -> dict[str, Any]:
    """A picture as MMOCR's test pipeline hands it to the network: inputs and data samples."""
    data: dict[str, Any] = {"img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2], "img_path": ""}
    for transform in transforms:
        data = transform(data)
    return model.data_preprocessor({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}, False)


def detect(folder: Path, out: Path) -> dict[str, Any]:
    """Probability maps into ``out``; boxes by picture."""
    model, transforms = build("textdet/dbnet/dbnet_resnet18_fpnc_1200e_icdar2015.py", folder / "dbnet.pth")
    boxes = {}
    for path in sorted((folder / "pictures").glob("*.png")):
        prepared = prepare(model, transforms, cv2.imread(str(path)))
        samples = prepared["data_samples"]
        height, width = samples[0].img_shape
        features = model.extract_feat(prepared["inputs"])
        np.save(out / f"map-{path.stem}.npy", model.det_head(features, None, "predict")[0, :height, :width].numpy())
        (result,) = model.det_head.predict(features, samples)
        boxes[path.stem] = [np.asarray(box, dtype=float).reshape(4, 2).tolist() for box in result.pred_instances.polygons]
    return boxes


def read(folder: Path, out: Path) -> dict[str, str]:
    """Sequences into ``out``; text by line."""
    model, transforms = build("textrecog/crnn/crnn_mini-vgg_5e_mj.py", folder / "crnn.pth")
    text = {}
    for path in sorted((folder / "lines").glob("*.png")):
        prepared = prepare(model, transforms, cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2GRAY))
        features = model.extract_feat(prepared["inputs"])
        np.save(
            out / f"sequence-{path.stem}.npy", model.decoder.forward_test(features, None, prepared["data_samples"])[0].numpy()
        )
        (result,) = model.predict(prepared["inputs"], prepared["data_samples"])
        text[path.stem] = result.pred_text.item
    return text


@torch.no_grad()
def main(folder: Path) -> None:
    """Write ``reference/``: maps and sequences as arrays, boxes and text as JSON."""
    stand_ins()
    from mmocr.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    out = folder / "reference"
    out.mkdir(exist_ok=True)
    answers = {"boxes": detect(folder, out), "text": read(folder, out)}
    (out / "answers.json").write_text(json.dumps(answers))
    print(f"MMOCR answered {len(answers['boxes'])} pictures and {len(answers['text'])} lines")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
