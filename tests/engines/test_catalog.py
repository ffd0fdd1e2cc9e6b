"""Manifests are strict, and files are checked before they are used."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engines.catalog import Manifest, file_sha256, load_manifest, manifest_names, shipped_weights, verified_file
from engines.errors import EngineMissingError, ManifestError
from tests.engines.fakes import DETECTION, QUALITY


@pytest.mark.parametrize("name", manifest_names())
def test_every_manifest_is_complete(name: str) -> None:
    """Its golden pictures ship, and what ships is the file that it names."""
    manifest = load_manifest(name)
    assert manifest.name == name
    assert all((shipped_weights() / "golden" / golden.picture).is_file() for golden in manifest.golden)
    if manifest.source is None:
        path = shipped_weights() / manifest.file
        assert file_sha256(path) == manifest.sha256
        assert path.stat().st_size < 30e6


def test_unknown_engines_are_answered_with_what_there_is() -> None:
    """A typing error costs one look."""
    with pytest.raises(ManifestError, match="hyperiqa-r18, ppocrv6-small-det"):
        load_manifest("hyperiqa-r81")


def test_missing_and_wrong_files_are_refused(tmp_path: Path) -> None:
    """With the command that mends it."""
    with pytest.raises(EngineMissingError, match="is missing; run `iqa engines fetch`"):
        verified_file(DETECTION, tmp_path)
    (tmp_path / DETECTION.file).write_bytes(b"something else")
    with pytest.raises(EngineMissingError, match="not the file of the manifest"):
        verified_file(DETECTION, tmp_path)


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"sha256": "0" * 64}, {"input": DETECTION.input.model_copy(update={"min_score": 0.6})}]
)
def test_digest_covers_what_decides_answers(change: dict[str, object]) -> None:
    """Version, file and input do; measures and licence do not."""
    assert DETECTION.model_copy(update=change).digest != DETECTION.digest
    assert DETECTION.model_copy(update={"licence": "other", "measures": {}}).digest == DETECTION.digest


def test_unknown_fields_are_refused() -> None:
    """A misspelt field must not be ignored silently."""
    with pytest.raises(ValueError, match="tolerence"):
        Manifest.model_validate(QUALITY.model_dump() | {"tolerence": 1})


def imported(folder: Path, name: str) -> None:
    body = QUALITY.model_dump(mode="json") | {"name": name, "imported": True, "file": f"{name}.onnx"}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(body))


def test_imported_engines_lie_beside_fetched_ones(tmp_path: Path) -> None:
    """They are listed and looked for there; they cannot take the name of one that ships."""
    imported(tmp_path, "ours")
    imported(tmp_path, "ppocrv6-small-det")
    assert "ours" in manifest_names(tmp_path)
    assert "ours" not in manifest_names()
    assert load_manifest("ppocrv6-small-det", tmp_path) == DETECTION
    with pytest.raises(EngineMissingError, match=str(tmp_path / "ours.onnx")):
        verified_file(load_manifest("ours", tmp_path), tmp_path)
