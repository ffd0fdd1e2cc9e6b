"""Which profile judges an event: chosen by its ``service``, for several services at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from calibration.errors import ProfileError
from calibration.profile import Profile
from calibration.profile_file import load_profile, shipped_profiles
from worker.assessor import Assessor
from worker.settings import Settings

__all__ = ["Assessors", "load_profiles"]


class Assessors:
    """One assessor per service; services that no profile names are judged by the default one.

    Args:
        default: for events without a service, or with one that no profile names.
        others: by the name of the service.

    """

    def __init__(self, default: Assessor, others: Mapping[str, Assessor] | None = None) -> None:
        self.default = default
        self._others = dict(others or {})

    def of(self, service: str | None) -> Assessor:
        """The assessor for an event's ``service``."""
        return self._others.get(service or "", self.default)

    def knows(self, service: str | None) -> bool:
        """Whether a service has a profile of its own, or is none at all."""
        return not service or service in self._others

    @property
    def services(self) -> list[str]:
        """All services that have a profile of their own."""
        return sorted(self._others)

    @property
    def labels(self) -> list[str]:
        """All profiles, as verdicts name them."""
        return sorted({self.default.profile.label, *(assessor.profile.label for assessor in self._others.values())})

    @property
    def fingerprints(self) -> list[str]:
        """All of them, as verdicts name them: they differ where a label does not, after a change without a new version."""
        return sorted({self.default.fingerprint, *(assessor.fingerprint for assessor in self._others.values())})

    @classmethod
    def build(cls, make: Callable[[Profile, Profile | None], Assessor], settings: Settings) -> Assessors:
        """Load every profile that ``settings`` name, and make an assessor for each with ``make`` (profile, its shadow).

        Raises:
            ProfileError: a profile cannot be used, two claim one service, or a shadow is one of them or belongs to none.

        """
        with _naming("IQA_PROFILE"):
            default = load_profile(settings.profile)
        with _naming("IQA_PROFILES"):
            by_service = load_profiles(settings.profiles)
        for service in (default.name, *default.services):
            by_service[service] = default
        with _naming("IQA_SHADOW_PROFILE"):
            shadow = load_profile(settings.shadow_profile) if settings.shadow_profile else None
        # By what they hold: a changed copy may carry the label of the one it was copied from.
        profiles = {profile.digest: profile for profile in (default, *by_service.values())}
        if shadow and shadow.name not in {profile.name for profile in profiles.values()}:
            served = ", ".join(sorted(profile.label for profile in profiles.values()))
            raise ProfileError(f"shadow profile {shadow.label} has the name of no profile that is served: {served}")
        if shadow and shadow.digest in profiles:
            raise ProfileError(f"IQA_SHADOW_PROFILE: {settings.shadow_profile} holds what {shadow.label}, published, holds")
        made = {
            digest: make(profile, shadow if shadow and shadow.name == profile.name else None)
            for digest, profile in profiles.items()
        }
        return cls(made[default.digest], {service: made[profile.digest] for service, profile in by_service.items()})


@contextmanager
def _naming(setting: str) -> Iterator[None]:
    """Say which setting names a profile that cannot be used."""
    try:
        yield
    except ProfileError as error:
        raise ProfileError(f"{setting}: {error}") from error


def load_profiles(named: Iterable[str]) -> dict[str, Profile]:
    """Profiles by every service that each is for: its own name, and those it lists.

    ``named`` holds shipped names, ``.yaml`` files, and folders of which all such files are taken; nothing means all that ship.

    Raises:
        ProfileError: one cannot be used, or two are for the same service.

    """
    names = [name for each in named for name in _expand(each)] or shipped_profiles()
    found: dict[str, Profile] = {}
    for name in names:
        profile = load_profile(name)
        for service in (profile.name, *profile.services):
            if service in found and found[service] != profile:
                raise ProfileError(f"{name}: {found[service].label} is for service {service!r} already")
            found[service] = profile
    return found


def _expand(named: str) -> list[str]:
    folder = Path(named)
    if not folder.is_dir():
        return [named]
    files = sorted(str(path) for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
    if not files:
        raise ProfileError(f"folder {folder} holds no .yaml files")
    return files
