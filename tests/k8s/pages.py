"""What pages for operators tell to run, and where they lead: found in their text, to be checked."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["KAFKA_TOOLS", "KUBECTL", "TEXT_TOOLS", "Command", "Page", "anchor_of", "commands"]

SERVERS = {"--bootstrap-server", "--topic", "--command-config"}
READING = {"--from-beginning", "--isolation-level", "--timeout-ms", "--property"}
PLACES = {"--group", "--reset-offsets", "--to-latest", "--to-datetime", "--dry-run", "--execute"}
KAFKA_TOOLS = {
    "kafka-topics.sh": SERVERS
    | {"--alter", "--partitions", "--describe", "--under-replicated-partitions", "--under-min-isr-partitions"},
    "kafka-consumer-groups.sh": SERVERS | PLACES,
    "kafka-console-consumer.sh": SERVERS | READING,
    "kafka-console-producer.sh": SERVERS | {"--property"},
}
"""Tools of Kafka 4.1 with their options, as far as they were tried."""

KUBECTL = {"annotate", "apply", "create", "delete", "diff", "drain", "get", "patch", "rollout", "scale", "set", "wait"}
TEXT_TOOLS = {"awk", "base64", "cut", "export", "join", "jq", "kustomize", "redis-cli", "sort", "tac", "uniq"}


@dataclass(frozen=True)
class Command:
    """One program of a line, with the variables set for it alone."""

    program: str
    arguments: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def options(self) -> list[str]:
        """Names of its long options, without values."""
        return [argument.partition("=")[0] for argument in self.arguments if argument.startswith("--")]


class Page:
    """A page of Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def parts(self) -> dict[str, str]:
        """Its parts by their headings of the second level, in order."""
        return dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", self.text, re.MULTILINE | re.DOTALL))

    @cached_property
    def queries(self) -> list[str]:
        """What Prometheus is to be asked."""
        return re.findall(r"```promql\n(.*?)```", self.text, re.DOTALL)

    @cached_property
    def lines(self) -> list[str]:
        """What is to be typed into a shell."""
        return sorted({line for block in re.findall(r"```sh\n(.*?)```", self.text, re.DOTALL) for line in block.splitlines()})

    @cached_property
    def links(self) -> list[str]:
        """Where it leads."""
        return re.findall(r"\]\(([^)]+)\)", self.text)


def anchor_of(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def commands(line: str) -> list[Command]:
    """The programs of a pipeline."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|<>")
    words.whitespace_split = True
    found: list[list[str]] = [[]]
    to_file = False
    for word in words:
        if word == "|":
            found.append([])
        elif word in {"<", ">"}:
            to_file = True
        elif to_file:
            to_file = False
        else:
            found[-1].append(word)
    return [_command(each) for each in found]


def _command(words: list[str]) -> Command:
    settings = []
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        settings.append(words.pop(0))
    return Command(words[0], tuple(words[1:]), tuple(settings))
