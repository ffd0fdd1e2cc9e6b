"""Compiled networks on disk: a plan is used only where it was built for.

A plan is code for one GPU, one version of TensorRT and one network file; used elsewhere it crashes or, worse, answers. Each
lies beside a description of what it was built from and its own hash. What does not match to the letter is as good as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["PlanCache", "PlanKey"]


@dataclass(frozen=True)
class PlanKey:
    """Everything that a plan depends on."""

    network: str
    network_sha256: str
    tensorrt: str
    compute_capability: str
    precision: str
    shapes: str

    @property
    def digest(self) -> str:
        """20 hex digits over all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:20]


class PlanCache:
    """Plans in ``directory``, found by key."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, key: PlanKey) -> Path:
        """Where the plan of ``key`` lies, if it does."""
        return self._directory / f"{key.network}-{key.digest}.plan"

    def find(self, key: PlanKey) -> bytes | None:
        """The plan, or ``None`` if there is none, it was built for something else, or it is damaged."""
        path = self.path(key)
        try:
            described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            plan = path.read_bytes()
        except (OSError, ValueError):
            return None
        expected = asdict(key) | {"plan_sha256": hashlib.sha256(plan).hexdigest()}
        return plan if described == expected else None

    def store(self, key: PlanKey, plan: bytes) -> Path:
        """Write the plan, then its description: a crash between the two leaves nothing that ``find`` would take."""
        path = self.path(key)
        self._directory.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        _write(path, plan)
        described = asdict(key) | {"plan_sha256": hashlib.sha256(plan).hexdigest()}
        _write(path.with_suffix(".json"), json.dumps(described, indent=2).encode())
        return path


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)
