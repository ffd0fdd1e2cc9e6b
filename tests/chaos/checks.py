"""The promises, and whether a scenario has kept them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from tests.chaos.host import EXPECTED
from tests.chaos.load import Load
from tests.chaos.poison import Poison, as_expected
from tests.chaos.prober import lies
from tests.chaos.scenario import Scenario
from tests.chaos.stage import Stage
from tests.chaos.tally import Tally, partition_pauses, stalls
from tests.chaos.witness import Answer, DeadLetter, identity
from worker.contracts.events import ImageUploaded
from worker.stream.retries import PASSING_CODES

__all__ = ["broken_promises", "good_pauses", "wrong_dead_letters", "wrong_in_redis", "wrong_logs", "wrong_reasons"]

REDIS_S = 45.0


def broken_promises(
    stage: Stage, scenario: Scenario, load: Load, counted: Tally, answers: Sequence[Answer], dead: Sequence[DeadLetter]
) -> list[str]:
    """What is not as it was promised, in a few words each."""
    broken = []
    if counted.events == 0:
        broken.append("nothing was sent")
    if not stage.prober.probes:
        broken.append("no probe was answered")
    if counted.lost:
        broken.append(f"{counted.lost} lost")
    if counted.duplicates:
        broken.append(f"{counted.duplicates} duplicates")
    if scenario.most_pause_s is not None and counted.longest_pause_s > scenario.most_pause_s:
        broken.append(f"a pause of {counted.longest_pause_s:.1f} s, promised {scenario.most_pause_s:.0f}")
    most = scenario.partition_pause_s
    if most is not None:
        pauses = good_pauses(load, answers, scenario.slow).items()
        broken += [f"partition {number} paused for {s:.1f} s, promised {most:.0f}" for number, s in pauses if s > most]
    broken += wrong_reasons(answers)
    broken += wrong_dead_letters(load.sent, answers, dead, stage.poison)
    broken += wrong_in_redis(stage, answers)
    broken += wrong_logs(stage.fresh_log_lines())
    waited_for = {name: place.at for name, place in load.places.items() if name not in load.excused}
    broken += lies(stage.prober.probes, scenario.truth, stage.prober.faults, stalls(waited_for, answers, time.monotonic()))
    stage.poison.clear()
    stage.prober.clear()
    return broken


def kind_of(image_id: str) -> str:
    """How the host serves the picture: image ids name it."""
    return image_id.split("-")[2]


def good_pauses(load: Load, answers: Sequence[Answer], slow: int | None = None) -> dict[int, float]:
    """Each partition's longest pause in seconds, by its good events alone; but for the one that is ``slow`` on purpose."""
    good = {
        name: place
        for name, place in load.places.items()
        if place.partition != slow and name not in load.excused and kind_of(load.sent[name].image_id) == "ok"
    }
    return partition_pauses(good, answers)


def wrong_reasons(answers: Sequence[Answer]) -> list[str]:
    """Verdicts whose reason is another one than the host's behaviour leads to, and events too heavy that are not said to be."""
    kinds = [(kind_of(answer.image_id), answer) for answer in answers]
    wrong = Counter(f"{kind} gave {answer.code}" for kind, answer in kinds if answer.code not in EXPECTED[kind])
    heavy = [json.loads(answer.body) for kind, answer in kinds if kind == "heavy"]
    wrong["metadata left out without a word"] = sum("metadata" not in (body.get("omitted") or ()) for body in heavy)
    return [f"{count} times {what}" for what, count in wrong.items() if count]


def wrong_dead_letters(
    sent: Mapping[str, ImageUploaded], answers: Sequence[Answer], dead: Sequence[DeadLetter], poison: Sequence[Poison]
) -> list[str]:
    """Every poisonous record once and as it should be, every event given up after its retries once, and nothing else."""
    given_up = [answer.event_id for answer in answers if answer.code in PASSING_CODES]
    known = {record.identity: record for record in poison}
    wanted = Counter(chain((record.identity for record in poison), given_up))
    found = Counter(_name(letter, sent, known) for letter in dead)
    wrong = []
    if found != wanted:
        wrong.append(f"dead letters: {(wanted - found).total()} missing, {(found - wanted).total()} too many")
    spoilt = Counter(letter.reason for letter in dead if letter.identity in known and not as_expected(letter, known))
    return wrong + [f"{count} dead letters not as expected: {reason}" for reason, count in spoilt.items()]


def _name(letter: DeadLetter, sent: Mapping[str, ImageUploaded], known: Mapping[str, Poison]) -> str:
    if letter.identity in known:
        return letter.identity
    try:
        event_id = json.loads(letter.body)["event_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return identity(letter.body)
    return str(event_id) if event_id in sent else identity(letter.body)


def wrong_in_redis(stage: Stage, answers: Sequence[Answer]) -> list[str]:
    """Redis must come to hold, for every image, the verdict that was published last."""
    latest = {answer.image_id: answer.body for answer in sorted(answers, key=lambda answer: answer.place)}
    missing = stage.wait_for_redis(latest, REDIS_S)
    return [f"{len(missing)} verdicts not in Redis, or other ones"] if missing else []


def wrong_logs(lines: Sequence[str]) -> list[str]:
    """Whatever happens to a worker, it tells in lines of JSON, and nothing that was done on purpose here needs a traceback.

    A worker that ends by itself says why in one line for people as well.
    """
    wrong: Counter[str] = Counter()
    for line in lines:
        if line.startswith("iqa: "):
            continue
        try:
            told = json.loads(line)
        except ValueError:
            wrong["no JSON"] += 1
        else:
            if "exception" in told:
                wrong[f"a traceback: {told.get('event')}"] += 1
    return [f"log: {count} times {what}" for what, count in wrong.items()]
