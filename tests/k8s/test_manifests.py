"""Manifests: every combination by the real kustomize, by schemas of Kubernetes and operators, and by rules of our own."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.k8s import fleet_rules, pod_rules, scaling_rules
from tests.k8s.kustomized import (
    ALL,
    BUILT,
    K8S,
    Combination,
    Fleet,
    Manifest,
    build,
    combination_id,
    container,
    rendered,
    tool,
)
from tests.k8s.mutations import MUTATIONS, Mutation
from tests.k8s.pages import Page, commands
from tests.k8s.prometheus_rule import SOURCES, TARGET
from tests.k8s.prometheus_rule import rendered as rendered_rules
from tests.k8s.test_alerts import promtool
from worker.telemetry.catalogue import CATALOGUE

__all__ = ["promtool"]

VERSIONS = ("1.34", "1.35", "1.36", "1.37")
RULES: dict[str, Callable[[Fleet], Iterator[str]]] = {
    rule.__name__: rule for rule in (*pod_rules.POD_RULES, *fleet_rules.FLEET_RULES, *scaling_rules.SCALING_RULES)
}
OPERATORS = {"keda.sh", "monitoring.coreos.com", "karpenter.sh", "kafka.strimzi.io"}
NO_MODULE = {"kafka.strimzi.io"}
"""Operators without a Go module that their definitions could come from: rules of our own look at their resources."""


def every_manifest() -> list[Manifest]:
    """Of all combinations, equal ones once."""
    found = {json.dumps(each, sort_keys=True): each for combination in ALL for each in rendered(combination)}
    return list(found.values())


def is_operators(manifest: Manifest) -> bool:
    return manifest["apiVersion"].partition("/")[0] in OPERATORS


def definitions() -> dict[tuple[str, str], Manifest]:
    """Schemas of operators' resources by version and kind, in which nothing is allowed that is not named."""
    tool("crds/.fetched")
    found = {}
    for path in sorted((BUILT / "crds").glob("*.yaml")):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = closed(schema)
    return found


def closed(schema: Any) -> Any:
    """As the API server prunes: what has properties has no others."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@pytest.mark.parametrize("combination", ALL, ids=combination_id)
def test_every_combination_keeps_the_rules(combination: Combination) -> None:
    """All of them."""
    fleet = Fleet(combination, rendered(combination))
    assert [f"{name}: {fault}" for name, rule in RULES.items() for fault in rule(fleet)] == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_every_mistake_is_found(mutation: Mutation) -> None:
    """By the rule that it is for."""
    assert list(RULES[mutation.rule](mutation.made()))


def test_every_fault_can_be_told() -> None:
    """No line of a rule that tells of a fault is never reached: a mistake is known for each."""
    told: set[tuple[str, int]] = set()
    files = {module.__file__ for module in (pod_rules, fleet_rules, scaling_rules)}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            told.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for mutation in MUTATIONS:
            list(RULES[mutation.rule](mutation.made()))
    finally:
        sys.settrace(before)
    assert {mutation.rule for mutation in MUTATIONS} == RULES.keys()
    silent = []
    for file in sorted(filter(None, files)):
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        telling = [number for number, line in enumerate(lines, 1) if re.match(r"\s+yield f?\"", line)]
        silent += [f"{Path(file).name}:{number}" for number in telling if (file, number) not in told]
    assert silent == []


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_take_it(version: str) -> None:
    """By its own schemas, in which a field that is not known is a mistake."""
    for manifest in every_manifest():
        if not is_operators(manifest):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_wrong_field_is_no_field_of_kubernetes() -> None:
    """The schemas that were asked are strict."""
    wrong = copy.deepcopy(Fleet(("cpu", ()), rendered(("cpu", ()))).worker)
    container(wrong)["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_operators_would_take_it() -> None:
    """KEDA, the Prometheus operator and Karpenter, by their own definitions."""
    schemas, seen = definitions(), set()
    for manifest in filter(is_operators, every_manifest()):
        kind = manifest["apiVersion"], manifest["kind"]
        if kind[0].partition("/")[0] not in NO_MODULE:
            jsonschema.Draft202012Validator(schemas[kind]).validate(manifest)
            seen.add(kind[1])
    assert seen == {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule", "NodePool"}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ScaledObject", ("spec", "fallback", "behaviour"), "static"),
        ("ScaledObject", ("spec", "fallback", "behavior"), "hold"),
        ("ScaledObject", ("spec", "maxReplicaCount"), "24"),
        ("PodMonitor", ("spec", "podMetricsEndpoints"), [{"port": 8080}]),
        ("PrometheusRule", ("spec", "groups"), [{"name": "a", "rules": [{"alert": "A"}]}]),
        ("NodePool", ("spec", "disruption", "consolidationPolicy"), "WhenUnderutilized"),
    ],
)
def test_a_wrong_field_is_no_field_of_operators(kind: str, path: tuple[str, ...], value: object) -> None:
    """Their definitions were asked, and are strict."""
    manifest = next(each for each in rendered(("cpu", ("karpenter", "keda", "monitoring"))) if each["kind"] == kind)
    wrong = copy.deepcopy(manifest)
    place = wrong
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(definitions()[wrong["apiVersion"], kind]).validate(wrong)


def test_the_formula_answers_as_simulated() -> None:
    """By the library that KEDA evaluates it with: both sources, one away, the other, both (then KEDA takes the fallback)."""
    (scaled,) = (each for each in rendered(("cpu", ("keda",))) if each["kind"] == "ScaledObject")
    formula = scaled["spec"]["advanced"]["scalingModifiers"]["formula"]
    cases = [
        {"arrivals": 14, "lag": 1200},
        {"arrivals": None, "lag": 1200},
        {"arrivals": 14, "lag": None},
        {"arrivals": None, "lag": None},
        {"arrivals": 0, "lag": 0},
    ]
    asked = {"formula": formula, "triggers": sorted(scaling_rules.triggers(scaled)), "cases": cases}
    done = subprocess.run([tool("formula")], input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx([30, 10, 20, None, 0])


OFFSETS = 'iqa_partition_end_offset{lane="uploads",topic="image.uploads",partition="%s",instance="%s"}'


@pytest.mark.parametrize(
    ("series", "wanted"),
    [
        ({("0", "a"): "0+30x40", ("1", "b"): "1000+30x40"}, [4.0]),
        # Its partition goes to another worker, which shows it two scrapes later; the first is gone, or shows its last value on.
        ({("0", "a"): "0+30x40", ("1", "b"): "1000+30x34 stale", ("1", "a"): "_x36 2110+30x4"}, [4.0]),
        ({("0", "a"): "0+30x40", ("1", "b"): "1000+30x34 2020x6", ("1", "a"): "_x35 2080+30x5"}, [4.0]),
        ({("0", "a"): "500x40", ("1", "b"): "1000x40"}, [0.0]),
        ({}, []),
    ],
    ids=["steady", "moved", "moved, both show it", "nothing comes", "no worker"],
)
def test_arrivals_are_told_rightly(
    promtool: str, tmp_path: Path, series: dict[tuple[str, str], str], wanted: list[float]
) -> None:
    """By the trigger's own query in Prometheus' engine, scraped every 15 s: within a fifth; nothing where nothing is seen."""
    combination: Combination = ("cpu", ("keda",))
    (scaled,) = Fleet(combination, rendered(combination)).of("ScaledObject")
    query = scaling_rules.triggers(scaled)["arrivals"]["metadata"]["query"]
    near = f"abs(({query}) - {wanted[0]}) <= bool {wanted[0] / 5}" if wanted else query
    played = {
        "interval": "15s",
        "input_series": [{"series": OFFSETS % key, "values": values} for key, values in series.items()],
        "promql_expr_test": [{"expr": near, "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 1}] * len(wanted)}],
    }
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [played]}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", "t.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_arrivals_are_counted_by_a_metric_of_ours() -> None:
    """One for each partition, whoever has it."""
    (metric,) = (each for each in CATALOGUE if each.name == scaling_rules.ARRIVALS)
    assert {"topic", "partition"} <= metric.labels.keys()


def test_alerts_are_those_of_the_rules() -> None:
    """The component's file was made of them (`make manifests`), and nothing but the addresses of pages was changed."""
    groups = [group for path in SOURCES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    made = yaml.safe_load(TARGET.read_text(encoding="utf-8"))
    address = made["spec"]["groups"][1]["rules"][0]["annotations"]["runbook_url"].partition("runbook.md")[0]
    assert TARGET.read_text(encoding="utf-8") == rendered_rules(address)
    for group in made["spec"]["groups"]:
        for rule in group["rules"]:
            if "annotations" in rule:
                rule["annotations"]["runbook_url"] = rule["annotations"]["runbook_url"].removeprefix(address)
    assert made["spec"]["groups"] == groups


def test_the_page_can_be_followed() -> None:
    """Its kustomization with its settings, and its command that sets the image: everywhere, the spare place included."""
    page = Page(K8S / "README.md")
    blocks = re.findall(r"```yaml\n(.*?)```", page.text, re.DOTALL)
    kustomization = {key: value for block in blocks for key, value in yaml.safe_load(block).items()}
    (command,) = (each for line in page.lines for each in commands(line) if each.arguments[:1] == ("edit",))
    fleet = Fleet(("cpu", ("karpenter", "keda", "monitoring")), build(kustomization, list(command.arguments[1:])))
    assert [f"{name}: {fault}" for name, rule in RULES.items() for fault in rule(fleet)] == []
    (image,) = {container(each)["image"] for each in fleet.workloads}
    assert image == command.arguments[-1].partition("=")[2]
    assert set(image.partition("sha256:")[2]) != {"0"}
    assert fleet.environment(fleet.worker)["IQA_LOG_LEVEL"] == "warning"


def test_the_page_counts_them() -> None:
    """Combinations; numbers of the overlays."""
    text = (K8S / "README.md").read_text(encoding="utf-8")
    assert f"all {len(ALL)} combinations" in text
    fleets = {overlay: Fleet((overlay, ()), rendered((overlay, ()))) for overlay in ("cpu", "gpu")}
    for names, *told in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \| .*? \|$", text[text.index("## Scale") :], re.MULTILINE):
        for overlay, values in zip(fleets, told, strict=True):
            notes = fleets[overlay].worker["metadata"]["annotations"]
            found = [notes[f"iqa-fleet/{name}"] for name in re.findall(r"`([a-z-]+)`", names)]
            assert ", ".join(found) == values.strip("`"), names


def test_nothing_shipped_lies_about() -> None:
    """Every file below base, overlays and components is part of some combination, or says what it is."""
    named = {
        (path.parent / entry).resolve()
        for path in K8S.rglob("kustomization.yaml")
        for entry in re.findall(r"[\w.-]+\.(?:yaml|env|properties)", path.read_text(encoding="utf-8"))
    }
    for folder in ("base", "overlays", "components"):
        for path in (K8S / folder).rglob("*"):
            assert path.is_dir() or path.name == "kustomization.yaml" or path.resolve() in named, path
