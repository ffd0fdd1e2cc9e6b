"""A worker with MMOCR's networks in place of the default ones: two settings, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
from engines.models.mmocr import import_checkpoint
from tests.engines.torch.mmocr import checkpoint, crnn, dbnet
from tests.pictures import encode, page
from tests.worker.stack import embedded_stack, read, running, verdicts
from worker.send import make_event, send_events

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    import_checkpoint("dbnet", checkpoint(dbnet(), folder / "dbnet.pth"), None, None, folder)
    import_checkpoint("crnn", checkpoint(crnn(), folder / "crnn.pth"), None, None, folder)
    return folder


def test_end_to_end(engines: Path) -> None:
    """Golden answers hold at start; text is measured by the imported networks, and the verdict names them."""
    picture = encode(page(["CONTRACT", "between the two"]), "PNG")
    chosen = {"directory": engines, "text_detection": "mmocr-dbnet-r18", "text_recognition": "mmocr-crnn"}
    with embedded_stack({"page.png": picture}) as stack:
        settings = stack.settings(engines=chosen, text="always")
        with running(settings) as worker:
            send_events(settings, [make_event(stack.pictures.url("page.png"), "a1")])
            (verdict,) = verdicts(read(settings, settings.topics.verdicts, 1)).values()
            assert worker.port
    assert verdict.status == "scored"
    assert verdict.engines["text_detection"] == "mmocr-dbnet-r18@1"
    assert verdict.engines["text_recognition"] == "mmocr-crnn@1"
    assert verdict.signals is not None
    assert verdict.signals.text_area is not None
    assert verdict.signals.keywords is not None
