"""Manifests as the real kustomize makes them, for every overlay with every set of components that goes with it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

__all__ = [
    "ALL",
    "BUILT",
    "K8S",
    "Combination",
    "Fleet",
    "Manifest",
    "build",
    "combination_id",
    "component",
    "container",
    "labels",
    "pod",
    "quantity",
    "render",
    "rendered",
    "selects",
    "tool",
]

Manifest = dict[str, Any]
Combination = tuple[str, tuple[str, ...]]
"""An overlay, and components in the order in which they are named."""

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
BUILT = ROOT / ".kustomize"
HERE = "iqa-fleet/k8s"
"""What the README calls the folder of manifests."""

SHARED, ANYWHERE = ("gpu-shared", "mig"), ("karpenter", "keda", "strimzi", "monitoring")


def tool(name: str) -> str:
    """A program that ``make kustomize`` builds, or one on the path; without it the test is skipped, and fails in CI."""
    built = BUILT / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        told = f"needs {name}: run `make kustomize`"
        if os.environ.get("CI"):
            pytest.fail(f"{told}, and in CI it must be there", pytrace=False)
        pytest.skip(told)
    return found


def _combinations() -> Iterator[Combination]:
    for overlay in ("cpu", "gpu", "local"):
        # A cluster on a desk has no Karpenter, and no three brokers for Strimzi's topics.
        offered = ("keda", "monitoring") if overlay == "local" else ANYWHERE
        for size in range(len(offered) + 1):
            for chosen in combinations(offered, size):
                yield overlay, chosen
                if overlay == "gpu":
                    yield from ((overlay, (shared, *chosen)) for shared in SHARED)


ALL: list[Combination] = list(_combinations())


def combination_id(combination: Combination) -> str:
    """``gpu+mig+keda``."""
    return "+".join((combination[0], *combination[1]))


def render(overlay: str, components: tuple[str, ...] = ()) -> list[Manifest]:
    """What would be applied, for a kustomization as the README has it."""
    return build(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{HERE}/overlays/{overlay}"],
            "components": [f"{HERE}/components/{each}" for each in components],
        }
    )


def build(kustomization: Manifest, *edits: list[str]) -> list[Manifest]:
    """The same for any kustomization in a folder of its own, after commands of ``kustomize edit``."""
    kustomize = tool("kustomize")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        text = yaml.safe_dump(kustomization).replace(HERE, os.path.relpath(K8S, folder))
        (folder / "kustomization.yaml").write_text(text, encoding="utf-8")
        for command in (*(["edit", *each] for each in edits), ["build", "."]):
            done = subprocess.run([kustomize, *command], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert not done.stderr
    return list(yaml.load_all(done.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@functools.cache
def rendered(combination: Combination) -> list[Manifest]:
    """The same, once for all tests of a process; nobody changes it."""
    return render(*combination)


class Fleet:
    """What was rendered, by what one asks of it."""

    def __init__(self, combination: Combination, manifests: list[Manifest]) -> None:
        self.overlay, self.components = combination
        self.manifests = manifests

    def of(self, kind: str) -> list[Manifest]:
        """All of a kind."""
        return [each for each in self.manifests if each["kind"] == kind]

    def get(self, kind: str, name: str) -> Manifest:
        """One, by its name, without the hash that kustomize adds."""
        (found,) = (
            each
            for each in self.of(kind)
            if each["metadata"]["name"] == name
            or (kind in {"ConfigMap", "Secret"} and each["metadata"]["name"].rpartition("-")[0] == name)
        )
        return found

    @property
    def worker(self) -> Manifest:
        """The workers' Deployment."""
        return self.get("Deployment", "iqa-worker")

    @property
    def workloads(self) -> list[Manifest]:
        """What makes pods."""
        return [*self.of("Deployment"), *self.of("Job")]

    @property
    def ours(self) -> list[Manifest]:
        """Those whose pods run one of our commands."""
        return [each for each in self.workloads if component(each) != "spare"]

    @property
    def served(self) -> list[Manifest]:
        """Those with probes and metrics."""
        return [each for each in self.ours if each["kind"] == "Deployment"]

    def number(self, name: str) -> int:
        """One that stands on the workers' Deployment."""
        return int(self.worker["metadata"]["annotations"][f"iqa-fleet/{name}"])

    def environment(self, workload: Manifest) -> dict[str, str]:
        """As its container gets it."""
        found: dict[str, str] = {}
        for source in container(workload).get("envFrom", []):
            name = source["configMapRef"]["name"]
            found |= next(each for each in self.of("ConfigMap") if each["metadata"]["name"] == name)["data"]
        return found | {each["name"]: each["value"] for each in container(workload).get("env", [])}


def component(workload: Manifest) -> str:
    """``worker``, ``projection``, ``probe``, ``topics``, ``spare``."""
    return str(workload["metadata"]["labels"]["app.kubernetes.io/component"])


def pod(workload: Manifest) -> Manifest:
    """What its pods are made by."""
    found: Manifest = workload["spec"]["template"]["spec"]
    return found


def container(workload: Manifest) -> Manifest:
    """Its only container."""
    (found,) = pod(workload)["containers"]
    assert isinstance(found, dict)
    return found


def labels(workload: Manifest) -> dict[str, str]:
    """Of its pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: Manifest, given: dict[str, str]) -> bool:
    """Whether a selector of Kubernetes' takes pods with these labels."""
    if any(given.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In"
        if given.get(each["key"]) not in each["values"]:
            return False
    return True


def quantity(text: str) -> float:
    """``2Gi`` as a number."""
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * units.get(unit, 1)
