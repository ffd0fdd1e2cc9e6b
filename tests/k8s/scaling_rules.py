"""What must hold of the scaler: its numbers beside those of topics, pods and starts, and what goes wrong with others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.k8s.fleet_rules import settings_of
from tests.k8s.kustomized import Fleet, Manifest, container, quantity
from tests.k8s.pod_rules import start_limit_s
from worker.errors import SettingsError

__all__ = ["ARRIVALS", "SCALING_RULES", "triggers"]

Faults = Iterator[str]
MANY_DIVISORS = {6, 12, 24, 60, 120, 240, 360, 720}
CORE_S = {"cpu": 0.073, "gpu": 0.020, "local": 0.073}
"""Core-seconds of a picture: all stages; what stays on the CPU beside a GPU (a model's figure)."""
USED = (0.5, 0.75)
"""Of its cores, by a worker that does what the target says."""
FORMULA = "arrivals != nil || lag != nil ? (arrivals ?? 0) / 0.7 + (lag ?? 0) / 120 : nil"
"""As simulated: 1.6 times the pod-hours of an ideal scaler, where lag alone takes 3.4 times."""
ARRIVALS = "iqa_partition_end_offset"
UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}, {"type": "Pods", "value": 4, "periodSeconds": 30}],
}
DOWN = {"selectPolicy": "Min", "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}


def triggers(scaled: Manifest) -> dict[str, Manifest]:
    """By name."""
    return {each["name"]: each for each in scaled["spec"]["triggers"]}


def numbers(fleet: Fleet) -> Faults:
    """Workers, partitions, markers of transactions, what one worker does: told once, and fitting each other."""
    partitions = fleet.number("partitions")
    if partitions not in MANY_DIVISORS:
        yield f"{partitions} partitions cannot be shared evenly by many numbers of workers"
    limits = container(fleet.worker)["resources"].get("limits", {})
    used = fleet.number("pictures-per-second") * CORE_S[fleet.overlay] / quantity(limits.get("cpu", "1"))
    if not USED[0] <= used <= USED[1]:
        yield f"a worker that does what is asked uses {used:.2f} of its cores"
    if "keda" not in fleet.components:
        return
    spec = fleet.get("ScaledObject", "iqa-worker")["spec"]
    least, most, blind = spec["minReplicaCount"], spec["maxReplicaCount"], spec["fallback"]["replicas"]
    if not (1 if fleet.overlay == "local" else 2) <= least <= blind <= most <= partitions:
        yield f"{least} to {most} workers, {blind} when blind, {partitions} partitions"
    told = [fleet.number(name) for name in ("fewest-workers", "most-workers", "blind-workers")]
    if told != [least, most, blind] or spec["advanced"]["scalingModifiers"]["target"] != str(
        fleet.number("pictures-per-second")
    ):
        yield "other numbers than those of the worker's Deployment"
    if int(triggers(fleet.get("ScaledObject", "iqa-worker"))["lag"]["metadata"]["activationLagThreshold"]) < partitions:
        yield "marks of transactions keep it active"


def behaviour(fleet: Fleet) -> Faults:
    """Up at once, down slowly, never within a start; as simulated, and without what Kubernetes 1.34 drops."""
    for scaled in fleet.of("ScaledObject"):
        found = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
        down = dict(found["behavior"]["scaleDown"])
        window_s = down.pop("stabilizationWindowSeconds")
        if window_s <= start_limit_s(fleet):
            yield f"workers are taken away while others start: {window_s} s"
        if window_s != fleet.number("scale-down-window-seconds") or window_s > 3600:
            yield f"a window of {window_s} s"
        if found["behavior"]["scaleUp"] != UP or down != DOWN:
            yield "other policies than simulated"
        if found["name"] != "iqa-worker":
            yield "operations.md looks for the HPA elsewhere"


def sources(fleet: Fleet) -> Faults:
    """Two, each alone enough: what comes and what waits, of the topic, group and brokers that workers have."""
    for scaled in fleet.of("ScaledObject"):
        named = triggers(scaled)
        kinds = {name: each["type"] for name, each in named.items()}
        if kinds != {"lag": "kafka", "arrivals": "prometheus"}:
            yield f"triggers {kinds}"
            continue
        try:
            found = settings_of(fleet, fleet.worker)
        except SettingsError:
            return  # another rule tells
        lag, arrivals = named["lag"]["metadata"], named["arrivals"]["metadata"]
        wanted = (found.kafka.bootstrap_servers, found.kafka.group_id, found.topics.uploads)
        if (lag["bootstrapServers"], lag["consumerGroup"], lag.get("topic")) != wanted:
            yield f"looks at {lag}"
        if ("tls" in lag) != ("strimzi" in fleet.components):
            yield "certificates, or none, where workers have it otherwise"
        there = {each["metadata"]["name"] for each in fleet.of("TriggerAuthentication")}
        if named["lag"]["authenticationRef"]["name"] not in there:
            yield "no authentication of that name"
        names = re.findall(r"\b(iqa_\w+)\{([^}]*)\}", arrivals["query"])
        if names != [(ARRIVALS, f'topic="{found.topics.uploads}"')]:
            yield f"asks for {names}"
        if arrivals["ignoreNullValues"] != "false" or named["arrivals"].get("useCachedMetrics"):
            yield "no answer is taken for no work"


def backlog(fleet: Fleet) -> Faults:
    """All of it is counted, as it is."""
    for scaled in fleet.of("ScaledObject"):
        lag = triggers(scaled)["lag"]["metadata"]
        if lag["offsetResetPolicy"] != "earliest" or lag["allowIdleConsumers"] != "true" or lag["lagThreshold"] != "600":
            yield "lag without a place is not all of it, or it is capped"
        if {"excludePersistentLag", "limitToPartitionsWithLag", "ensureEvenDistributionOfPartitions"} & lag.keys():
            yield "hides or rounds the backlog"
        if tuple(map(int, lag.get("version", "1.0.0").split("."))) < (2, 1, 0):
            yield "brokers of Kafka 4 do not answer so old a client"


def formula(fleet: Fleet) -> Faults:
    """As simulated; with both sources away the fallback holds, never none; and nobody else sets the number of workers."""
    for scaled in fleet.of("ScaledObject"):
        spec = scaled["spec"]
        modifiers = spec["advanced"]["scalingModifiers"]
        if modifiers["formula"] != FORMULA or modifiers["metricType"] != "AverageValue":
            yield f"formula {modifiers['formula']}"
        if spec["fallback"].get("behavior") != "scalingModifiers" or spec["fallback"]["failureThreshold"] != 3:
            yield "the formula never sees that a source is away"
        if spec["pollingInterval"] != 15:
            yield f"looks every {spec['pollingInterval']} s"
        if spec["scaleTargetRef"] != {"apiVersion": "apps/v1", "kind": "Deployment", "name": fleet.worker["metadata"]["name"]}:
            yield "scales something else"
    if bool(fleet.of("ScaledObject")) == ("replicas" in fleet.worker["spec"]):
        yield "the number of workers is set twice, or by nobody"
    if bool(fleet.of("ScaledObject")) != ("keda" in fleet.components):
        yield "no scaler"


SCALING_RULES = (numbers, behaviour, sources, backlog, formula)
