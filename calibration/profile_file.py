"""Profiles as files: where a field stands, what is wrong with it, and how to change a number without losing a comment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from calibration.errors import ProfileError
from calibration.keywords import find_keywords
from calibration.profile import Profile
from calibration.signals import TextLine

__all__ = [
    "Problem",
    "check_text",
    "load_profile",
    "parse_profile",
    "read_profile",
    "replace_values",
    "shipped_profiles",
]

Location = Sequence[int | str]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its line (from 1), the field, and what to change."""

    line: int
    where: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.where}: {self.message}"


def load_profile(name_or_path: str) -> Profile:
    """Load a profile that ships with the package (by name) or from a YAML file (by path).

    Raises:
        ProfileError: it does not exist, is no YAML, or a field is missing, unknown or out of range.

    """
    source, text = read_profile(name_or_path)
    try:
        return parse_profile(text)
    except ProfileError as error:
        raise ProfileError(f"{source}: {error}") from error


def shipped_profiles() -> list[str]:
    """Names of the profiles that ship with the package."""
    folder = resources.files("calibration") / "profiles"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_profile(name_or_path: str) -> tuple[str, str]:
    """What to call a profile in messages, and its text.

    Raises:
        ProfileError: it does not exist, or cannot be read.

    """
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        try:
            return str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise ProfileError(f"profile {path} cannot be read: {why}") from error
    shipped = resources.files("calibration") / "profiles"
    file = shipped / f"{name_or_path}.yaml"
    if not file.is_file():
        known = ", ".join(shipped_profiles())
        raise ProfileError(f"no profile {name_or_path!r}; there are: {known}; or give the path of a .yaml file")
    return f"profile {name_or_path}", file.read_text(encoding="utf-8")


def parse_profile(text: str) -> Profile:
    """The profile in ``text``.

    Raises:
        ProfileError: it is no profile; the message names the first wrong line and its field.

    """
    root = _compose(text)
    for problem in _repeated(root):
        raise ProfileError(str(problem))
    try:
        return Profile.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise ProfileError(str(_problems(root, error)[0])) from error


def check_text(text: str) -> list[Problem]:
    """Everything that is wrong with a profile, in the order of its lines; beside its schema, words that can never count."""
    try:
        root = _compose(text)
    except ProfileError as error:
        return [Problem(_line_of(error), "profile", str(error).partition(": ")[2])]
    problems = list(_repeated(root))
    try:
        profile = Profile.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        return sorted([*problems, *_problems(root, error)], key=lambda problem: problem.line)
    return sorted([*problems, *_dead_words(root, profile)], key=lambda problem: problem.line)


def replace_values(text: str, changes: Mapping[tuple[str, ...], float | int]) -> str:
    """The same file with some numbers changed, comments and layout kept.

    Raises:
        ProfileError: a field is not there, or is no single value.

    """
    root = _compose(text)
    spots = []
    for path, value in changes.items():
        node = _find(root, path)
        if not isinstance(node, yaml.ScalarNode):
            raise ProfileError(f"{'.'.join(path)} is not a single value in this file")
        spots.append((node.start_mark.index, node.end_mark.index, f"{value:g}"))
    for start, end, written in sorted(spots, reverse=True):
        text = text[:start] + written + text[end:]
    return text


def _compose(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        told = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ProfileError(f"line {mark.line + 1 if mark else 1}: not YAML: {told}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ProfileError("line 1: a profile is a mapping of fields")
    return root


def _line_of(error: ProfileError) -> int:
    return int(str(error).removeprefix("line ").partition(":")[0])


def _problems(root: yaml.MappingNode, error: ValidationError) -> list[Problem]:
    found = []
    for each in error.errors():
        where = ".".join(str(part) for part in each["loc"]) or "profile"
        found.append(Problem(_line(root, each["loc"]), where, each["msg"]))
    return found


def _line(root: yaml.Node, path: Location) -> int:
    """The line of a field; of its nearest parent that is there, if the field is missing."""
    node: yaml.Node = root
    line = 1
    for part in path:
        child = _child(node, part)
        if child is None:
            break
        line, node = child[0], child[1]
    return line


def _find(root: yaml.Node, path: Location) -> yaml.Node | None:
    node: yaml.Node = root
    for part in path:
        child = _child(node, part)
        if child is None:
            return None
        node = child[1]
    return node


def _child(node: yaml.Node, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        value = node.value[part]
        return value.start_mark.line + 1, value
    return None


def _repeated(node: yaml.Node, above: tuple[str, ...] = ()) -> Iterator[Problem]:
    # YAML readers silently keep the last of two equal keys: a change to the first would do nothing.
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _repeated(value, (*above, str(index)))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            yield Problem(line, ".".join((*above, key.value)), f"stands twice, first on line {seen[key.value]}")
        seen[key.value] = line
        yield from _repeated(value, (*above, key.value))


def _dead_words(root: yaml.MappingNode, profile: Profile) -> Iterator[Problem]:
    for index, word in enumerate(profile.keywords.words):
        if word not in find_keywords([TextLine(word, 1.0)], profile.keywords):
            path = ("keywords", "words", index)
            told = f"{word!r} can never count: it contains a word of keywords.context or keywords.exceptions"
            yield Problem(_line(root, path), ".".join(map(str, path)), told)
