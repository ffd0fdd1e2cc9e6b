"""The shape of the house: which way imports point, who may know torch, how long a file may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("worker", "calibration", "engines")
FORBIDDEN = {"engines": {"worker", "calibration"}, "calibration": {"worker", "engines"}, "worker": set[str]()}
TORCH = ("engines/models/", "engines/training/", "engines/export.py")
FILES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def imported(file: Path) -> set[str]:
    """Top-level names of everything that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_point_one_way(file: Path) -> None:
    """worker -> engines, calibration; torch, GPU packages and the like in the places that are theirs; tests never."""
    path, found = name(file), imported(file)
    assert not found & FORBIDDEN[path.split("/")[0]]
    assert "tests" not in found
    if path != "engines/runtime/tensorrt.py":
        assert not found & {"tensorrt", "pycuda"}
    if path != "worker/rejudge/parts.py":
        assert "pyarrow" not in found
    if path != "worker/telemetry/tracing.py":
        assert "opentelemetry" not in found
    if not path.startswith(TORCH):
        assert not found & {"torch", "safetensors", "scipy"}
        assert "onnx" not in found or path in {"engines/half.py", "engines/build.py"}


@pytest.mark.parametrize("file", FILES, ids=name)
def test_files_are_one_job_long(file: Path) -> None:
    """Under 400 lines."""
    assert len(file.read_text(encoding="utf-8").splitlines()) < 400


def test_exported_names_exist() -> None:
    """``__all__`` lists what a module really has."""
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        defined, listed = set(), list[str]()
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.ImportFrom):
                defined |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = {target.id for target in targets if isinstance(target, ast.Name)}
                defined |= names
                if "__all__" in names and node.value is not None:
                    listed = ast.literal_eval(node.value)
        assert set(listed) <= defined, name(file)
