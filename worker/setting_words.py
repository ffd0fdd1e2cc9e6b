"""What is said of wrong settings: which one, why, and which was meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import get_origin

from pydantic import BaseModel, ValidationError

__all__ = ["PREFIX", "wrong_names", "wrong_values"]

PREFIX = "IQA_"
LIKENESS = 0.7
"""From which likeness on (difflib's ratio, 0-1) a name is suggested for another."""
# A cluster tells every pod of its services by such variables: a service named iqa-worker gives IQA_WORKER_PORT_80_TCP.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)$")


def wrong_names(model: type[BaseModel], environment: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the names of variables that begin with ``IQA_``, by name."""
    wrong = {}
    for name, value in environment.items():
        parts = name.upper().removeprefix(PREFIX).split("__")
        if not name.upper().startswith(PREFIX) or (_is_known(model, parts) and not _is_bare_section(model, parts, value)):
            continue
        if _is_known(model, parts):
            wrong[name] = f"is a section; set {_there_are(model, parts)}"
        elif _SERVICE_LINK.search(name) and "__" not in name:
            wrong[name] = "no such setting; if it is a cluster's service link, set enableServiceLinks: false for the pod"
        else:
            wrong[name] = _no_such(model, parts)
    return wrong


def wrong_values(model: type[BaseModel], error: ValidationError) -> Iterator[tuple[str, str]]:
    """Each wrong setting with what is wrong, values left out: they may be secrets. "" where a message names its own."""
    for found in error.errors(include_input=False, include_url=False):
        parts = [str(part).upper() for part in found["loc"] if isinstance(part, str)]
        places = [f"item {part + 1}: " for part in found["loc"] if isinstance(part, int)]
        name, message = PREFIX + "__".join(parts), found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            message = _no_such(model, parts)
        yield ("", message) if message.startswith(PREFIX) else (name, "".join(places) + message)


def _no_such(model: type[BaseModel], parts: list[str]) -> str:
    names = ["__".join(name) for name in _leaves(model)]
    near = [parts[0]] if parts[0] in names else get_close_matches("__".join(parts), names, n=1, cutoff=LIKENESS)
    meant = f"did you mean {PREFIX}{near[0]}? There" if near else "there"
    return f"no such setting; {meant} are {_there_are(model, parts)}"


def _there_are(model: type[BaseModel], parts: list[str]) -> str:
    """All names of the section that ``parts`` begin with; without such a section, all sections."""
    sections = _sections(model)
    if parts[0] in sections:
        return ", ".join(sorted(f"{PREFIX}{parts[0]}__{name.upper()}" for name in sections[parts[0]].model_fields))
    return ", ".join(sorted(f"{PREFIX}{n.upper()}{'__...' if n.upper() in sections else ''}" for n in model.model_fields))


def _sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    return {
        name.upper(): field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _leaves(model: type[BaseModel]) -> Iterator[list[str]]:
    sections = _sections(model)
    for name in map(str.upper, model.model_fields):
        if name in sections:
            yield from ([name, field.upper()] for field in sections[name].model_fields)
        else:
            yield [name]


def _is_known(model: type[BaseModel], parts: list[str]) -> bool:
    fields = {name.upper(): field for name, field in model.model_fields.items()}
    field = fields.get(parts[0])
    if field is None or len(parts) == 1:
        return field is not None
    if parts[0] in (sections := _sections(model)):
        return _is_known(sections[parts[0]], parts[1:])
    return get_origin(field.annotation) is dict


def _is_bare_section(model: type[BaseModel], parts: list[str], value: str) -> bool:
    """Whether a section's own variable holds anything but a JSON object with its settings."""
    if len(parts) > 1 or parts[0] not in _sections(model):
        return False
    try:
        return not isinstance(json.loads(value), dict)
    except ValueError:
        return True
