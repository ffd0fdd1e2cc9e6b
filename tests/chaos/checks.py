"""The promises, and whether a scenario has kept them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.chaos.host import EXPECTED
from tests.chaos.load import Answer, Load, Tally
from tests.chaos.scenarios import Scenario
from tests.chaos.stage import Stage
from worker.contracts.events import ImageUploaded
from worker.stream.retries import PASSING_CODES

__all__ = ["broken_promises", "wrong_dead_letters", "wrong_in_redis", "wrong_reasons"]

REDIS_S = 45.0


def broken_promises(stage: Stage, scenario: Scenario, load: Load, counted: Tally, dead: Mapping[bytes, int]) -> list[str]:
    """What is not as it was promised, in a few words each."""
    broken = []
    if counted.events == 0:
        broken.append("nothing was sent")
    if counted.lost:
        broken.append(f"{counted.lost} lost")
    if counted.duplicates:
        broken.append(f"{counted.duplicates} duplicates")
    if scenario.most_pause_s is not None and counted.longest_pause_s > scenario.most_pause_s:
        broken.append(f"a pause of {counted.longest_pause_s:.1f} s, promised {scenario.most_pause_s:.0f}")
    answers = [answer for answer in stage.witness.answers() if answer.event_id in load.sent]
    broken += wrong_reasons(answers)
    broken += wrong_dead_letters(load.sent, answers, dead, stage.poison)
    broken += wrong_in_redis(stage, answers)
    stage.poison.clear()
    return broken


def wrong_reasons(answers: Sequence[Answer]) -> list[str]:
    """Verdicts whose reason is another one than the host's behaviour leads to; image ids name that behaviour."""
    kinds = [(answer.image_id.split("-")[2], answer.code) for answer in answers]
    wrong = Counter(f"{kind} gave {code}" for kind, code in kinds if code not in EXPECTED[kind])
    return [f"{count} times {what}" for what, count in wrong.items()]


def wrong_dead_letters(
    sent: Mapping[str, ImageUploaded], answers: Sequence[Answer], dead: Mapping[bytes, int], poison: Sequence[bytes]
) -> list[str]:
    """Every poisonous record once, every event that was given up after its retries once, and nothing else."""
    given_up = [answer.event_id for answer in answers if answer.code in PASSING_CODES]
    wanted = Counter(poison) + Counter(given_up)
    found = Counter({_name(body, sent): count for body, count in dead.items()})
    return [] if found == wanted else [f"dead letters: {(wanted - found).total()} missing, {(found - wanted).total()} too many"]


def _name(body: bytes, sent: Mapping[str, ImageUploaded]) -> str | bytes:
    try:
        event_id = json.loads(body)["event_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return body
    return event_id if event_id in sent else body


def wrong_in_redis(stage: Stage, answers: Sequence[Answer]) -> list[str]:
    """Redis must come to hold, for every image, the verdict that was published last."""
    latest = {answer.image_id: answer.body for answer in sorted(answers, key=lambda answer: answer.place)}
    missing = stage.wait_for_redis(latest, REDIS_S)
    return [f"{len(missing)} verdicts not in Redis, or other ones"] if missing else []
