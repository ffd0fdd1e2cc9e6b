"""What must hold of a fleet as a whole: settings, network, topics, alerts, nodes. Each rule tells what breaks it."""

from __future__ import annotations

import base64
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import trustme
from typer.testing import CliRunner

from tests.k8s.kustomized import Fleet, Manifest, component, container, labels, pod, quantity, selects
from tests.k8s.pages import Page
from worker.cli import app
from worker.errors import SettingsError
from worker.intake.guard import _GLOBAL_V6, _REFUSED_V4, _REFUSED_V6
from worker.projection import projection_group
from worker.settings import Settings, load_settings
from worker.stream.lane import retry_group
from worker.stream.topic_plan import plan_topics

__all__ = ["FLEET_RULES", "settings_of"]

Faults = Iterator[str]
CLOUDS = "168.63.129.16/32"
SECRET_FILES = "security.protocol=sasl_ssl\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=any\nsasl.password=any\n"
"""What the README has the Secret iqa-kafka hold."""
NODE_POOLS = {"cpu": "iqa-cpu", "gpu": "iqa-gpu"}


def settings_of(fleet: Fleet, workload: Manifest) -> Settings:
    """As its process reads them.

    Raises:
        SettingsError: it would not start.

    """
    return _loaded(tuple(sorted(fleet.environment(workload).items())), _properties(fleet))


def _properties(fleet: Fleet) -> str:
    for kind in ("ConfigMap", "Secret"):
        for each in fleet.of(kind):
            if each["metadata"]["name"].startswith("iqa-kafka-"):
                text: str = each["data"]["client.properties"]
                return text if kind == "ConfigMap" else base64.b64decode(text).decode()
    return SECRET_FILES


@functools.cache
def _loaded(environment: tuple[tuple[str, str], ...], properties: str) -> Settings:
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, dict(environment), clear=True):
        mounted, authority = Path(folder), trustme.CA()
        issued = authority.issue_cert("iqa")
        authority.cert_pem.write_to_path(mounted / "ca.crt")
        issued.cert_chain_pems[0].write_to_path(mounted / "user.crt")
        issued.private_key_pem.write_to_path(mounted / "user.key")
        (mounted / "client.properties").write_text(properties.replace("/etc/iqa/kafka", folder), encoding="utf-8")
        if "IQA_KAFKA__PROPERTIES_FILE" in os.environ:
            os.environ["IQA_KAFKA__PROPERTIES_FILE"] = str(mounted / "client.properties")
        return load_settings()


@functools.cache
def _helped(arguments: tuple[str, ...]) -> str:
    """What ``iqa ... --help`` says; nothing if there is no such command."""
    done = CliRunner().invoke(app, [*arguments, "--help"])
    return done.output if done.exit_code == 0 else ""


def settings(fleet: Fleet) -> Faults:
    """Every process would start by its settings, and holds no secret in the open."""
    for each in fleet.ours:
        name, environment = component(each), fleet.environment(each)
        strange = [key for key in environment if not key.startswith(("IQA_", "OTEL_")) and key != "HOME"]
        if strange:
            yield f"{name}: {strange} are nobody's settings"
        if any(key.endswith(("PASSWORD", "SECRET_ACCESS_KEY", "REDIS__URL")) for key in environment):
            yield f"{name}: a secret in the open"
        try:
            found = settings_of(fleet, each)
        except SettingsError as error:
            yield f"{name}: {error}"
            continue
        if "iqa-probe" not in found.fetch.allow_hosts:
            yield f"{name}: pictures of the probe are refused"


def commands(fleet: Fleet) -> Faults:
    """They are there, with these options, and are those that the names promise."""
    for each in fleet.ours:
        arguments = container(each)["args"]
        options = [argument for argument in arguments if argument.startswith("--")]
        helped = _helped(tuple(arguments))
        if container(each)["command"] != ["iqa"] or not helped or not all(option in helped for option in options):
            yield f"{component(each)}: no command {container(each)['command']} {arguments}"
        told = {"worker": "worker run", "projection": "projection run", "probe": "probe run", "topics": "topics"}
        if not " ".join(arguments).startswith(told[component(each)]):
            yield f"{component(each)}: runs {arguments}"


def roles(fleet: Fleet) -> Faults:
    """Workers leave the projection to its own Deployment and come and go; the projection has a Redis, the probe an address."""
    try:
        found = {component(each): settings_of(fleet, each) for each in fleet.ours}
    except SettingsError:
        return  # another rule tells
    if found["worker"].projection.enabled:
        yield "worker: each projects, though a Deployment does"
    if found["worker"].kafka.instance_id:
        yield "worker: static members keep their partitions when they are scaled away"
    if not found["projection"].redis.url_file:
        yield "projection: no Redis"
    if not found["probe"].probe.served_at.startswith("http://iqa-probe:"):
        yield "probe: served nowhere"


def network(fleet: Fleet) -> Faults:
    """Denied by default; metrics from the monitoring alone; out to DNS, Kafka, Redis, and for workers to public addresses."""
    policies = [each["spec"] for each in fleet.of("NetworkPolicy")]
    for each in fleet.workloads:
        name = component(each)
        mine = [spec for spec in policies if selects(spec["podSelector"], labels(each))]
        if not any(
            spec["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in spec and "egress" not in spec for spec in mine
        ):
            yield f"{name}: not denied by default"
        incoming = [rule for spec in mine for rule in spec.get("ingress", [])]
        outgoing = [rule for spec in mine for rule in spec.get("egress", [])]
        if any(not rule.get("from") or rule.get("ports") != [{"port": 8080, "protocol": "TCP"}] for rule in incoming):
            yield f"{name}: anybody comes in, or elsewhere than at 8080"
        senders = {str(peer) for rule in incoming for peer in rule.get("from", [])}
        allowed = {"worker": 1, "projection": 1, "probe": 2, "topics": 0, "spare": 0}[name]
        if len(senders) != allowed:
            yield f"{name}: comes from {sorted(senders)}"
        ports = {entry["port"] for rule in outgoing for entry in rule.get("ports", [{"port": "any"}])}
        wanted = {53, 9092, 9093} | ({6379} if name != "topics" else set()) | ({80, 443, 8080} if name == "worker" else set())
        if ports != (wanted if name != "spare" else set()):
            yield f"{name}: goes out to ports {sorted(map(str, ports))}"
        blocks = [
            peer["ipBlock"] for rule in outgoing for peer in rule.get("to", [{"ipBlock": {"cidr": "all"}}]) if "ipBlock" in peer
        ]
        if {block["cidr"] for block in blocks} != ({"0.0.0.0/0", str(_GLOBAL_V6)} if name == "worker" else set()):
            yield f"{name}: goes out to {[block['cidr'] for block in blocks]}"
        left_out = {network for block in blocks for network in block.get("except", [])}
        if name == "worker" and left_out != {*map(str, (*_REFUSED_V4, *_REFUSED_V6)), CLOUDS}:
            yield f"worker: what is refused differs from the guard's: {left_out}"


def topics(fleet: Fleet) -> Faults:
    """As many partitions and copies as the worker's Deployment says, whoever makes them; and the rights that are needed."""
    asked = container(fleet.get("Job", "iqa-topics"))["args"]
    partitions, copies = fleet.number("partitions"), fleet.number("copies")
    if fleet.overlay != "local" and copies < 3:
        yield "topics: a broker that is away takes records with it, or stops everything"
    found = settings_of(fleet, fleet.worker)
    if "strimzi" not in fleet.components:
        if asked != ["topics", "create", "--partitions", str(partitions), "--replication", str(copies)]:
            yield f"topics: {asked}, but {partitions} partitions"
        return
    if asked != ["topics", "check"]:
        yield "topics: made by a Job and by an operator"
    made = {each["metadata"]["name"]: each["spec"] for each in fleet.of("KafkaTopic")}
    planned = {plan.name: plan for plan in plan_topics(found, partitions, copies)}
    if made.keys() != planned.keys():
        yield f"topics: {sorted(made)}"
    for name, spec in made.items():
        if (spec["partitions"], spec["replicas"]) != (partitions, copies):
            yield f"topics: {name} has {spec['partitions']} partitions and {spec['replicas']} copies"
        config = {key: str(value) for key, value in spec["config"].items()}
        if name in planned and config != planned[name].config:
            yield f"topics: {name} is {config}"
    yield from _rights(fleet, found)


def _rights(fleet: Fleet, found: Settings) -> Faults:
    acls = fleet.get("KafkaUser", "iqa-fleet")["spec"]["authorization"]["acls"]

    def allowed(kind: str, name: str) -> set[str]:
        fits = [
            acl
            for acl in acls
            if acl["resource"]["type"] == kind
            and (
                name.startswith(acl["resource"]["name"])
                if acl["resource"]["patternType"] == "prefix"
                else name == acl["resource"]["name"]
            )
        ]
        return {operation for acl in fits for operation in acl["operations"]}

    group = found.kafka.group_id
    needed = {("topic", plan.name): {"Read", "Write", "Describe", "DescribeConfigs"} for plan in plan_topics(found)}
    needed |= {
        ("group", name): {"Read"} for name in (group, retry_group(group), projection_group(group), "iqa-probe", "iqa-top")
    }
    needed[("transactionalId", f"{group}-any")] = {"Write", "Describe"}
    yield from (
        f"rights: {name} lacks {operations - allowed(*name)}"
        for name, operations in needed.items()
        if operations - allowed(*name)
    )
    scaler = fleet.get("KafkaUser", "iqa-scaler")["spec"]["authorization"]["acls"]
    if any(acl["operations"] != ["Describe"] for acl in scaler):
        yield "rights: the scaler may do more than look"


def monitoring(fleet: Fleet) -> Faults:
    """All that has metrics is scraped, often enough, under a job that the alerts know; each alert leads to its page."""
    for each in fleet.of("PodMonitor"):
        taken = {component(one) for one in fleet.workloads if selects(each["spec"]["selector"], labels(one))}
        if taken != {component(one) for one in fleet.served}:
            yield f"PodMonitor: scrapes {taken}"
        (endpoint,) = each["spec"]["podMetricsEndpoints"]
        if endpoint["port"] != "http" or endpoint["path"] != "/metrics" or int(endpoint["interval"].removesuffix("s")) > 30:
            yield f"PodMonitor: {endpoint['path']} at {endpoint['port']} every {endpoint['interval']}"
        jobs = [rule for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"]
        if len(jobs) != 1 or not jobs[0]["replacement"].startswith("iqa"):
            yield "PodMonitor: alerts look for jobs that begin with iqa"
    pages = {heading.lower() for heading in Page(Path(__file__).parents[2] / "k8s" / "monitoring" / "runbook.md").parts}
    for each in fleet.of("PrometheusRule"):
        for rule in (rule for group in each["spec"]["groups"] for rule in group["rules"] if "alert" in rule):
            url = rule["annotations"]["runbook_url"]
            if not url.startswith("https://") or url.partition("#")[2] not in pages:
                yield f"PrometheusRule: {rule['alert']} leads to {url}"
    if ("monitoring" in fleet.components) != bool(fleet.of("PodMonitor") and fleet.of("PrometheusRule")):
        yield "monitoring: not whole"


def graphics(fleet: Fleet) -> Faults:
    """One GPU, share or slice a worker, of one kind; slots for all calls that wait for it."""
    limits = container(fleet.worker)["resources"].get("limits", {})
    asked = {key: value for key, value in limits.items() if key.startswith("nvidia.com/")}
    kinds = {"gpu-shared": "nvidia.com/gpu.shared", "mig": "nvidia.com/mig-1g.10gb"}
    shared = [kinds[each] for each in fleet.components if each in kinds]
    wanted = {(shared or ["nvidia.com/gpu"])[0]: "1"} if fleet.overlay == "gpu" else {}
    if asked != wanted:
        yield f"worker: asks for {asked}"
    try:
        found = settings_of(fleet, fleet.worker)
    except SettingsError:
        return  # another rule tells
    if (found.runtime == "tensorrt") != bool(wanted):
        yield f"worker: runs on {found.runtime}"
    if wanted and found.worker.cpu_slots < found.gpu.batch * found.gpu.lanes:
        yield "worker: too few slots to fill the lanes"


def pools(fleet: Fleet) -> Faults:
    """They outlast a drain, take no node away between two bursts, and have room for all workers and a spare place."""
    for each in fleet.of("NodePool"):
        name, spec = each["metadata"]["name"], each["spec"]
        grace_s = _seconds(spec["template"]["spec"]["terminationGracePeriod"])
        if grace_s <= pod(fleet.worker)["terminationGracePeriodSeconds"]:
            yield f"{name}: takes the node before a worker has drained"
        if _seconds(spec["disruption"]["consolidateAfter"]) < (600 if name == NODE_POOLS["gpu"] else 300):
            yield f"{name}: takes nodes away too soon"
        if spec["disruption"]["consolidationPolicy"] != "WhenEmptyOrUnderutilized" or not spec["disruption"].get("budgets"):
            yield f"{name}: no budget"
        if name == NODE_POOLS.get(fleet.overlay):
            for resource, limit in spec["limits"].items():
                one = quantity(container(fleet.worker)["resources"]["limits"].get(resource, "0"))
                if one * (fleet.number("most-workers") + 1) > quantity(limit):
                    yield f"{name}: no room for all workers' {resource}"


def places(fleet: Fleet) -> Faults:
    """Workers, and the spare place that is as one of theirs, run on their pool's nodes."""
    if "karpenter" not in fleet.components:
        return
    spare, place = fleet.get("Deployment", "iqa-spare"), pod(fleet.worker).get("nodeSelector", {}).get("iqa-fleet/pool", "")
    pool = fleet.get("NodePool", NODE_POOLS[fleet.overlay])["spec"]["template"]
    if place != fleet.overlay or pool["metadata"]["labels"] != {"iqa-fleet/pool": place}:
        yield f"worker: no pool {place}"
    for key in ("image", "resources"):
        if container(spare)[key] != container(fleet.worker)[key]:
            yield f"spare: another {key} than a worker's"
    if pod(spare)["nodeSelector"]["iqa-fleet/pool"] != place:
        yield "spare: on other nodes"
    tolerated = {each["key"] for each in pod(fleet.worker).get("tolerations", [])}
    if {each["key"] for each in pool["spec"].get("taints", [])} - tolerated:
        yield "worker: kept off its own nodes"
    values = {each["metadata"]["name"]: each["value"] for each in fleet.of("PriorityClass")}
    if values[pod(spare)["priorityClassName"]] >= values[pod(fleet.worker)["priorityClassName"]]:
        yield "spare: workers cannot take its place"


def _seconds(time: str) -> int:
    return 60 * int(time.removesuffix("m"))


FLEET_RULES = (settings, commands, roles, network, topics, monitoring, graphics, pools, places)
