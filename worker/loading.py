"""Engines and profiles: loaded, verified, ready to judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import cv2
import structlog

from calibration.profile import Profile
from engines.engine_set import EngineSet, load_engines
from engines.parity import require_parity
from engines.runtime.contest import Chosen
from engines.runtime.onnx import OnnxRuntime
from engines.runtime.select import make_runtime
from engines.verify import require_golden
from worker.assessor import Assessor, Decode, ShadowSeen
from worker.cpu import cpu_quota
from worker.intake.decode import decode
from worker.intake.isolation import DecoderPool
from worker.services import Assessors
from worker.settings import Settings
from worker.slots import Slots

__all__ = ["cpu_slots", "make_assessors", "make_decoders"]

log = structlog.get_logger()


def make_assessors(
    settings: Settings,
    on_shadow: ShadowSeen | None = None,
    decode: Decode = decode,
    slots: Slots | None = None,
    only: Profile | None = None,
) -> Assessors:
    """Load and verify the engines, load the profiles. Pictures are decoded by ``decode``, each in one of the ``slots``.

    With a profile ``only``, that one judges all services, whatever the settings name.

    Raises:
        EngineError: engines are missing, wrong, or answer differently from what was recorded.
        ProfileError: a profile cannot be used.

    """
    # One thread per call: concurrency is one picture per core.
    cv2.setNumThreads(1)
    slots = slots or Slots(cpu_slots(settings))
    engines: EngineSet | None = None

    def make(profile: Profile, shadow: Profile | None) -> Assessor:
        # Profiles are read first: a mistake in one is told before engines are loaded.
        nonlocal engines
        engines = engines or _verified_engines(settings, profile.cuts)
        return Assessor(engines, profile, settings, slots, shadow, on_shadow, decode)

    return Assessors(make(only, None)) if only else Assessors.build(make, settings)


def make_decoders(settings: Settings, on_death: Callable[[], object] = lambda: None) -> DecoderPool | None:
    """Children that decode, as many as there are slots; none where pictures are decoded in this process."""
    limits = settings.decode
    return DecoderPool(cpu_slots(settings), limits.timeout_s, limits.memory_bytes, on_death) if limits.isolate else None


def cpu_slots(settings: Settings) -> int:
    """How many pictures are decoded and judged at once."""
    return settings.worker.cpu_slots or cpu_quota()


def _verified_engines(settings: Settings, thresholds: tuple[float, float]) -> EngineSet:
    names, directory = settings.engines.names, settings.engines.directory
    runtime = make_runtime(settings.runtime, directory, settings.gpu.options, _log_build, cpu_slots(settings), _log_choice)
    engines = load_engines(names, directory, runtime)
    require_golden(engines)
    if not runtime.recorded:
        # The answers were recorded on ONNX Runtime; another backend serves only if it says the same.
        require_parity(load_engines(names, directory, OnnxRuntime(passing=True)), engines, thresholds)
    return engines


def _log_choice(chosen: Chosen) -> None:
    (log.info if chosen.agree and not chosen.failed else log.error)("engine_runtime", **asdict(chosen))


def _log_build(phase: str, done: int, steps: int) -> None:
    log.info("engine_build", phase=phase, done=done, steps=steps)
