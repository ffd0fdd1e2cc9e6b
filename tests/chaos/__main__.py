"""``python -m tests.chaos``: break things on purpose, one line for each scenario. Exit code 1 if a promise was broken."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.checks import broken_promises, good_pauses
from tests.chaos.cluster import nodes_that_fit
from tests.chaos.scenario import Form, Scenario
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.stage import NotHereError, Stage
from tests.chaos.tally import tally
from tests.integration.kafka_node import libraries_there

HEAD = (
    f"{'scenario':23}{'events':>7}{'verdicts':>9}{'lost':>5}{'dupl.':>6}{'dead':>6}{'pause s':>8}{'part. s':>8}{'probes':>7}"
    f"{'took s':>7}  "
)
ANSWER_S = 120.0


def play(stage: Stage, scenario: Scenario, form: Form) -> list[str]:
    """Run one scenario and print its line; returns the promises that it broke."""
    began = time.monotonic()
    broken: list[str] = []
    try:
        stage.have(2, scenario.environment)
    except TimeoutError as error:
        broken.append(f"before it began: {error}")
    stage.prober.clear()
    stage.fresh_log_lines()
    dead_before = len(stage.witness.dead_letters())
    load = stage.load(form.events, scenario.kind, scenario.slow)
    try:
        scenario.act(stage, load, form)
    except NotHereError as error:
        load.finish()
        load.wait(ANSWER_S)
        print(f"{scenario.name:23}not run: it takes {error}", flush=True)
        return [f"not run: it takes {error}"] if os.environ.get("CI") else []
    except (TimeoutError, AssertionError) as error:
        broken.append(str(error))
    if scenario.whole:
        load.wait(ANSWER_S, load.all_sent)
    load.finish()
    load.wait(ANSWER_S)
    try:
        # What comes twice comes late: everything that workers hold is published before it is counted.
        stage.settle()
        stage.wait(stage.all_ready, ANSWER_S, "a fleet that is ready again")
    except TimeoutError as error:
        broken.append(str(error))
    answers = [answer for answer in stage.witness.answers() if answer.event_id in load.sent]
    counted = tally(load.sent, answers, load.began, load.excused)
    dead = stage.witness.dead_letters()[dead_before:]
    partition_pause_s = max(good_pauses(load, answers, scenario.slow).values(), default=0.0)
    probes = len(stage.prober.probes)
    broken += broken_promises(stage, scenario, load, counted, answers, dead)
    print(
        f"{scenario.name:23}{counted.events:7}{counted.verdicts:9}{counted.lost:5}{counted.duplicates:6}{len(dead):6}"
        f"{counted.longest_pause_s:8.1f}{partition_pause_s:8.1f}{probes:7}{time.monotonic() - began:7.0f}  "
        f"{f'{len(load.excused)} deleted unread; ' if load.excused else ''}{'; '.join(broken) or 'kept'}",
        flush=True,
    )
    return broken


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, play the scenarios, say what was broken."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form for every change: minutes")
    parser.add_argument("--only", action="append", choices=names, help="this scenario; may be repeated")
    parser.add_argument("--repeat", type=int, default=1, help="play them so often, one after the other")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=nodes_that_fit(), help="Kafka brokers")
    parser.add_argument("--keep", type=Path, help="folder for all logs; else they are thrown away")
    options = parser.parse_args(arguments)
    if not libraries_there():
        print("needs a Kafka of its own to break: Java 17, and `make kafka`", file=sys.stderr)
        return 2
    # Brokers are away on purpose here; what that does is counted, not logged.
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    chosen = [scenario for scenario in SCENARIOS if scenario.name in (options.only or names)] * options.repeat
    began, broken = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="iqa-chaos-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        with Stage(folder, options.nodes, options.seed) as stage:
            stage.warm_up()
            print(
                f"{options.nodes} Kafka brokers, 2 workers, exactly once, {time.monotonic() - began:.0f} s to start\n{HEAD}",
                flush=True,
            )
            for scenario in chosen:
                broken += bool(play(stage, scenario, scenario.short if options.short else scenario.long))
    print(f"{len(chosen)} scenarios, {broken} of them broke a promise, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
