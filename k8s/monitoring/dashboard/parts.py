"""The questions on what the way leads through: hosts, pictures, models, Redis, retries, processes, and the whole path."""

from __future__ import annotations

from k8s.monitoring.dashboard.shape import RATE, Limit, Panel, Query, Question, quantile, risen, share_of, spread

__all__ = ["PARTS"]

_SCORED = 'iqa_verdicts_total{status="scored"}'


def _mean(window: str) -> str:
    total, count = (f"sum by (profile) (rate(iqa_score_points_{part}[{window}))" for part in ("sum", "count"))
    return f"{total} / {count}"


_HOSTS = Question(
    "Is a host or a bucket down?",
    (
        Panel(
            "Share of fetches that fail, by reason",
            "Good: a steady few percent. Bad: above the line; the reason that stands out says what is down.",
            "percentunit",
            (
                Query(share_of('iqa_fetches_total{outcome="failed"}', "iqa_fetches_total"), "all reasons"),
                Query(share_of("iqa_fetch_failures_total", "iqa_fetches_total", "code"), "{{code}}"),
            ),
            (Limit(0.3, "IqaFetchesFail"),),
        ),
    ),
)

_PICTURES = Question(
    "Are pictures odd?",
    (
        Panel(
            "Share of verdicts without a judgement, by reason",
            "Good: a steady few percent. Bad: above the line, where uploads are cut off, or are no pictures.",
            "percentunit",
            (
                Query(share_of('iqa_verdicts_total{status="unscorable"}', "iqa_verdicts_total"), "all reasons"),
                Query(share_of("iqa_unscorable_total", "iqa_verdicts_total", "code"), "{{code}}"),
            ),
            (Limit(0.2, "IqaUnscorable"),),
        ),
        Panel(
            "Size of pictures",
            "Good: as it was last week. Bad: a jump, where a sender changed what it uploads.",
            "bytes",
            (
                Query(quantile(0.5, "iqa_picture_bytes"), "half under"),
                Query(quantile(0.95, "iqa_picture_bytes"), "95 % under"),
                Query(quantile(0.5, "iqa_picture_pixels"), "pixels: half under"),
                Query(quantile(0.95, "iqa_picture_pixels"), "pixels: 95 % under"),
            ),
            others={"pixels": "suffix: px"},
        ),
        Panel(
            "Decoding processes",
            "Good: a steady number alive, none replaced. Bad: more replaced than the line, where pictures kill them.",
            "short",
            (
                Query("sum(iqa_decoders_alive)", "alive"),
                Query("sum(increase(iqa_decoder_deaths_total[15m]))", "replaced, 15 min"),
            ),
            (Limit(20, "IqaDecodersDie"),),
        ),
    ),
)

_MODEL = Question(
    "Did the model change its mind?",
    (
        Panel(
            "Scores",
            "Good: the mean of now lies near the mean of the day before. Bad: eight points from it for an hour.",
            "suffix: points",
            (
                Query(_mean(f"{RATE}]"), "mean: {{profile}}"),
                Query(quantile(0.1, "iqa_score_points", "profile"), "a tenth under: {{profile}}"),
                Query(quantile(0.9, "iqa_score_points", "profile"), "a tenth over: {{profile}}"),
                Query(_mean("1d] offset 1d"), "mean of the day before: {{profile}}"),
            ),
            alerts=("IqaScoreShift",),
            most=100,
        ),
        Panel(
            "Drift of scores from their reference",
            "Good: under 0.1. Bad: above a line, where pictures or model are others. It takes 1,000 verdicts in 6 h.",
            "none",
            (Query("iqa:score_psi6h", "{{profile}}"),),
            (Limit(0.25, "IqaScoresDrift"), Limit(0.1, "IqaScoresDriftSlowly")),
        ),
        Panel(
            "Share of scores that a rule adjusted, or that were repeated",
            "Good: as before. Bad: one rule that fires far more often than before, after a deploy or with another sender.",
            "percentunit",
            (
                Query(share_of("iqa_rule_adjustments_total", _SCORED, "rule"), "{{rule}}"),
                Query(share_of("iqa_repeats_total", _SCORED), "repeated"),
            ),
        ),
        Panel(
            "Versions that run, events of unknown services",
            "Good: one version and no unknown service. Bad: two versions for long, or unknown services above the line.",
            "short",
            (
                Query(
                    'count by (version, quality, profile) (iqa_build_info{quality!=""})',
                    "{{version}}, {{quality}}, {{profile}}",
                ),
                Query("sum(increase(iqa_unknown_services_total[1h]))", "events of unknown services, 1 h"),
            ),
            (Limit(10, "IqaUnknownServices"),),
            ("IqaVersionsDiffer",),
        ),
    ),
)

_REDIS = Question(
    "Is Redis the problem?",
    (
        Panel(
            "Conditions of the projection that are missing",
            "Good: zero. Bad: a line that climbs with the clock; progress alone is the projection, redis with it the server.",
            "s",
            (Query("max by (condition) (iqa_projection_missing_seconds)", "{{condition}}"),),
            (Limit(120, "IqaProjectionStuck"), Limit(60, "IqaRedisAway")),
        ),
        Panel(
            "Verdicts that Redis does not hold",
            "Good: near zero. Bad: above the line, or verdicts that cannot be read at all.",
            "short",
            (
                Query("sum(iqa_projection_lag)", "not yet"),
                Query("sum(increase(iqa_projection_unreadable_total[1h]))", "unreadable, 1 h"),
                Query("sum(increase(iqa_projection_failures_total[1h]))", "failed batches, 1 h"),
                Query("sum(increase(iqa_projection_rewinds_total[1h]))", "partitions read again, 1 h"),
            ),
            (Limit(5000, "IqaProjectionLag"),),
            ("IqaProjectionUnreadable",),
        ),
        Panel(
            "Time of Redis for a batch of verdicts",
            "Good: milliseconds. Bad: a tenth of a second and more, where Redis or the network to it is slow.",
            "s",
            spread("iqa_redis_seconds"),
        ),
        Panel(
            "Lookups before a picture is judged, a second",
            "Good: no errors, and hits where pictures repeat. Bad: errors, where Redis is away and repeats are judged anew.",
            "suffix:/s",
            (Query(f"sum by (result) (rate(iqa_cache_requests_total[{RATE}]))", "{{result}}"),),
            stacked=True,
        ),
    ),
)

_RETRIES = Question(
    "Are there retries and dead letters?",
    (
        Panel(
            "Retries in 10 minutes, by reason",
            "Good: few. Bad: one reason that stays, where a host is down; a second attempt means that it was down for longer.",
            "short",
            (Query(risen("iqa_retries_total", "10m", "code", "attempt"), "{{code}}, attempt {{attempt}}"),),
            alerts=("IqaFetchesFail",),
            stacked=True,
        ),
        Panel(
            "Dead letters in 15 minutes, by reason",
            "Good: none. Bad: above the line, and more than one in fifty events; they have no verdict until they are replayed.",
            "short",
            (Query(risen("iqa_dead_letters_total", "15m", "code"), "{{code}}"),),
            (Limit(5, "IqaDeadLetters"),),
        ),
        Panel(
            "Retries that are overdue",
            "Good: zero, or seconds. Bad: above the line, where retries are not taken when they are due.",
            "s",
            (Query("max by (topic) (iqa_retry_overdue_seconds)", "{{topic}}"),),
            (Limit(600, "IqaRetriesOverdue"),),
        ),
    ),
)

_READY = Question(
    "Why is it not ready?",
    (
        Panel(
            "Processes in which a condition fails",
            "Good: zero but at starts. Bad: a condition that fails for minutes; the worker's README says for each what to do.",
            "short",
            (
                Query('sum by (condition) (1 - iqa_condition{probe="ready"})', "ready: {{condition}}"),
                Query('sum by (condition) (1 - iqa_condition{probe="live"})', "live: {{condition}}"),
            ),
            (Limit(0.5, "IqaNotReady"),),
        ),
        Panel(
            "Processes, and those that start over and over",
            "Good: all answer and all workers have joined. Bad: some do not answer, none has joined, or one keeps starting.",
            "short",
            (
                Query("sum(up{})", "answer"),
                Query("count(up{} < 0.5) or vector(0)", "do not answer"),
                Query('sum(iqa_condition{probe="ready",condition="joined"})', "joined"),
                Query("max by (lane) (iqa_fleet_members)", "members: {{lane}}"),
                Query("max(changes(process_start_time_seconds[30m]))", "most starts, 30 min"),
            ),
            (),
            ("IqaWorkerDown", "IqaRestarts", "IqaNoneJoined", "IqaAbsent"),
        ),
    ),
)

_MACHINE = Question(
    "Is it memory, or the processor?",
    (
        Panel(
            "Largest memory of a process, its children, its container",
            "Good: level after an hour. Bad: grows for days, or the container comes near its limit.",
            "bytes",
            (
                Query("max(process_resident_memory_bytes)", "process"),
                Query("max(iqa_children_resident_bytes)", "its decoding processes"),
                Query("max(iqa_memory_used_bytes)", "container"),
                Query("min(iqa_memory_limit_bytes)", "smallest limit"),
            ),
        ),
        Panel(
            "Share of what the worst process may have",
            "Good: under the lines. Bad: memory over nine tenths, files over four fifths, or held for a quarter of the time.",
            "percentunit",
            (
                Query("max(iqa_memory_used_bytes / iqa_memory_limit_bytes)", "memory"),
                Query("max(process_open_fds / process_max_fds)", "open files"),
                Query(f"max(rate(iqa_cpu_throttled_seconds_total[{RATE}]))", "held by the quota"),
            ),
            (Limit(0.9, "IqaMemoryNearLimit"), Limit(0.8, "IqaFilesRunOut"), Limit(0.25, "IqaThrottled")),
        ),
        Panel(
            "Cores in use, decoding processes not counted",
            "Good: below the quota. Bad: at the quota while uploads wait, where more workers are needed.",
            "short",
            (
                Query(f"sum by (instance) (rate(process_cpu_seconds_total[{RATE}]))", "{{instance}}"),
                Query("max(iqa_cpu_quota_cores)", "largest quota"),
            ),
        ),
    ),
)

_PROBE = Question(
    "Is the whole path alive without traffic?",
    (
        Panel(
            "Probes in ten minutes, by how they ended",
            "Good: all are right. Bad: lost, unsent, unprojected above the line, or two that are wrong.",
            "short",
            (
                Query("sum by (result) (increase(iqa_probes_total[10m]))", "{{result}}"),
                Query("sum(increase(iqa_probe_late_total[10m]))", "came late"),
            ),
            (Limit(2.5, "IqaProbeLost"), Limit(2.5, "IqaProbeNotInRedis"), Limit(1.5, "IqaProbeWrong")),
        ),
        Panel(
            "A probe's time to its verdict, and since the last right one",
            "Good: a few seconds to the verdict, and the last right one within minutes. Bad: the time since it climbs.",
            "s",
            (
                Query(quantile(0.5, "iqa_probe_seconds", "at", window="10m"), "half within: {{at}}"),
                Query("time() - max(iqa_probe_last_right_timestamp_seconds > 0)", "since the last right one"),
            ),
            (),
            ("IqaProbeLost", "IqaProbeGone"),
        ),
    ),
)

PARTS = (_HOSTS, _PICTURES, _MODEL, _REDIS, _RETRIES, _READY, _MACHINE, _PROBE)
