"""``python -m tests.fuzz TARGET [libFuzzer options]``: bytes that nobody thought of, guided by coverage (atheris).

Targets: ``event`` (records on the uploads topic), ``header`` (what is read of a picture before it is decoded), ``polygons``
(what becomes of a text detector's map), ``jpeg``, ``png``, ``webp``, ``gif``, ``bmp``, ``heif``, ``avif``, ``tiff``, ``jxl``
(all that is done with a picture, from seeds of that format). Each may raise what its docstring promises and nothing else. A
finding is written to ``crash-...`` in the current folder: make it an example of the hypothesis test beside the code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import atheris
import imagecodecs

with atheris.instrument_imports(include=["worker", "engines", "PIL"]):
    import numpy as np

    from engines.catalog import DetectionInput, load_manifest
    from engines.engine_set import EngineNames
    from engines.text_detection import regions_from_map, text_area
    from tests.hostile.corpus import seeds
    from tests.pictures import encode, photo, pixels
    from worker.contracts.cloudevents import parse_event
    from worker.contracts.events import EVENT_TYPE
    from worker.contracts.public_url import public_url
    from worker.contracts.verdicts import QualityVerdict
    from worker.errors import EventError, PictureError
    from worker.intake.decode import decode, probe
    from worker.intake.jpeg_segments import walk

EXAMPLE = (
    b'{"event_id": "e", "image_id": "i", "url": "http://h/", "uploaded_at": "2026-01-02T03:04:05Z", "metadata": {"x": [1.5]}}'
)
ENVELOPE = b'{"specversion": "1.0", "type": "image.uploaded.v1", "id": "e", "subject": "i", "data": ' + EXAMPLE + b"}"
# Eight choices, then the body: see event().
EVENTS = [bytes(8) + EXAMPLE, bytes(7) + b"\x01" + EXAMPLE, bytes(6) + b"\x01" + ENVELOPE, bytes(500)]
VERDICT = QualityVerdict(
    status="scored", image_id="i", event_id="e", fingerprint="f", engines={}, profile="p@1", produced_at=datetime.now(UTC)
)
CARRIED = ("image_id", "event_id", "service", "uploaded_at", "metadata")
HEIC_FILES = Path(__file__).parents[1] / "worker" / "intake" / "files"
LIMITS = cast("DetectionInput", load_manifest(EngineNames.text_detection).input)


def event(data: bytes) -> None:
    """Only ``EventError``; and what is accepted can be written into a verdict and read again unchanged."""
    provider = atheris.FuzzedDataProvider(data)
    names = ("content-type", "ce_type", "ce_specversion", "ce_id", "ce_time", "ce_subject")
    headers = {name: provider.ConsumeUnicodeNoSurrogates(40) for name in names if provider.ConsumeBool()}
    if provider.ConsumeBool():
        headers["content-type"] = "application/cloudevents+json"
    elif provider.ConsumeBool():
        headers |= {"ce_type": EVENT_TYPE, "ce_specversion": "1.0"}
    with suppress(EventError):
        found = parse_event(provider.ConsumeBytes(provider.remaining_bytes()), headers)
        sent = VERDICT.model_copy(update={name: getattr(found, name) for name in CARRIED} | {"url": public_url(found.url)})
        if QualityVerdict.model_validate_json(sent.model_dump_json()) != sent:
            raise AssertionError("the event's part of a verdict is not what was sent")


def header(data: bytes) -> None:
    """Only ``PictureError``."""
    walk(data)
    with suppress(PictureError):
        probe(data, 50_000_000)


def picture(data: bytes) -> None:
    """Only ``PictureError``, in words for people."""
    try:
        decode(data, 250_000)
    except PictureError as error:
        if not error.detail.isprintable():
            raise AssertionError("a detail cannot be printed") from error


def polygons(data: bytes) -> None:
    """Nothing; and areas stay shares."""
    if len(data) < 3:
        return
    width, height = 1 + data[0] % 64, 1 + data[1] % 64
    cells = np.resize(np.frombuffer(data[2:], np.uint8), (height, width)).astype(np.float32) / np.float32(255)
    regions = regions_from_map(cells.astype(np.float32), LIMITS)
    if not 0 <= text_area([region.extent for region in regions], width, height) <= 1:
        raise AssertionError("the area of the text is no share of the picture")


FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "heif", "avif", "tiff", "jxl")
TARGETS: dict[str, Callable[[bytes], None]] = {
    "event": event, "header": header, "polygons": polygons, **dict.fromkeys(FORMATS, picture),
}  # fmt: skip


def starts(name: str) -> list[bytes]:
    """What a target begins with."""
    if name == "header":
        return list(seeds().values())
    if name == "heif":
        return [path.read_bytes() for path in sorted(HEIC_FILES.glob("*.heic"))]
    if name == "avif":
        return [encode(photo(48, 40), "AVIF"), encode(photo(48, 40).convert("RGBA"), "AVIF")]
    if name == "tiff":
        return [encode(photo(48, 40), "TIFF", compression=each) for each in ("raw", "tiff_lzw", "jpeg", "packbits")]
    if name == "jxl":
        return [bytes(imagecodecs.jpegxl_encode(pixels(photo(48, 40).convert(mode)))) for mode in ("L", "RGB", "RGBA")]
    return [data for kind, data in seeds().items() if kind.startswith(name)] or EVENTS


def main() -> None:
    """Fuzz until told to stop: ``-max_total_time=60``, say."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [libFuzzer options]")
    name = sys.argv.pop(1)
    with TemporaryDirectory() as folder:
        for number, data in enumerate(starts(name)):
            (Path(folder) / str(number)).write_bytes(data)
        atheris.Setup([*sys.argv, folder], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
