"""Profiles are chosen by the event's service, several at once; shadows judge on the side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calibration.chain import Assessment
from calibration.errors import ProfileError
from calibration.profile import Profile
from calibration.profile_file import load_profile, read_profile, shipped_profiles
from tests.pictures import encode, page
from tests.worker.helpers import event, make_settings
from tests.worker.test_assessor import SAMPLES
from worker.assessor import Assessor
from worker.pipeline import Pipeline
from worker.services import Assessors, load_profiles
from worker.settings import Settings, load_settings
from worker.slots import Slots
from worker.stopwatch import Stopwatch

SLOTS = Slots(2)
Seen = list[tuple[str, str, Assessment, Assessment]]


def assessors(engines: Assessor, settings: Settings, seen: Seen | None = None) -> Assessors:
    def note(profile: Profile, shadow: Profile, published: Assessment, other: Assessment) -> None:
        (seen if seen is not None else []).append((profile.label, shadow.label, published, other))

    return Assessors.build(lambda profile, shadow: Assessor(engines.engines, profile, settings, SLOTS, shadow, note), settings)


def profile_file(folder: Path, name: str, text: str | None = None, **changes: str) -> Path:
    body = text or read_profile("recruitment")[1]
    body = body.replace("name: recruitment", f"name: {name}")
    for old, new in changes.items():
        body = body.replace(f"{old}:", f"{new}", 1)
    path = folder / f"{name}.yaml"
    path.write_text(body, encoding="utf-8")
    return path


def test_every_shipped_profile_serves_its_service(assessor: Assessor) -> None:
    """By its name and the other services it lists; all others, and events without one, get the default."""
    found = assessors(assessor, Settings())
    assert found.of("used_cars").profile.name == "used_cars"
    assert found.of("cars").profile.name == "used_cars"
    assert found.of("flats").profile.name == "housing"
    for service in (None, "", "recruitment", "pets"):
        assert found.of(service).profile.name == "recruitment"
    assert [found.knows(service) for service in (None, "cars", "pets")] == [True, True, False]
    assert found.fingerprints == sorted({found.of(name).fingerprint for name in shipped_profiles()})
    assert len(found.fingerprints) == 3


def test_one_worker_judges_by_several_profiles(assessor: Assessor) -> None:
    """The same certificate is medium for one service and low for another; verdicts say by which profile."""
    data = encode(page(["CERTIFICATE", "of good conduct", "number 4711"]), "PNG")
    pipeline = Pipeline(lambda _: data, assessors(assessor, Settings()))
    verdicts = {service: pipeline.judge(event(service=service)) for service in ("recruitment", "used_cars")}
    assert verdicts["recruitment"].category == "medium"
    assert verdicts["used_cars"].category == "low"
    assert verdicts["used_cars"].profile == load_profile("used_cars").label
    assert verdicts["used_cars"].fingerprint != verdicts["recruitment"].fingerprint


def test_a_new_service_needs_one_file(assessor: Assessor, tmp_path: Path) -> None:
    """A folder named in a setting, as a mounted one would be."""
    profile_file(tmp_path, "pets", keywords="services: [dogs, cats]\nkeywords:")
    found = assessors(assessor, make_settings(profiles=str(tmp_path)))
    assert found.of("dogs").profile.name == "pets"
    assert found.of("used_cars").profile.name == "recruitment"


@pytest.mark.parametrize("value", ["used_cars,housing", '["used_cars", "housing"]', " used_cars , housing "])
def test_profiles_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Names with commas between them."""
    monkeypatch.setenv("IQA_PROFILES", value)
    assert load_settings().profiles == ("used_cars", "housing")


def test_two_profiles_for_one_service_are_refused(tmp_path: Path) -> None:
    """Which one would it be?"""
    profile_file(tmp_path, "pets", keywords="services: [used_cars]\nkeywords:")
    with pytest.raises(ProfileError, match="used_cars@2 is for service 'used_cars' already"):
        load_profiles(["used_cars", str(tmp_path)])


def test_a_changed_copy_with_the_same_label_stays_itself(assessor: Assessor, tmp_path: Path) -> None:
    """The default is what was named, not the one of that label that ships for other services."""
    copy = tmp_path / "used_cars.yaml"
    text = read_profile("used_cars")[1].replace("services: [cars, vehicles]\n", "").replace("effect: low", "effect: medium")
    copy.write_text(text, encoding="utf-8")
    found = assessors(assessor, make_settings(profile=str(copy)))
    assert found.of(None).profile.keywords.effect == "medium"
    assert found.of("used_cars").profile.keywords.effect == "medium"
    assert found.of("cars").profile.keywords.effect == "low"


def test_empty_folders_are_refused(tmp_path: Path) -> None:
    """Nobody means that."""
    with pytest.raises(ProfileError, match=r"holds no \.yaml files"):
        load_profiles([str(tmp_path)])


def test_shadow_is_seen_and_not_published(assessor: Assessor, tmp_path: Path) -> None:
    """A stricter limit on the side: told that it would say medium, while the verdict stays what it is without a shadow."""
    strict = profile_file(tmp_path, "recruitment", version="version: 9 #")
    strict.write_text(strict.read_text(encoding="utf-8").replace("limit: 2.5", "limit: 1.2"), encoding="utf-8")
    seen: Seen = []
    data = encode(SAMPLES["good"], "PNG")
    shadowed = assessors(assessor, make_settings(shadow_profile=str(strict)), seen)
    plain = assessors(assessor, Settings())
    record, alone = (each.of(None).assess(data, Stopwatch()) for each in (shadowed, plain))
    assert record == alone
    assert record.category == "high"
    assert shadowed.of(None).fingerprint == plain.of(None).fingerprint
    ((profile, shadow, published, other),) = seen
    assert (profile, shadow) == (load_profile("recruitment").label, "recruitment@9")
    assert (published.category, other.category) == ("high", "medium")
    shadowed.of("used_cars").assess(data, Stopwatch())
    assert len(seen) == 1


def test_shadow_reads_text_for_itself_alone(assessor: Assessor, tmp_path: Path) -> None:
    """Where the published verdict needs no text, it has none, though the shadow's did."""
    tiny = encode(SAMPLES["page"].resize((320, 228)), "PNG")
    lenient = profile_file(tmp_path, "recruitment", version="version: 9 #")
    lenient.write_text(lenient.read_text(encoding="utf-8").replace("low_below: 256", "low_below: 20"), encoding="utf-8")
    seen: Seen = []
    record = assessors(assessor, make_settings(shadow_profile=str(lenient)), seen).of(None).assess(tiny, Stopwatch())
    assert record.signals is not None
    assert record.signals.text_area is None
    assert len(seen) == 1


def test_shadow_of_nobody_is_refused(assessor: Assessor, tmp_path: Path) -> None:
    """It has the name of the profile that it shadows."""
    with pytest.raises(ProfileError, match="has the name of no profile that is served"):
        assessors(assessor, make_settings(shadow_profile=str(profile_file(tmp_path, "pets"))))


def test_unknown_services_are_judged_by_the_default(assessor: Assessor) -> None:
    """And said to be unknown, for the metric."""
    pipeline = Pipeline(lambda _: encode(SAMPLES["tiny"], "PNG"), assessors(assessor, Settings()))
    assert not pipeline.knows("pets")
    assert pipeline.judge(event(service="pets")).category == "low"


def test_shadow_of_itself_is_refused(assessor: Assessor, tmp_path: Path) -> None:
    """By name, and as a copy: it could only ever agree."""
    copy = profile_file(tmp_path, "recruitment")
    for named in ("recruitment", str(copy)):
        with pytest.raises(ProfileError, match="IQA_SHADOW_PROFILE: .*recruitment"):
            assessors(assessor, make_settings(shadow_profile=named))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("IQA_PROFILE", {"profile": "nope"}),
        ("IQA_PROFILES", {"profiles": ["nope"]}),
        ("IQA_SHADOW_PROFILE", {"shadow_profile": "nope"}),
    ],
)
def test_a_profile_that_is_not_there(assessor: Assessor, name: str, values: dict[str, Any]) -> None:
    """Told with the setting that names it."""
    with pytest.raises(ProfileError, match=f"^{name}: no profile 'nope'"):
        assessors(assessor, make_settings(**values))
