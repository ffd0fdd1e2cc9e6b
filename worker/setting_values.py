"""How values of settings are read and checked; messages never hold what may be a secret."""

from __future__ import annotations

import re
from pathlib import Path
from types import NoneType
from typing import get_args, get_origin
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from worker.errors import SettingsError

__all__ = ["check_hosts", "check_proxy", "check_servers", "read_properties", "read_secret", "split_list", "unless_empty"]

_SERVER = re.compile(r"((PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+)(:\d{1,5})?")
_HOST = re.compile(r"\.?[^\s/@:*.]+(\.[^\s/@:*.]+)*\.?|\[?[0-9A-Fa-f:.]+\]?")


def unless_empty(field: FieldInfo, value: object) -> object:
    """``value`` as it is; what is empty means none where there may be none, and nothing in lists.

    Raises:
        ValueError: it is empty, and the setting needs a value.

    """
    if not isinstance(value, str) or value.strip():
        return value
    if NoneType in get_args(field.annotation):
        return None
    if get_origin(field.annotation) in {tuple, dict}:
        return value
    raise ValueError(f"must not be empty; unset it for the default, {field.default}")


def split_list(value: str) -> list[str]:
    """The parts of a list with commas, in brackets and quotes or not."""
    return [part.strip() for part in value.strip("[] ").replace('"', "").split(",") if part.strip()]


def check_servers(value: str) -> str:
    """Kafka's bootstrap servers, as they are.

    Raises:
        ValueError: a part is not host:port.

    """
    if not all(_SERVER.fullmatch(part.strip()) for part in value.split(",")):
        raise ValueError("must be host:port, several with commas between them")
    return value


def check_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of hosts, as they are.

    Raises:
        ValueError: one is a URL, has a port, or a star.

    """
    if wrong := [host for host in value if not _HOST.fullmatch(host)]:
        raise ValueError(f"{wrong[0]!r} is no host name; .example.org means all below it, ports are not part of it")
    return value


def check_proxy(value: SecretStr | None) -> SecretStr | None:
    """A proxy's URL, as it is.

    Raises:
        ValueError: it is not http://[user:password@]host:port.

    """
    try:
        parts = urlsplit(value.get_secret_value()) if value else None
        fine = not parts or (parts.scheme == "http" and parts.hostname and parts.path in {"", "/"} and parts.port != 0)
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("must be http://[user:password@]host:port")
    return value


def read_properties(path: Path, setting: str) -> dict[str, str]:
    """The pairs in a file of key=value lines; ``#`` begins a comment.

    Raises:
        SettingsError: it cannot be read, or a line is no pair.

    """
    found = {}
    for number, line in enumerate(map(str.strip, _read(path, setting).splitlines()), 1):
        key, separator, value = line.partition("=")
        if line and not line.startswith("#"):
            if not separator:
                raise SettingsError(f"{setting}: {path}: line {number}: not key=value")
            found[key.strip()] = value.strip()
    return found


def read_secret(path: Path, setting: str) -> str:
    """What a file holds, without spaces around it.

    Raises:
        SettingsError: it cannot be read, or holds nothing.

    """
    secret = _read(path, setting).strip()
    if not secret:
        raise SettingsError(f"{setting}: {path} is empty")
    return secret


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{setting}: {error}") from error
    except UnicodeDecodeError as error:
        # Its own text holds the byte that does not fit.
        raise SettingsError(f"{setting}: {path} is not UTF-8") from error
