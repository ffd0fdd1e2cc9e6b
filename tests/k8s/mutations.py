"""Mistakes in manifests, each of which a rule must find: what is put into (or taken out of) which resource of which fleet."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.k8s.kustomized import Combination, Fleet, Manifest, rendered

__all__ = ["MUTATIONS", "Mutation"]

GONE = object()
"""Takes the field out."""
CPU: Combination = ("cpu", ("karpenter", "keda", "monitoring"))
GPU: Combination = ("gpu", ("karpenter", "keda", "monitoring"))
STRIMZI: Combination = ("cpu", ("keda", "strimzi"))
LOCAL: Combination = ("local", ("keda",))
POD, BOX = "spec.template.spec", "spec.template.spec.containers.0"
WORKER, PROJECTION, PROBE = (("Deployment", f"iqa-{name}") for name in ("worker", "projection", "probe"))
JOB, SPARE, SCALED = ("Job", "iqa-topics"), ("Deployment", "iqa-spare"), ("ScaledObject", "iqa-worker")
HPA = "spec.advanced.horizontalPodAutoscalerConfig"
NOTES = "metadata.annotations.iqa-fleet/"


@dataclass(frozen=True)
class Mutation:
    """One mistake."""

    rule: str
    combination: Combination
    which: tuple[str, str]
    path: str
    value: Any

    def __str__(self) -> str:
        return f"{self.rule}-{self.which[1]}-{self.path.rpartition('.')[2]}-{'gone' if self.value is GONE else self.value}"[:90]

    def made(self) -> Fleet:
        """The fleet with it."""
        manifests = copy.deepcopy(rendered(self.combination))
        fleet = Fleet(self.combination, manifests)
        if self.path == "":
            manifests.remove(fleet.get(*self.which))
            return fleet
        *parts, last = _parts(self.path)
        place: Any = fleet.get(*self.which)
        for part in parts:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if self.value is GONE:
            del place[int(last) if isinstance(place, list) else last]
        elif last == "+":
            place.append(self.value)
        elif isinstance(place, list):
            place[int(last)] = self.value
        else:
            place[last] = self.value
        return fleet


def _parts(path: str) -> Iterator[str]:
    """By dots; a tilde stands for one within a name."""
    return (part.replace("~", ".") for part in path.split("."))


def _env(name: str, value: str) -> Manifest:
    return {"name": name, "value": value}


def _many(rule: str, combination: Combination, which: tuple[str, str], changes: dict[str, Any]) -> Iterator[Mutation]:
    return (Mutation(rule, combination, which, path, value) for path, value in changes.items())


MUTATIONS: list[Mutation] = [
    *_many(
        "restricted",
        CPU,
        WORKER,
        {
            f"{POD}.securityContext.runAsUser": 0,
            f"{POD}.securityContext.seccompProfile": GONE,
            f"{BOX}.securityContext.capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
            f"{BOX}.securityContext.allowPrivilegeEscalation": True,
            f"{BOX}.securityContext.readOnlyRootFilesystem": False,
            f"{POD}.hostNetwork": True,
            f"{POD}.volumes.+": {"name": "node", "hostPath": {"path": "/"}},
        },
    ),
    *_many("surroundings", CPU, WORKER, {f"{POD}.automountServiceAccountToken": True, f"{POD}.enableServiceLinks": GONE}),
    *_many("surroundings", CPU, ("Namespace", "iqa"), {"metadata.labels.pod-security~kubernetes~io/enforce": "baseline"}),
    *_many(
        "resources",
        CPU,
        WORKER,
        {
            f"{BOX}.resources.requests.cpu": "1",
            f"{BOX}.resources.limits": {},
            f"{BOX}.resources": {
                key: {"cpu": "1500m", "memory": "2Gi", "ephemeral-storage": "1Gi"} for key in ("requests", "limits")
            },
            f"{BOX}.resources.limits.memory": "1000Mi",
            f"{BOX}.env.+": _env("IQA_DECODE__MEMORY_BYTES", "1500000000"),
        },
    ),
    *_many(
        "volumes",
        CPU,
        WORKER,
        {
            f"{POD}.volumes.0": {"name": "kafka", "emptyDir": {"sizeLimit": "1Mi"}},
            f"{BOX}.volumeMounts.0.mountPath": "/var/tmp",
            f"{BOX}.env.+": _env("HOME", "/nonexistent"),
            f"{POD}.volumes.0.emptyDir": {},
            f"{BOX}.volumeMounts.1.mountPath": "/etc/kafka",
        },
    ),
    *_many("volumes", GPU, WORKER, {f"{BOX}.volumeMounts.0.mountPath": "/plans"}),
    *_many(
        "references",
        CPU,
        WORKER,
        {
            f"{POD}.volumes.1.secret.secretName": "iqa-kafak",
            f"{POD}.priorityClassName": "high",
            f"{BOX}.env.+": {"name": "IQA_REDIS__URL", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
            "metadata.namespace": "default",
        },
    ),
    *_many("images", CPU, WORKER, {f"{BOX}.image": "registry.example.org/iqa-fleet:1.0"}),
    *_many("images", CPU, PROBE, {f"{BOX}.image": "registry.example.org/iqa-fleet:1.0@sha256:" + 64 * "a"}),
    *_many("images", GPU, WORKER, {f"{BOX}.image": "registry.example.org/iqa-fleet@sha256:" + 64 * "a"}),
    *_many(
        "probes",
        CPU,
        WORKER,
        {
            f"{BOX}.startupProbe": GONE,
            f"{BOX}.readinessProbe.httpGet.path": "/livez",
            f"{BOX}.livenessProbe.httpGet.port": 9090,
            f"{BOX}.livenessProbe.failureThreshold": 1,
            f"{BOX}.ports.0.containerPort": 8081,
        },
    ),
    *_many("starting", CPU, WORKER, {f"{BOX}.startupProbe.failureThreshold": 12, "spec.progressDeadlineSeconds": 120}),
    *_many("rollouts", CPU, WORKER, {"spec.revisionHistoryLimit": 10, "spec.strategy.rollingUpdate.maxUnavailable": 1}),
    *_many("rollouts", GPU, WORKER, {"spec.strategy.rollingUpdate.maxSurge": "25%"}),
    *_many("rollouts", CPU, PROBE, {"spec.replicas": 2}),
    *_many(
        "ending",
        CPU,
        WORKER,
        {
            f"{POD}.terminationGracePeriodSeconds": 30,
            f"{BOX}.env.+": _env("IQA_WORKER__DRAIN_TIMEOUT_S", "40"),
            f"{BOX}.lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        },
    ),
    *_many(
        "budgets",
        CPU,
        ("PodDisruptionBudget", "iqa-worker"),
        {
            "": None,
            "spec.selector": {"matchLabels": {"app.kubernetes.io/name": "iqa-fleet"}},
            "spec.maxUnavailable": 0,
            "spec.unhealthyPodEvictionPolicy": GONE,
        },
    ),
    *_many(
        "spread",
        CPU,
        WORKER,
        {f"{POD}.topologySpreadConstraints.0": GONE, f"{POD}.topologySpreadConstraints.1.matchLabelKeys": GONE},
    ),
    *_many("selectors", CPU, WORKER, {"spec.selector": {"matchLabels": {"app.kubernetes.io/name": "iqa-fleet"}}}),
    *_many("selectors", CPU, ("Service", "iqa-probe"), {"spec.selector": {"app": "probe"}, "spec.ports.0.port": 80}),
    *_many(
        "settings",
        CPU,
        WORKER,
        {
            f"{BOX}.env.+": _env("IQA_WORKER__THREAD", "16"),
            f"{BOX}.env.2": _env("THREADS", "16"),
            f"{BOX}.env.0": _env("IQA_REDIS__URL", "redis://:secret@redis"),
        },
    ),
    *_many("commands", CPU, WORKER, {f"{BOX}.args": ["worker", "start"], f"{BOX}.command": ["python"]}),
    *_many("commands", CPU, PROBE, {f"{BOX}.args": ["worker", "run"]}),
    *_many("commands", CPU, JOB, {f"{BOX}.args.2": "--partition"}),
    *_many(
        "roles",
        CPU,
        WORKER,
        {f"{BOX}.env.1.value": "true", f"{BOX}.env.3": _env("IQA_KAFKA__INSTANCE_ID", "a")},
    ),
    *_many("roles", CPU, PROBE, {f"{BOX}.env.+": _env("IQA_PROBE__SERVED_AT", "http://probe:8080")}),
    *_many("roles", CPU, PROJECTION, {f"{BOX}.env.+": _env("IQA_REDIS__URL_FILE", "")}),
    *_many("settings", CPU, JOB, {f"{BOX}.env.+": _env("IQA_FETCH__ALLOW_HOSTS", "")}),
    *_many("settings", STRIMZI, ("ConfigMap", "iqa-kafka"), {"data.client~properties": "security.protocol=tls"}),
    *_many("network", CPU, ("NetworkPolicy", "iqa-deny"), {"": None}),
    *_many(
        "network",
        CPU,
        ("NetworkPolicy", "iqa-metrics"),
        {"spec.ingress.0.from": [], "spec.ingress.0.from.+": {"podSelector": {}}},
    ),
    *_many(
        "network",
        CPU,
        ("NetworkPolicy", "iqa-pictures"),
        {
            "spec.egress.0.ports.+": {"port": 22, "protocol": "TCP"},
            "spec.egress.0.to.0.ipBlock.except.4": GONE,
            "spec.egress.0.to.1.ipBlock.cidr": "::/0",
        },
    ),
    *_many("topics", CPU, WORKER, {f"{NOTES}copies": "1", f"{NOTES}partitions": "60"}),
    *_many("topics", STRIMZI, JOB, {f"{BOX}.args": ["topics", "create"]}),
    *_many(
        "topics",
        STRIMZI,
        ("KafkaTopic", "image.uploads.retry.3"),
        {"": None, "spec.partitions": 6, "spec.config.cleanup~policy": "compact"},
    ),
    *_many("topics", STRIMZI, ("KafkaUser", "iqa-fleet"), {"spec.authorization.acls.1.operations": ["Read"]}),
    *_many("topics", STRIMZI, ("KafkaUser", "iqa-scaler"), {"spec.authorization.acls.0.operations": ["Describe", "Read"]}),
    *_many(
        "monitoring",
        CPU,
        ("PodMonitor", "iqa-fleet"),
        {
            "": None,
            "spec.selector.matchExpressions.1.values": ["worker"],
            "spec.podMetricsEndpoints.0.interval": "60s",
            "spec.podMetricsEndpoints.0.relabelings.0.replacement": "$1",
        },
    ),
    *_many(
        "monitoring",
        CPU,
        ("PrometheusRule", "iqa-fleet"),
        {"spec.groups.1.rules.0.annotations.runbook_url": "runbook.md#iqaverdictslatefast"},
    ),
    *_many(
        "graphics",
        GPU,
        WORKER,
        {
            f"{BOX}.resources.limits.nvidia~com/mig-1g~10gb": "1",
            f"{BOX}.env.+": _env("IQA_WORKER__CPU_SLOTS", "8"),
        },
    ),
    Mutation("ending", CPU, PROJECTION, f"{BOX}.env.+", _env("IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "60000")),
    Mutation("graphics", GPU, WORKER, f"{BOX}.env.+", _env("IQA_RUNTIME", "auto")),
    *_many(
        "pools",
        GPU,
        ("NodePool", "iqa-gpu"),
        {
            "spec.template.spec.terminationGracePeriod": "1m",
            "spec.disruption.consolidateAfter": "1m",
            "spec.disruption.budgets": [],
            "spec.limits.nvidia~com/gpu": "6",
        },
    ),
    *_many(
        "places",
        GPU,
        ("NodePool", "iqa-gpu"),
        {"spec.template.metadata.labels": {}, "spec.template.spec.taints.+": {"key": "other", "effect": "NoSchedule"}},
    ),
    *_many("places", GPU, WORKER, {f"{POD}.nodeSelector.iqa-fleet/pool": "cpu"}),
    *_many(
        "places",
        GPU,
        SPARE,
        {f"{BOX}.image": "pause", f"{POD}.nodeSelector.iqa-fleet/pool": "cpu", f"{POD}.priorityClassName": "iqa-worker"},
    ),
    *_many(
        "numbers", CPU, WORKER, {f"{NOTES}partitions": "25", f"{NOTES}pictures-per-second": "40", f"{NOTES}blind-workers": "7"}
    ),
    *_many(
        "numbers",
        CPU,
        SCALED,
        {
            "spec.maxReplicaCount": 25,
            "spec.minReplicaCount": 1,
            "spec.fallback.replicas": 1,
            "spec.advanced.scalingModifiers.target": "30",
            "spec.triggers.0.metadata.activationLagThreshold": "6",
        },
    ),
    *_many(
        "behaviour",
        CPU,
        SCALED,
        {
            f"{HPA}.behavior.scaleDown.stabilizationWindowSeconds": 150,
            f"{HPA}.behavior.scaleDown.policies.0.value": 50,
            f"{HPA}.behavior.scaleUp.tolerance": "0",
            f"{HPA}.name": "keda-hpa-iqa-worker",
        },
    ),
    *_many("behaviour", GPU, WORKER, {f"{BOX}.env.+": _env("IQA_WORKER__START_TIMEOUT_S", "900")}),
    *_many(
        "sources",
        CPU,
        SCALED,
        {
            "spec.triggers.1": GONE,
            "spec.triggers.0.metadata.topic": GONE,
            "spec.triggers.0.metadata.bootstrapServers": "kafka:9092",
            "spec.triggers.0.metadata.tls": "enable",
            "spec.triggers.1.metadata.ignoreNullValues": "true",
            "spec.triggers.1.metadata.query": 'sum(rate(iqa_partition_end_offset{topic="uploads"}[2m]))',
        },
    ),
    *_many(
        "backlog",
        CPU,
        SCALED,
        {
            "spec.triggers.0.metadata.allowIdleConsumers": "false",
            "spec.triggers.0.metadata.offsetResetPolicy": "latest",
            "spec.triggers.0.metadata.lagThreshold": "10",
            "spec.triggers.0.metadata.excludePersistentLag": "true",
            "spec.triggers.0.metadata.limitToPartitionsWithLag": "true",
            "spec.triggers.0.metadata.version": "1.0.0",
        },
    ),
    *_many("sources", CPU, ("TriggerAuthentication", "iqa-kafka"), {"": None}),
    *_many(
        "formula",
        CPU,
        SCALED,
        {
            "": None,
            "spec.advanced.scalingModifiers.formula": "(arrivals ?? 0) / 0.7 + (lag ?? 0) / 120",
            "spec.fallback.behavior": "static",
            "spec.pollingInterval": 30,
            "spec.scaleTargetRef.name": "worker",
        },
    ),
    *_many("formula", CPU, WORKER, {"spec.replicas": 2}),
]
