"""What must hold of every pod: how it is kept apart, what it may use, when it is asked and ended. Rules tell of faults."""

from __future__ import annotations

from collections.abc import Iterator

from tests.k8s.kustomized import Fleet, Manifest, component, container, pod, quantity, selects
from tests.k8s.kustomized import labels as labels_of
from worker.settings import KafkaSettings, Settings
from worker.stream.clients import _consumer_properties

__all__ = ["POD_RULES", "start_limit_s"]

Faults = Iterator[str]
LEAST_WORKER_BYTES = 2**30
WORKING_BYTES = 900_000_000
"""Measured: 0.83 GB at the most on real sizes, 0.9 GB with nothing but pictures of 20 MB (worker/README.md)."""
BEYOND_DRAIN_S = 25
"""Commits 5 s, a producer that is left behind 8 s, children that end."""
KNOWN_SECRETS = {"iqa-kafka", "iqa-redis", "iqa-kafka-ca", "iqa-fleet"}
"""Those that the README tells to make, and those that Strimzi makes."""


def restricted(fleet: Fleet) -> Faults:
    """Pod security as the level restricted has it, a root that cannot be written to, numeric users."""
    for each in fleet.workloads:
        name, spec, inner = component(each), pod(each), container(each)
        outer, security = spec["securityContext"], inner["securityContext"]
        if not (outer.get("runAsNonRoot") and outer.get("runAsUser", 0) >= 10_000 and outer.get("runAsGroup", 0) >= 10_000):
            yield f"{name}: runs as root, or as nobody in particular"
        if outer.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name}: no seccomp profile"
        if security.get("allowPrivilegeEscalation") is not False or security.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name}: may gain rights"
        if not security.get("readOnlyRootFilesystem"):
            yield f"{name}: may write to its root"
        if security.get("privileged") or any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: is not kept apart from its node"
        if any("hostPath" in volume for volume in spec.get("volumes", [])):
            yield f"{name}: sees its node's files"


def surroundings(fleet: Fleet) -> Faults:
    """No account's token, no variables of services, and a namespace that would refuse what is not restricted."""
    for each in fleet.workloads:
        name, spec = component(each), pod(each)
        if spec.get("automountServiceAccountToken") is not False or spec.get("serviceAccountName") != "iqa-fleet":
            yield f"{name}: has a token"
        if spec.get("enableServiceLinks") is not False:
            yield f"{name}: variables of services look like settings of ours, and stop the start"
    levels = fleet.get("Namespace", "iqa")["metadata"]["labels"]
    if any(levels.get(f"pod-security.kubernetes.io/{mode}") != "restricted" for mode in ("enforce", "audit", "warn")):
        yield "namespace: not restricted"


def resources(fleet: Fleet) -> Faults:
    """Requests are limits, cores are whole (slots come from the quota), memory and disk have bounds."""
    for each in fleet.workloads:
        asked, given = (container(each)["resources"].get(key, {}) for key in ("requests", "limits"))
        if asked != given or not {"cpu", "memory", "ephemeral-storage"} <= given.keys():
            yield f"{component(each)}: requests {asked} and limits {given}"
            continue
        if quantity(given["cpu"]) < 1 or quantity(given["cpu"]) % 1:
            yield f"{component(each)}: {given['cpu']} cores"
    limits = container(fleet.worker)["resources"].get("limits", {})
    room = quantity(limits.get("memory", "0")) - WORKING_BYTES
    if quantity(limits.get("memory", "0")) < LEAST_WORKER_BYTES:
        yield "worker: less memory than 16 threads need"
    if room < int(fleet.environment(fleet.worker)["IQA_DECODE__MEMORY_BYTES"]):
        yield "worker: one large picture takes the whole pod down before its decoder is refused memory"


def volumes(fleet: Fleet) -> Faults:
    """Every mount has one volume, what is written to has a bound, and all bounds fit the pod's disk."""
    for each in fleet.ours:
        name, found = component(each), pod(each)["volumes"]
        names = [volume["name"] for volume in found]
        mounts = {mount["mountPath"]: mount["name"] for mount in container(each)["volumeMounts"]}
        if sorted(names) != sorted(set(mounts.values())):
            yield f"{name}: volumes {names}, mounts {mounts}"
        written = {volume["name"]: volume["emptyDir"] for volume in found if "emptyDir" in volume}
        if mounts.get("/tmp") not in written:
            yield f"{name}: no place for temporary files"
        if fleet.environment(each).get("HOME") != "/tmp":
            yield f"{name}: a home that it cannot write to, or none"
        bounds = [quantity(empty.get("sizeLimit", "inf")) for empty in written.values()]
        if sum(bounds) > quantity(container(each)["resources"]["limits"]["ephemeral-storage"]):
            yield f"{name}: may write more than the pod may have"
        for setting, value in fleet.environment(each).items():
            folder = value.rpartition("/")[0]
            # The topics' Job asks Redis nothing.
            if setting.endswith("_FILE") and folder not in mounts and (name, setting) != ("topics", "IQA_REDIS__URL_FILE"):
                yield f"{name}: {setting} is {value}, where nothing is mounted"
        if fleet.environment(each).get("IQA_RUNTIME") == "tensorrt":
            plans = fleet.environment(each)["IQA_ENGINES__DIRECTORY"] + "/plans"
            if mounts.get(plans) not in written:
                yield f"{name}: plans cannot be written to {plans}"


def references(fleet: Fleet) -> Faults:
    """What is named is there: ConfigMaps, Secrets, accounts, priorities, and namespaces are ours."""
    there = {(each["kind"], each["metadata"]["name"]) for each in fleet.manifests}
    for each in fleet.workloads:
        name, spec = component(each), pod(each)
        sources = [source for volume in spec.get("volumes", []) for source in volume.get("projected", {}).get("sources", [])]
        secrets = {volume["secret"]["secretName"] for volume in spec.get("volumes", []) if "secret" in volume}
        secrets |= {source["secret"]["name"] for source in sources if "secret" in source}
        maps = {source["configMap"]["name"] for source in sources if "configMap" in source}
        maps |= {source["configMapRef"]["name"] for source in container(each).get("envFrom", [])}
        named = {("ConfigMap", each) for each in maps} | {("ServiceAccount", spec["serviceAccountName"])}
        named |= {("Secret", each) for each in secrets - KNOWN_SECRETS}
        if "priorityClassName" in spec:
            named.add(("PriorityClass", spec["priorityClassName"]))
        yield from (f"{name}: no {kind} {which}" for kind, which in sorted(named - there))
        if any("value" not in variable for variable in container(each).get("env", [])):
            yield f"{name}: a variable from elsewhere, which no test sees"
    cluster_wide = {"Namespace", "PriorityClass", "NodePool"}
    for each in fleet.manifests:
        if each["kind"] not in cluster_wide and each["metadata"].get("namespace") != "iqa":
            yield f"{each['kind']} {each['metadata']['name']}: in another namespace"


def images(fleet: Fleet) -> Faults:
    """By digest wherever it is more than a desk."""
    for each in fleet.workloads:
        image = container(each)["image"]
        name, _, digest = image.partition("@sha256:")
        if fleet.overlay != "local" and (":" in name or len(digest) != 64 or set(digest) - set("0123456789abcdef")):
            yield f"{component(each)}: {image} is not told by a digest alone"
    wanted = "iqa-fleet-gpu" if fleet.overlay == "gpu" else "iqa-fleet"
    if container(fleet.worker)["image"].partition("@")[0].partition(":")[0].rpartition("/")[2] != wanted:
        yield "worker: another image than its overlay's"


def probes(fleet: Fleet) -> Faults:
    """Started, alive, ready: at the addresses that are answered, on the port that is listened on."""
    for each in fleet.served:
        name, inner = component(each), container(each)
        port = int(fleet.environment(each).get("IQA_HTTP__PORT", Settings().http.port))
        if {found["name"]: found["containerPort"] for found in inner["ports"]} != {"http": port}:
            yield f"{name}: listens on {port}, tells {inner['ports']}"
        slow = name == "worker" and fleet.overlay == "gpu"
        starts = (10, 90) if slow else (5, 24) if name == "worker" else (5, 12)
        wanted = {"startup": ("/livez", *starts), "liveness": ("/livez", 10, 3), "readiness": ("/readyz", 5, 2)}
        for kind, (path, period, failures) in wanted.items():
            probe = inner.get(f"{kind}Probe", {})
            if probe.get("httpGet") != {"path": path, "port": "http"}:
                yield f"{name}: no {kind} probe of {path}"
            elif (probe["periodSeconds"], probe["failureThreshold"]) != (period, failures):
                yield f"{name}: {kind} probe every {probe['periodSeconds']} s, {probe['failureThreshold']} times"


def start_limit_s(fleet: Fleet) -> float:
    """After so long a worker that has not started is ended: /livez fails, and is asked three times."""
    probe = container(fleet.worker)["livenessProbe"]
    limit = float(fleet.environment(fleet.worker).get("IQA_WORKER__START_TIMEOUT_S", Settings().worker.start_timeout_s))
    return limit + float(probe["periodSeconds"] * probe["failureThreshold"])


def starting(fleet: Fleet) -> Faults:
    """What ends a slow start is /livez, which says why; neither the startup probe nor the roll-out gives up sooner."""
    inner, limit = container(fleet.worker), float(fleet.environment(fleet.worker)["IQA_WORKER__START_TIMEOUT_S"])
    if inner["startupProbe"]["periodSeconds"] * inner["startupProbe"]["failureThreshold"] < limit:
        yield "worker: the startup probe gives up before the start's own limit"
    if fleet.worker["spec"]["progressDeadlineSeconds"] <= start_limit_s(fleet):
        yield "worker: the roll-out fails while a start may still come about"


def rollouts(fleet: Fleet) -> Faults:
    """Workers surge where there is room; GPUs have none. Probes are one at a time."""
    rolling = {"worker": ("25%", 0) if fleet.overlay != "gpu" else (0, 1), "projection": (1, 0)}
    for each in fleet.served:
        name, spec = component(each), each["spec"]
        if spec.get("revisionHistoryLimit") != 5 or spec.get("minReadySeconds") != 10:
            yield f"{name}: too few revisions, or ready too soon"
        update = spec["strategy"].get("rollingUpdate", {})
        if name in rolling and (update.get("maxSurge"), update.get("maxUnavailable")) != rolling[name]:
            yield f"{name}: rolls out by {update}"
        if name == "probe" and (spec["strategy"] != {"type": "Recreate"} or spec["replicas"] != 1):
            yield "probe: two would send pictures under the same names"


def ending(fleet: Fleet) -> Faults:
    """The grace is longer than the drain and all that follows, and than a session of the group."""
    for each in fleet.ours:
        name, environment = component(each), fleet.environment(each)
        drain_s = float(environment.get("IQA_WORKER__DRAIN_TIMEOUT_S", Settings().worker.drain_timeout_s))
        grace_s = pod(each)["terminationGracePeriodSeconds"]
        if name == "worker" and grace_s < drain_s + BEYOND_DRAIN_S:
            yield f"worker: killed {grace_s} s after SIGTERM, which is within its drain"
        properties = _consumer_properties(KafkaSettings(), "any", {})
        session_ms = environment.get("IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", properties["session.timeout.ms"])
        if int(session_ms) / 1000 >= grace_s:
            yield f"{name}: a session outlives its member"
        if "lifecycle" in container(each):
            yield f"{name}: a preStop, though nothing routes to it"


def budgets(fleet: Fleet) -> Faults:
    """Each Deployment of several pods has a budget of its own, which holds up no broken pod."""
    for each in fleet.served:
        name = component(each)
        found = [one["spec"] for one in fleet.of("PodDisruptionBudget") if selects(one["spec"]["selector"], labels_of(each))]
        if name == "probe":
            continue
        if len(found) != 1 or found[0]["selector"] != each["spec"]["selector"]:
            yield f"{name}: {len(found)} budgets, or one of other pods too"
        elif found[0].get("maxUnavailable") != ("10%" if name == "worker" else 1):
            yield f"{name}: a budget of {found[0].get('maxUnavailable')}"
        elif found[0].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{name}: a pod that is not ready holds its node up"


def spread(fleet: Fleet) -> Faults:
    """Over zones and hosts, the pods of one revision by themselves."""
    for each in fleet.served:
        if component(each) == "probe":
            continue
        found = {one["topologyKey"]: one for one in pod(each).get("topologySpreadConstraints", [])}
        if found.keys() != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{component(each)}: spread over {sorted(found)}"
        for one in found.values():
            if one.get("matchLabelKeys") != ["pod-template-hash"] or one["labelSelector"] != each["spec"]["selector"]:
                yield f"{component(each)}: counts other pods than its own"


def selectors(fleet: Fleet) -> Faults:
    """Each takes its own pods and nobody else's; a Service, a policy, a budget takes some."""
    for each in fleet.of("Deployment"):
        taken = [component(other) for other in fleet.workloads if selects(each["spec"]["selector"], labels_of(other))]
        if taken != [component(each)]:
            yield f"{component(each)}: takes pods of {taken}"
    for kind, of in (("Service", lambda spec: {"matchLabels": spec["selector"]}), ("PodDisruptionBudget", _selector)):
        for each in fleet.of(kind):
            if not any(selects(of(each["spec"]), labels_of(other)) for other in fleet.workloads):
                yield f"{kind} {each['metadata']['name']}: takes no pod"
    for each in fleet.of("Service"):
        url = fleet.environment(fleet.worker)["IQA_PROBE__SERVED_AT"]
        if url != f"http://{each['metadata']['name']}:{each['spec']['ports'][0]['port']}":
            yield f"Service {each['metadata']['name']}: workers look for pictures at {url}"


def _selector(spec: Manifest) -> Manifest:
    found: Manifest = spec["selector"]
    return found


POD_RULES = (
    restricted,
    surroundings,
    resources,
    volumes,
    references,
    images,
    probes,
    starting,
    rollouts,
    ending,
    budgets,
    spread,
    selectors,
)
