"""The alerts as the Prometheus operator takes them: ``make manifests`` writes the component's file by it."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import yaml

__all__ = ["RUNBOOKS", "SOURCES", "TARGET", "manifest", "rendered"]

K8S = Path(__file__).resolve().parents[2] / "k8s"
SOURCES = (K8S / "monitoring" / "rules.yaml", K8S / "monitoring" / "drift.yaml")
TARGET = K8S / "components" / "monitoring" / "rules.yaml"
RUNBOOKS = "https://runbooks.example.org/iqa-fleet/"
"""Where a fleet's copy of ``k8s/monitoring`` can be read; ``make manifests RUNBOOKS=...`` puts another address in."""
HEAD = "# Made by `make manifests` from k8s/monitoring/rules.yaml and drift.yaml: change those.\n"


def manifest(groups: list[dict[str, Any]], runbooks: str) -> dict[str, Any]:
    """The resource: the groups as they are, with addresses of pages that can be followed."""
    moved = copy.deepcopy(groups)
    for group in moved:
        for rule in group["rules"]:
            page = rule.get("annotations", {}).get("runbook_url")
            if page is not None:
                rule["annotations"]["runbook_url"] = runbooks.rstrip("/") + "/" + page
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "iqa-fleet", "namespace": "iqa", "labels": {"app.kubernetes.io/part-of": "iqa-fleet"}},
        "spec": {"groups": moved},
    }


def rendered(runbooks: str = RUNBOOKS) -> str:
    """The file's text."""
    groups = [group for path in SOURCES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return HEAD + yaml.safe_dump(manifest(groups, runbooks), sort_keys=False, width=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runbooks", default=RUNBOOKS)
    TARGET.write_text(rendered(parser.parse_args().runbooks), encoding="utf-8")
