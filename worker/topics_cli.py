"""``iqa topics``: make Kafka's topics what they must be, and say how they differ."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.settings import Settings, load_settings
from worker.stream.clients import make_admin, quiet_clients, require_broker
from worker.stream.topic_facts import old_retry_topics
from worker.stream.topic_plan import count, mend
from worker.stream.topics import TopicState, compare_topics, create_topics

__all__ = ["app"]

EVEN = (
    "as many partitions: a transaction touches only those it read from, where producers of uploads choose them by murmur2"
    " of the key (Java's default; librdkafka: partitioner=murmur2_random)."
    " This cannot be seen here: iqa_transaction_partitions tells"
)

app = typer.Typer(no_args_is_help=True, help="Kafka topics.")


@app.command()
def create(
    partitions: Annotated[int, typer.Option(min=1, max=100_000, help="Of every topic; bounds the number of busy workers.")] = 6,
    replication: Annotated[int, typer.Option(min=1, max=1_000, help="Copies; three where there are three brokers.")] = 1,
) -> None:
    """Create the topics that are missing. Those that were there stay as they are: exit code 1 if one differs for the worse."""
    settings = _settings()
    created = create_topics(settings, partitions, replication)
    there = [state for state in compare_topics(settings, partitions, replication) if not created[state.plan.name]]
    differ = {state.plan.name: state for state in there}
    for name, new in created.items():
        typer.echo(f"{name}: created" if new else _line(differ[name], "was there", settings))
    _tell_how_to_mend(there, settings)
    if any(state.findings for state in there):
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """Look at the topics and change nothing. Exit code 1 if one is missing, or not what it must be."""
    settings = _settings()
    states = compare_topics(settings)
    for state in states:
        typer.echo(_line(state, "is there", settings))
    _tell_how_to_mend(states, settings)
    for line in (*_rights(states, settings), *_left_over(settings), *_uneven(states, settings)):
        typer.echo(line)
    if any(_is_wrong(state, settings) for state in states):
        raise typer.Exit(1)


def _settings() -> Settings:
    """The settings, once a broker has answered; from then on one line says what goes wrong."""
    settings = load_settings()
    quiet_clients()
    require_broker(settings.kafka)
    return settings


def _line(state: TopicState, there: str, settings: Settings) -> str:
    """``image.uploads: was there, but 1 partition (asked: 6)``."""
    facts = state.facts
    if facts is None:
        remedy = "run `iqa topics create`" if _is_shared(state, settings) else "it is made when it is needed"
        return f"{state.plan.name}: does not exist; {remedy}"
    if facts.hidden:
        return f"{state.plan.name}: cannot be seen: it does not exist, or this client has no right to use it"
    if state.findings:
        return f"{state.plan.name}: {there}, but {', '.join(finding.text for finding in state.findings)}"
    size = f"{count(facts.partitions, 'partition', 'partitions')}, {count(facts.replication, 'copy', 'copies')}"
    told = "" if facts.cleanup_policy else "; its settings cannot be seen (no right to describe them)"
    return f"{state.plan.name}: {there}, {size}{told}"


def _is_shared(state: TopicState, settings: Settings) -> bool:
    """Not made by workers or replays themselves."""
    names = settings.topics
    return state.plan.name in {names.uploads, names.verdicts, names.dead_letters}


def _is_wrong(state: TopicState, settings: Settings) -> bool:
    absent = state.facts is None or state.facts.hidden
    return (absent and _is_shared(state, settings)) or any(finding.must for finding in state.findings)


def _uneven(states: list[TopicState], settings: Settings) -> list[str]:
    """Why transactions may touch more partitions than they read from."""
    sizes = {state.plan.name: state.facts.partitions for state in states if state.facts and not state.facts.hidden}
    names = settings.topics
    wanted = sizes.get(names.verdicts)
    if wanted is None:
        return []
    # What a worker reads; each of its transactions writes verdicts beside.
    uneven = [
        f"{name} has {sizes[name]}" for name in (names.uploads, *settings.retry_topics) if sizes.get(name, wanted) != wanted
    ]
    if uneven:
        told = f"{names.verdicts} has {count(wanted, 'partition', 'partitions')}, {', '.join(uneven)} (should be as many)"
        return [f"{told}: transactions touch more partitions than they read from, and the topics cannot be joined"]
    return [EVEN]


def _rights(states: list[TopicState], settings: Settings) -> list[str]:
    """What a worker would miss, were it this client: told, no more, since another user may well run the worker."""
    names = settings.topics
    both = {"READ", "WRITE"}
    needed = dict.fromkeys(settings.retry_topics, both)
    needed |= {names.uploads: {"READ"}, names.verdicts: both, names.dead_letters: {"WRITE"}}
    lines = []
    for state in states:
        operations = state.facts.operations if state.facts and not state.facts.hidden else None
        missing = sorted(needed.get(state.plan.name, set()) - operations) if operations is not None else []
        if missing:
            lines.append(f"{state.plan.name}: this client has no right to {' and '.join(missing)}, which workers need")
    return lines


def _left_over(settings: Settings) -> list[str]:
    old = old_retry_topics(make_admin(settings.kafka), settings)
    delays = count(len(settings.retry.delays_s), "delay", "delays")
    return [f"{name}: of an earlier IQA_RETRY__DELAYS_S (now {delays}); delete it once it is empty" for name in old]


def _tell_how_to_mend(states: list[TopicState], settings: Settings) -> None:
    for state in states:
        for command in mend(state.plan.name, state.findings, settings.kafka.bootstrap_servers):
            typer.echo(f"  {command}")
