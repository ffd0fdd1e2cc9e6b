"""When each alert fires and when it is silent, as series that promtool plays: three cases an alert or more.

A case lasts an hour unless it says otherwise, a sample every 30 seconds. Where an alert has a threshold there is a case a tenth
above it, one a tenth below, and one at it: so no threshold can be moved by a fifth without a case that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["CASES", "Case"]

MINUTES = 60
PER_MINUTE = 2


@dataclass(frozen=True)
class Case:
    """Series (selector to promtool's notation), and whether the alert fires after ``minutes``; ``step`` in seconds."""

    told: str
    series: Mapping[str, str]
    fires: bool
    minutes: float = MINUTES
    step: int = 30


def flat(value: float) -> str:
    return f"{value:g}x{MINUTES * PER_MINUTE}"


def rising(a_minute: float) -> str:
    """A counter."""
    return f"0+{a_minute / PER_MINUTE:g}x{MINUTES * PER_MINUTE}"


def around(threshold: float, series: Callable[[float], Mapping[str, str]], *, exact: bool = True) -> list[Case]:
    """Above, below and at a threshold; what is computed from rates is not exact, and tried a hundredth below."""
    return [
        Case("a tenth above", series(1.1 * threshold), fires=True),
        Case("a tenth below", series(0.9 * threshold), fires=False),
        Case("at it", series(threshold if exact else 0.99 * threshold), fires=False),
    ]


def gauge(name: str, threshold: float, others: Mapping[str, str] | None = None) -> list[Case]:
    return around(threshold, lambda value: {name: flat(value), **(others or {})})


def counter(name: str, threshold: float, minutes: float) -> list[Case]:
    """An increase over so many minutes."""
    return around(threshold, lambda value: {name: rising(value / minutes)}, exact=False)


def share(part: str, whole: str, threshold: float) -> list[Case]:
    return around(threshold, lambda value: {part: rising(100 * value), whole: rising(100)}, exact=False)


def split(part: str, rest: str, threshold: float) -> list[Case]:
    """As ``share``, of two counters that are the whole together."""
    return around(threshold, lambda value: {part: rising(100 * value), rest: rising(100 * (1 - value))}, exact=False)


def some(name: str) -> list[Case]:
    """Any at all, within an hour."""
    before = f"0x{MINUTES * PER_MINUTE - 20}"
    return [
        Case("one, now", {name: f"{before} 1x20"}, fires=True),
        Case("the first that there is", {name: "_x100 1x20"}, fires=True),
        Case("none", {name: flat(0)}, fires=False),
        Case("three, long ago", {name: "3x520"}, fires=False, minutes=260),
    ]


def late(told: str, *parts: tuple[float, float, float], fires: bool, step: int) -> Case:
    """Parts of a time: hours, events a minute, the share of them that is late; a sample a ``step`` (seconds)."""
    labels, seen, in_time = 'lane="uploads",at="published"', 0.0, 0.0
    count, bucket = ["0x0"], ["0x0"]
    for hours, a_minute, share_late in parts:
        samples, more = round(hours * 3600 / step), a_minute * step / 60
        good = more * (1 - share_late)
        count.append(f"{seen + more:.6f}+{more:.6f}x{samples - 1}")
        bucket.append(f"{in_time + good:.6f}+{good:.6f}x{samples - 1}")
        seen, in_time = seen + samples * more, in_time + samples * good
    series = {
        f"iqa_event_age_seconds_count{{{labels}}}": " ".join(count),
        f'iqa_event_age_seconds_bucket{{{labels},le="60.0"}}': " ".join(bucket),
    }
    return Case(told, series, fires, 60 * sum(hours for hours, *_ in parts), step)


def fast(told: str, *parts: tuple[float, float], fires: bool) -> Case:
    """After ten hours in which all is in time: hours and shares that are late."""
    return late(told, (10, 100, 0), *((hours, 100, share_late) for hours, share_late in parts), fires=fires, step=60)


def slow(told: str, *parts: tuple[float, float, float], fires: bool) -> Case:
    return late(told, *parts, fires=fires, step=300)


UPLOADS = '{lane="uploads"}'
LAG = f"iqa_partition_lag_records{UPLOADS}"
TOLD = 'iqa_build_info{{version="1",quality="a@1",profile="p@1",fingerprint="{}"}}'
BUILD = 'iqa_build_info{version="1",quality="a@1",profile="p@1",instance="a"}'
STARTED = 'process_start_time_seconds{job="iqa",instance="a"}'
UP = 'up{job="iqa",instance="a"}'
JOINED = 'iqa_condition{probe="ready",condition="joined",instance="a"}'
READY = 'iqa_condition{probe="ready",condition="broker",instance="a"}'
PUBLISHED = 'iqa_last_progress_timestamp_seconds{lane="uploads",what="published"}'
HOUR = 3600
PSI = 'iqa:score_psi6h{profile="p@1"}'
LAST_RIGHT = "iqa_probe_last_right_timestamp_seconds"


def end(partition: int, instance: str = "a") -> str:
    labels = f'lane="uploads",topic="image.uploads",partition="{partition}",instance="{instance}"'
    return f"iqa_partition_end_offset{{{labels}}}"


def progress(ago: float, lag: float = 10) -> Mapping[str, str]:
    """Nothing published for so many seconds."""
    return {LAG: flat(lag), PUBLISHED: flat(HOUR - ago)}


def scores(before: float, now: float, an_hour: float = 60) -> Mapping[str, str]:
    """So many verdicts an hour for two days; the last hours' have another mean. Every five minutes a sample."""
    old, new, each = 47 * 12, 24, an_hour / 12
    return {
        "iqa_score_points_count": f"0+{each:g}x{old + new}",
        "iqa_score_points_sum": f"0+{each * before:g}x{old} {each * before * old + each * now:g}+{each * now:g}x{new}",
    }


CASES: dict[str, list[Case]] = {
    "IqaVerdictsLateFast": [
        fast("an hour at 16 %", (1.1, 0.16), fires=True),
        fast("an hour at 13 %", (1.1, 0.13), fires=False),
        fast("50 minutes at 16 %", (5 / 6, 0.16), fires=False),
        fast("an hour at 16 %, and better now", (1.1, 0.16), (0.15, 0.125), fires=False),
        fast("six hours at 6.6 %", (6.2, 0.066), fires=True),
        fast("six hours at 5.4 %", (6.2, 0.054), fires=False),
        fast("five hours at 6.6 %", (5, 0.066), fires=False),
        fast("six hours at 6.6 %, and better now", (6, 0.066), (0.7, 0.054), fires=False),
        late("110 events within an hour, all late", (1.2, 110 / 60, 1), fires=True, step=60),
        late("90 events within an hour, all late", (1.2, 90 / 60, 1), fires=False, step=60),
    ],
    "IqaVerdictsLateSlow": [
        slow("a quiet day at 3.3 % after two busy ones", (50, 1000, 0), (25, 100, 0.033), fires=True),
        slow("a quiet day at 2.7 % after two busy ones", (50, 1000, 0), (25, 100, 0.027), fires=False),
        slow("such a day, and better now", (50, 1000, 0), (23, 100, 0.033), (2.5, 100, 0.027), fires=False),
        slow("such a day, of which five hours were good", (50, 1000, 0), (6, 100, 0), (19, 100, 0.033), fires=False),
        slow("three days at 1.1 %", (1, 100, 0), (73, 100, 0.011), fires=True),
        slow("three days at 0.9 %", (1, 100, 0), (73, 100, 0.009), fires=False),
        slow("three days at 1.1 %, and better now", (67, 100, 0.011), (7, 100, 0.009), fires=False),
        slow("three days at 1.1 %, of which ten hours were good", (14, 100, 0), (60, 100, 0.011), fires=False),
        slow("110 events in six hours, all late", (74, 110 / 360, 1), fires=True),
        slow("90 events in six hours, all late", (74, 90 / 360, 1), fires=False),
    ],
    "IqaNoProgress": [
        Case("events wait", progress(450), fires=True),
        Case("events wait, not so long", progress(390), fires=False),
        Case("nothing waits", progress(3000, lag=0), fires=False),
    ],
    "IqaLagOld": gauge(f"iqa_partition_lag_seconds{UPLOADS}", 600),
    "IqaLagGrows": [
        Case("many, and more", {LAG: f"5200+3x{MINUTES * PER_MINUTE}"}, fires=True),
        Case("fewer, and more", {LAG: f"4400+0.9x{MINUTES * PER_MINUTE}"}, fires=False),
        Case("many, and less", {LAG: f"60000-100x{MINUTES * PER_MINUTE}"}, fires=False),
        Case("not quite as many, and more", {LAG: f"4860+1x{MINUTES * PER_MINUTE}"}, fires=False),
        Case("a few more than allowed", {LAG: f"5460+1x{MINUTES * PER_MINUTE}"}, fires=True),
    ],
    "IqaPartitionsUnowned": [
        Case("one of two is lost", {end(0): flat(9), end(1): "9x60"}, fires=True),
        Case("all are lost", {end(0): "9x60", end(1): "9x60"}, fires=True),
        Case("all are owned", {end(0): flat(9), end(1): flat(9)}, fires=False),
        Case("one goes to another worker", {end(0): "9x60", end(0, "b"): "_x50 9x90"}, fires=False),
    ],
    "IqaRebalanceStorm": around(
        6,
        lambda value: {'iqa_rebalances_total{lane="uploads",kind="revoked"}': rising(value / 15), BUILD: flat(1)},
        exact=False,
    ),
    "IqaPublishFailing": gauge("iqa_publish_failing_seconds", 60),
    "IqaBrokerSilent": gauge("iqa_broker_silent_seconds", 60),
    "IqaProducersFenced": counter("iqa_producers_fenced_total", 3, 15),
    "IqaTransactionsFail": [
        *split('iqa_transactions_total{result="aborted"}', 'iqa_transactions_total{result="committed"}', 0.1),
        *around(
            10,
            lambda value: {
                'iqa_transactions_total{result="unanswered"}': rising(value / 15),
                'iqa_transactions_total{result="committed"}': flat(0),
            },
            exact=False,
        ),
    ],
    "IqaEventsExpired": some('iqa_expired_events_total{topic="image.uploads"}'),
    "IqaRetentionNear": [
        Case("five hours", {"iqa_retention_left_seconds": flat(0.9 * 21600)}, fires=True),
        Case("seven hours", {"iqa_retention_left_seconds": flat(1.1 * 21600)}, fires=False),
        Case("six hours", {"iqa_retention_left_seconds": flat(21600)}, fires=False),
        Case("nothing waits", {"up": flat(1)}, fires=False),
    ],
    "IqaRestarts": [
        Case("four times", {STARTED: "0x60 1x10 2x10 3x10 4x40"}, fires=True),
        Case("three times", {STARTED: "0x70 1x10 2x10 3x40"}, fires=False),
        Case("never", {STARTED: flat(7)}, fires=False),
    ],
    "IqaWorkerDown": [
        Case("one of two", {UP: flat(0), UP.replace('"a"', '"b"'): flat(1)}, fires=True),
        Case("none", {UP: flat(1)}, fires=False),
        Case("for a moment", {UP: f"1x{MINUTES * PER_MINUTE - 10} 0x10"}, fires=False),
    ],
    "IqaRecordsRefused": [
        *some('iqa_refused_records_total{code="MSG_SIZE_TOO_LARGE"}'),
    ],
    "IqaDeadLetters": [
        *share('iqa_dead_letters_total{code="not_json"}', f"iqa_events_total{UPLOADS}", 0.02),
        *around(
            5,
            lambda value: {
                'iqa_dead_letters_total{code="not_json"}': rising(value / 15),
                f"iqa_events_total{UPLOADS}": flat(0),
            },
            exact=False,
        ),
    ],
    "IqaUnscorable": [
        *split(
            'iqa_verdicts_total{status="unscorable",category="none"}',
            'iqa_verdicts_total{status="scored",category="high"}',
            0.2,
        ),
        *counter('iqa_verdicts_total{status="unscorable",category="none"}', 50, 15),
    ],
    "IqaFetchesFail": [
        *split(
            'iqa_fetches_total{scheme="https",outcome="failed"}', 'iqa_fetches_total{scheme="https",outcome="fetched"}', 0.3
        ),
        *counter('iqa_fetches_total{scheme="https",outcome="failed"}', 50, 10),
    ],
    "IqaRetriesOverdue": gauge('iqa_retry_overdue_seconds{topic="image.uploads.retry.1"}', 600),
    "IqaDeadLettersWait": [
        Case("a few more, for two hours", {"iqa_dead_letters_waiting_records": "1100x240"}, fires=True, minutes=120),
        Case("a few less", {"iqa_dead_letters_waiting_records": "900x240"}, fires=False, minutes=120),
        Case("more, for half an hour", {"iqa_dead_letters_waiting_records": "0x180 1100x60"}, fires=False, minutes=120),
    ],
    "IqaRedisAway": gauge('iqa_projection_missing_seconds{condition="redis"}', 60),
    "IqaProjectionLag": gauge("iqa_projection_lag", 5000),
    "IqaProjectionStuck": [
        *gauge('iqa_projection_missing_seconds{condition="progress"}', 120),
        Case(
            "since Redis is away, which IqaRedisAway tells",
            {f'iqa_projection_missing_seconds{{condition="{name}"}}': flat(200) for name in ("progress", "redis")},
            fires=False,
        ),
    ],
    "IqaProjectionUnreadable": some("iqa_projection_unreadable_total"),
    "IqaBreakerOpen": [
        Case("open", {"iqa_breaker_open": flat(1)}, fires=True),
        Case("shut", {"iqa_breaker_open": flat(0)}, fires=False),
        Case("open for half a minute", {"iqa_breaker_open": f"0x{MINUTES * PER_MINUTE - 1} 1x1"}, fires=False),
    ],
    "IqaEventHangs": gauge("iqa_oldest_event_seconds", 300),
    "IqaDecodersDie": counter("iqa_decoder_deaths_total", 20, 15),
    "IqaScoreShift": [
        Case("8.8 points up", scores(60, 68.8), True, 49 * 60, 300),
        Case("8.8 points down", scores(60, 51.2), True, 49 * 60, 300),
        Case("7.2 points up", scores(60, 67.2), False, 49 * 60, 300),
        Case("twenty points, by 45 pictures an hour", scores(60, 80, 45), False, 49 * 60, 300),
        Case("twenty points, by 55 pictures an hour", scores(60, 80, 55), True, 49 * 60, 300),
    ],
    "IqaScoresDrift": gauge('iqa:score_psi6h{profile="p@1"}', 0.25),
    "IqaScoresDriftSlowly": [
        Case("over it for eight hours", {PSI: "0.11x120"}, True, 10 * 60, 300),
        Case("under it", {PSI: "0.09x120"}, False, 10 * 60, 300),
        Case("at it", {PSI: "0.1x120"}, False, 10 * 60, 300),
        Case("over it for five hours", {PSI: "0.05x59 0.2x61"}, False, 10 * 60, 300),
    ],
    "IqaVersionsDiffer": [
        Case("two", {BUILD: flat(1), BUILD.replace("a@1", "a@2"): flat(1)}, fires=True),
        Case("two under one label", {TOLD.format("f1"): flat(1), TOLD.format("f2"): flat(1)}, fires=True),
        Case("a projection beside a worker", {BUILD: flat(1), "iqa_build_info": flat(1)}, fires=False),
        Case("one on two workers", {BUILD: flat(1), BUILD.replace('instance="a"', 'instance="b"'): flat(1)}, fires=False),
        Case("two while a deploy goes on", {BUILD: flat(1), BUILD.replace("a@1", "a@2"): "_x90 1x30"}, fires=False),
    ],
    "IqaUnknownServices": counter("iqa_unknown_services_total", 10, 60),
    "IqaNotReady": [
        Case("one condition fails", {READY: flat(0), READY.replace("broker", "topics"): flat(1)}, fires=True),
        Case("all hold", {READY: flat(1), READY.replace("broker", "topics"): flat(1)}, fires=False),
        Case("one fails for a while", {READY: f"1x{MINUTES * PER_MINUTE - 4} 0x4"}, fires=False),
    ],
    "IqaFilesRunOut": around(
        0.8, lambda value: {'process_open_fds{job="iqa"}': flat(1000 * value), 'process_max_fds{job="iqa"}': flat(1000)}
    ),
    "IqaMemoryNearLimit": around(
        0.9,
        lambda value: {
            'iqa_memory_used_bytes{instance="a"}': flat(1000 * value),
            'iqa_memory_limit_bytes{instance="a"}': flat(1000),
        },
    ),
    "IqaThrottled": around(
        0.25, lambda value: {'iqa_cpu_throttled_seconds_total{instance="a"}': rising(60 * value)}, exact=False
    ),
    "IqaProbeLost": counter('iqa_probes_total{result="lost"}', 2.5, 10),
    "IqaProbeWrong": counter('iqa_probes_total{result="wrong"}', 1.5, 15),
    "IqaProbeNotInRedis": counter('iqa_probes_total{result="unprojected"}', 2.5, 10),
    "IqaProbeGone": [
        Case("gone for half an hour", {LAST_RIGHT: "9x60"}, fires=True),
        Case("gone for a moment", {LAST_RIGHT: f"9x{MINUTES * PER_MINUTE - 12}"}, fires=False),
        Case("it runs", {LAST_RIGHT: flat(9)}, fires=False),
        Case("there never was one", {"up": flat(1)}, fires=False),
    ],
    "IqaNoneJoined": [
        Case("nothing at all", {"up": flat(1)}, fires=True),
        Case("one that starts over and over", {JOINED: "0x3 _x6 0x3 _x6 0x3 _x6 0x3 _x6 0x3 _x6 0x100"}, fires=True),
        Case("one of two", {JOINED: flat(1), JOINED.replace('"a"', '"b"'): flat(0)}, fires=False),
        Case("none for a moment", {JOINED: f"1x{MINUTES * PER_MINUTE - 6} 0x6"}, fires=False),
    ],
    "IqaAbsent": [
        Case("nothing", {"up": flat(1)}, fires=True),
        Case("a projection alone", {"iqa_build_info": flat(1)}, fires=True),
        Case("one worker", {BUILD: flat(1)}, fires=False),
        Case("gone for a moment", {BUILD: f"1x{MINUTES * PER_MINUTE - 12}"}, fires=False),
    ],
}
