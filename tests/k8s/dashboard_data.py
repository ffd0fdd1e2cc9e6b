"""``make dashboard-data``: asks a real Prometheus for every query of the dashboard, and draws what it answers.

Kafka, Redis, a picture host, two workers, a probe and Prometheus are started, and for two minutes events are sent and things
broken (``dashboard_stage.py``). Then every query of ``dashboard.json`` is asked. ``.cache/dashboard`` gets the data, a page,
and its picture if there is a Chromium; ``ARGS=--draw`` draws the last run's data again. Exit code 1: a query has no data, and
is not in ``EMPTY``.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.k8s.board import BOARD, filled, panels
from tests.k8s.dashboard_page import WIDTH, drawn, height_of
from tests.k8s.dashboard_stage import play, stage
from tests.k8s.prometheus_rule import SOURCES
from tests.k8s.prometheus_server import EVERY_S, Ask, prometheus, wait_for

OUT = Path(".cache/dashboard")
DRIFT_S = 130
OR_NONE = " or vector(0)"
EMPTY = {
    "iqa_memory_": "needs a control group of version 2, as containers have",
    "iqa_cpu_": "needs a control group of version 2, as containers have",
    "[1d] offset 1d": "the day before a run of two minutes",
    "iqa_refused_records_total": "no record is refused here",
}
"""What is in a query that may have no data, and why."""
console = Console(file=sys.stdout, soft_wrap=True)
"""Not what ``sys.stdout`` is later: what workers logged is printed there at the end, and goes into a file."""


def reason_of(expr: str) -> str:
    """Why it may have no data; nothing if it must have some."""
    return next((why for part, why in EMPTY.items() if part in expr), "")


def series_of(ask: Ask, expr: str, began: float, ended: float) -> list[dict[str, Any]]:
    """Labels, and points of time and value, NaN left out."""
    found = ask("query_range", query=filled(expr), start=f"{began:.0f}", end=f"{ended:.0f}", step=str(EVERY_S))
    series = []
    for each in found.get("result", []):
        points = [(at, value) for at, text in each["values"] if math.isfinite(value := float(text))]
        if points:
            series.append({"labels": each["metric"], "points": points})
    return series


def answers(ask: Ask, began: float, ended: float) -> dict[str, Any]:
    """Of every query, by panel; ``filled_in`` where there is nothing but the zero that a query puts in place of nothing."""
    found: dict[str, Any] = {}
    for panel in panels(BOARD):
        queries = []
        for target in panel["targets"]:
            expr = target["expr"]
            bare = expr.removesuffix(OR_NONE)
            answer = {"letter": target["refId"], "expr": expr, "legend": target["legendFormat"]}
            answer["series"] = series_of(ask, expr, began, ended)
            answer["filled_in"] = bare != expr and not series_of(ask, bare, began, ended)
            queries.append(answer)
        found[panel["title"]] = queries
    return found


def empty_ones(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Panel, query and reason of what has no data; without a reason it is a fault."""
    return [
        (title, query["expr"], reason_of(query["expr"]))
        for title, queries in found.items()
        for query in queries
        if not query["series"] or query["filled_in"]
    ]


def picture(page: Path) -> Path | None:
    """Of the page, by Chromium, if there is one."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        return None
    made = page.with_suffix(".png")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={made}"]
    size = f"--window-size={WIDTH},{height_of(BOARD)}"
    subprocess.run([program, *options, size, page.resolve().as_uri()], capture_output=True, check=True, timeout=300)
    return made


def look(folder: Path) -> dict[str, Any]:
    """Everything started, two minutes played, every query asked."""
    with ExitStack() as stack:
        scene = stack.enter_context(stage(folder))
        workers = {name: port for name, port in scene.ports.items() if name != "probe"}
        jobs = {"iqa-worker": workers, "iqa-probe": {"probe": scene.ports["probe"]}}
        ask = stack.enter_context(prometheus(folder, jobs, SOURCES))
        wait_for(lambda: len(ask("query", query="up == 1").get("result", [])) == len(scene.ports), "three scrapes")
        began = time.time()
        done = play(scene, console.print)
        # Computed once a minute, and only of a thousand verdicts. If it does not come, it is a query without data.
        with suppress(TimeoutError):
            wait_for(lambda: ask("query", query="iqa:score_psi6h").get("result"), "drift of scores", DRIFT_S)
        ended = time.time()
        return {"began": began, "ended": ended, "done": done, "panels": answers(ask, began, ended)}


def main() -> int:
    """Write data, page and picture; 1 if a query that must have data has none."""
    if shutil.which("prometheus") is None:
        console.print("needs a Prometheus: apt-get install prometheus")
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    data, page = OUT / "dashboard-data.json", OUT / "dashboard.html"
    if "--draw" not in sys.argv:
        log = (OUT / "workers.log").open("w", encoding="utf-8")
        with log, redirect_stdout(log), tempfile.TemporaryDirectory() as name:
            data.write_text(json.dumps(look(Path(name))), encoding="utf-8")
    seen = json.loads(data.read_text(encoding="utf-8"))
    page.write_text(drawn(BOARD, seen), encoding="utf-8")
    console.print(f"{data}, {page}, {picture(page) or 'no picture: no Chromium'}")
    empty = empty_ones(seen["panels"])
    queries = sum(map(len, seen["panels"].values()))
    console.print(f"{queries} queries, {queries - len(empty)} with data")
    for title, expr, why in empty:
        console.print(f"{'may be empty' if why else 'NO DATA'}: {title}: {why}\n    {expr}", highlight=False, markup=False)
    return 0 if all(why for _, _, why in empty) else 1


if __name__ == "__main__":
    sys.exit(main())
