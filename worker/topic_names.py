"""Whether names of topics can stand beside each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations

from worker.errors import SettingsError

__all__ = ["check_topic_names"]

LONGEST = 249
_NUMBER = ".1"


def check_topic_names(names: Mapping[str, str], prefix: str) -> None:
    """Refuse names that are one, to Kafka or to us.

    Args:
        names: by the setting that gives them; ``prefix``'s among them.
        prefix: the setting that gives the retry topics' prefix.

    Raises:
        SettingsError: it names the settings.

    """
    # Kafka takes a dot and an underscore for one, as its metrics do, and refuses the second of two such topics.
    plain = {setting: name.replace(".", "_") for setting, name in names.items()}
    for (first, one), (second, other) in combinations(plain.items(), 2):
        if one == other:
            told = f"{names[first]} and {names[second]}, one name to Kafka" if names[first] != names[second] else names[first]
            raise SettingsError(f"{first} and {second} are both {told}: every topic needs a name of its own")
    numbered = re.compile(re.escape(plain[prefix]) + r"_\d+")
    for setting, name in names.items():
        if numbered.fullmatch(plain[setting]):
            raise SettingsError(f"{setting} is {name}, which is a retry topic by {prefix}: every topic needs a name of its own")
        if name in {".", ".."} or len(name + _NUMBER * (setting == prefix)) > LONGEST:
            raise SettingsError(f"{setting}: {name} is no topic name: . and .. are none, nor is one of over {LONGEST} letters")
