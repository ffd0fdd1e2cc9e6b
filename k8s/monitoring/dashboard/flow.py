"""The questions on the way of events: users, lag, progress, owners, broker, time."""

from __future__ import annotations

from k8s.monitoring.dashboard.shape import RATE, Limit, Panel, Query, Question, quantile, risen, spread

__all__ = ["FLOW"]

_PUBLISHED = 'iqa_event_age_seconds{lane="uploads",at="published"}'
_TAKEN = 'iqa_event_age_seconds{lane="uploads",at="taken"}'

_USERS = Question(
    "Are users waiting?",
    (
        Panel(
            "Share of results that come late",
            "Good: under 1 %, the objective. Bad: above a line, where the month's budget runs out early.",
            "percentunit",
            tuple(Query(f"iqa:late:ratio_rate{window}", f"of {window}") for window in ("5m", "30m", "1h", "6h", "3d")),
            (Limit(0.144, "IqaVerdictsLateFast"), Limit(0.01, "IqaVerdictsLateSlow")),
            most=0.02,
        ),
        Panel(
            "Age of uploads when taken and when published",
            "Good: under a minute; below five seconds no figure is exact. Bad: above the line.",
            "s",
            (
                Query(quantile(0.99, _PUBLISHED), "99 % published within"),
                Query(quantile(0.5, _PUBLISHED), "half published within"),
                Query(quantile(0.99, _TAKEN), "99 % taken within"),
            ),
            (Limit(60, "IqaVerdictsLateFast"),),
        ),
        Panel(
            "Events taken, verdicts published, verdicts in Redis, a second",
            "Good: as many verdicts as events taken. Bad: events are taken, and verdicts or Redis stay behind.",
            "suffix:/s",
            (
                Query(f"sum by (lane) (rate(iqa_events_total[{RATE}]))", "taken: {{lane}}"),
                Query(f'sum by (category) (rate(iqa_verdicts_total{{status="scored"}}[{RATE}]))', "{{category}}"),
                Query(f'sum(rate(iqa_verdicts_total{{status="unscorable"}}[{RATE}]))', "unscorable"),
                Query(f"sum(rate(iqa_projected_verdicts_total[{RATE}]))", "written to Redis"),
            ),
        ),
    ),
)

_LAG = Question(
    "How far behind, and where?",
    (
        Panel(
            "Records that wait",
            "Good: falls to zero between bursts. Bad: uploads above the upper line, or dead letters above the lower one.",
            "short",
            (
                Query(
                    "sum by (lane) (max by (lane, topic, partition) (iqa_partition_lag_records))",
                    "{{lane}}, as workers see it",
                ),
                Query("max by (lane) (iqa_fleet_lag_records)", "{{lane}}, as the probe sees it"),
                Query("max(iqa_dead_letters_waiting_records)", "dead letters"),
            ),
            (Limit(5000, "IqaLagGrows"), Limit(1000, "IqaDeadLettersWait")),
        ),
        Panel(
            "Oldest upload without a result",
            "Good: seconds. Bad: above the line; one partition alone points to its worker, all of them to too few workers.",
            "s",
            (
                Query(
                    'topk(5, max by (partition) (iqa_partition_lag_seconds{lane="uploads"}))',
                    "partition {{partition}}",
                ),
                Query('max(iqa_fleet_lag_seconds{lane="uploads"})', "any, as the probe sees it"),
            ),
            (Limit(600, "IqaLagOld"),),
        ),
        Panel(
            "Until retention takes the oldest upload",
            "Good: days, or nothing while no upload waits. Bad: under the line, where events are about to be deleted unread.",
            "s",
            (Query("min(iqa_retention_left_seconds)", "left"),),
            (Limit(21600, "IqaRetentionNear", below=True),),
        ),
    ),
)

_PROGRESS = Question(
    "Is it stuck?",
    (
        Panel(
            "Since the last progress with uploads",
            "Good: seconds, or long since taken and published while no upload waits. Bad: above the line while uploads wait.",
            "s",
            (
                Query(
                    'time() - max by (what) (iqa_last_progress_timestamp_seconds{lane="uploads"} > 0)',
                    "{{what}}",
                ),
            ),
            (Limit(300, "IqaNoProgress"),),
        ),
        Panel(
            "Oldest event in flight, oldest result held back",
            "Good: seconds. Bad: a line that climbs with the clock is an event that hangs, or a result that is not published.",
            "s",
            (
                Query("max by (instance) (iqa_oldest_event_seconds)", "in flight: {{instance}}"),
                Query("max by (instance) (iqa_unpublished_seconds)", "unpublished: {{instance}}"),
            ),
            (Limit(300, "IqaEventHangs"),),
        ),
        Panel(
            "Workers and partitions that are held",
            "Good: zero. Bad: a breaker is open, or workers pause for minutes; crowded partitions alone mean a burst.",
            "short",
            (
                Query("sum(iqa_breaker_open)", "breakers open"),
                Query("sum by (lane) (iqa_paused)", "workers paused: {{lane}}"),
                Query("sum by (lane) (iqa_crowded_partitions)", "crowded partitions: {{lane}}"),
            ),
            alerts=("IqaBreakerOpen",),
        ),
    ),
)

_OWNERS = Question(
    "Who owns what, and does it churn?",
    (
        Panel(
            "Partitions of the uploads by worker",
            "Good: equal shares, and none without a worker. Bad: partitions that are nobody's, or one worker with all.",
            "short",
            (
                Query('sum by (instance) (iqa_assigned_partitions{lane="uploads"})', "{{instance}}"),
                Query('max(iqa_fleet_unowned_partitions{lane="uploads"})', "nobody's"),
            ),
            alerts=("IqaPartitionsUnowned",),
        ),
        Panel(
            "Rebalances of a worker in 15 minutes",
            "Good: few, at deploys and scaling. Bad: above the line, where partitions go from worker to worker all the time.",
            "short",
            (
                Query(
                    'sum by (kind) (increase(iqa_rebalances_total{lane="uploads"}[15m]))'
                    ' / on() group_left() count(iqa_build_info{quality!=""})',
                    "{{kind}}",
                ),
            ),
            (Limit(6, "IqaRebalanceStorm"),),
        ),
    ),
)

_BROKER = Question(
    "Is the broker the problem?",
    (
        Panel(
            "Without an answer, without a publication",
            "Good: under a few seconds. Bad: above the line; one worker alone is its network, all of them are the broker.",
            "s",
            (
                Query("max by (instance) (iqa_broker_silent_seconds)", "no answer: {{instance}}"),
                Query("max by (instance) (iqa_publish_failing_seconds)", "all fail: {{instance}}"),
            ),
            (Limit(60, "IqaBrokerSilent"), Limit(60, "IqaPublishFailing")),
        ),
        Panel(
            "Time to publish a batch",
            "Good: under a third of a second. Bad: seconds, where the broker's disks or replicas are slow.",
            "s",
            spread("iqa_publish_seconds"),
        ),
        Panel(
            "What the broker refused, fenced, or deleted unread",
            "Good: zero. Bad: anything that stays; expired events have no verdict, refused records became dead letters.",
            "short",
            (
                Query('sum by (result) (increase(iqa_transactions_total{result!="committed"}[15m]))', "{{result}}, 15 min"),
                Query("sum(increase(iqa_publish_failures_total[15m]))", "failed batches, 15 min"),
                Query("sum(increase(iqa_producers_fenced_total[15m]))", "producers fenced, 15 min"),
                Query(f"{risen('iqa_refused_records_total', '1h')} or vector(0)", "records refused, 1 h"),
                Query(risen("iqa_expired_events_total", "1h"), "events expired, 1 h"),
                Query(risen("iqa_topics_remade_total", "1h"), "topics made anew, 1 h"),
            ),
            (Limit(10, "IqaTransactionsFail"), Limit(3, "IqaProducersFenced")),
            ("IqaRecordsRefused", "IqaEventsExpired"),
        ),
    ),
)

_TIME = Question(
    "Where does the time go?",
    (
        Panel(
            "Threads at work, by stage",
            "Good: most of it in quality and text. Bad: fetch takes most, where hosts are slow, or one stage grew.",
            "short",
            (Query(f"sum by (stage) (rate(iqa_stage_seconds_sum[{RATE}]))", "{{stage}}"),),
            stacked=True,
        ),
        Panel(
            "Slowest twentieth: stages, whole events, wait for a place",
            "Good: steady. Bad: one stage that grew, or a long wait for a place, where there are too few cores.",
            "s",
            (
                Query(quantile(0.95, "iqa_stage_seconds", "stage"), "{{stage}}"),
                Query(quantile(0.95, "iqa_event_seconds"), "whole event"),
                Query(quantile(0.95, "iqa_slot_wait_seconds"), "wait for a place"),
            ),
        ),
        Panel(
            "What the consuming thread does",
            "Good: it waits for records. Bad: it waits for room all the time, where workers are too few.",
            "percentunit",
            (Query(f"avg by (doing) (rate(iqa_loop_seconds_total[{RATE}]))", "{{doing}}"),),
            stacked=True,
            most=1,
        ),
        Panel(
            "Threads, places, queue, events in flight",
            "Good: idle threads, no queue. Bad: all threads busy and a queue that stays; with idle places, hosts are slow.",
            "short",
            (
                Query("sum by (state) (iqa_threads)", "threads {{state}}"),
                Query("sum by (state) (iqa_slots)", "places {{state}}"),
                Query("sum(iqa_queued_events)", "queued"),
                Query("sum by (lane) (iqa_in_flight_events)", "in flight: {{lane}}"),
            ),
        ),
    ),
)

FLOW = (_USERS, _LAG, _PROGRESS, _OWNERS, _BROKER, _TIME)
