"""kube-score finds nothing critical in any combination, but what is named here."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from tests.k8s.kustomized import ALL, Combination, combination_id, rendered, tool

EXCUSED = {"container-image-pull-policy": "a digest is always the same image, and iqa-spare pulls it ahead"}
ASKED_TOO = ("container-resource-requests-equal-limits", "container-seccomp-profile", "container-ports-check")


def scored(kube_score: str, manifests: str) -> str:
    """What is critical; nothing else is told."""
    options = [option for name in EXCUSED for option in ("--ignore-test", name)]
    options += [option for name in ASKED_TOO for option in ("--enable-optional-test", name)]
    done = subprocess.run(
        [kube_score, "score", *options, "--output-format", "ci", "-"],
        input=manifests,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith("[CRITICAL]"))


@pytest.mark.parametrize("combination", ALL, ids=combination_id)
def test_nothing_is_critical(combination: Combination) -> None:
    """By v1.20.0, built by `make kube-score`; what it does not know (operators' resources) it passes over."""
    assert scored(tool("kube-score"), yaml.safe_dump_all(rendered(combination))) == ""


def test_what_is_critical_is_found() -> None:
    """A root that can be written to."""
    whole = yaml.safe_dump_all(rendered(("cpu", ())))
    broken = whole.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
    assert "root filesystem" in scored(tool("kube-score"), broken).lower()
