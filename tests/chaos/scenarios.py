"""Every scenario, in the order in which they are played."""

from __future__ import annotations

from tests.chaos.break_brokers import cut_network, disk_full, half_open, kill_brokers, slow_network, stop_brokers
from tests.chaos.break_events import (
    SLOW,
    bad_hosts,
    dripping_host,
    every_kind,
    hanging_hosts,
    odd_ones,
    poison,
    some_flaky,
)
from tests.chaos.break_redis import failover, redis_frozen, redis_full, redis_killed, snapshot_restored
from tests.chaos.break_topics import retention, rights_taken, topic_remade
from tests.chaos.break_workers import clock_jumps, coming_and_going, kill_workers, shared_transactional_id, sigterm_storm
from tests.chaos.prober import Truth
from tests.chaos.scenario import Form, Scenario

__all__ = ["SCENARIOS"]

PAUSE_S = 5.0
"""Where nothing that is broken justifies more."""

READY = Truth(ready=True)
ONE_ID = {"IQA_KAFKA__TRANSACTIONAL_ID": "chaos-shared"}
SLOW_FETCHES = {"IQA_FETCH__TOTAL_TIMEOUT_S": "8"}

SCENARIOS = (
    Scenario("kill_workers", kill_workers, Form(600, 4, 0), Form(10_000, 50, 0), whole=True, most_pause_s=15, truth=READY),
    Scenario("sigterm_storm", sigterm_storm, Form(500, 4, 0), Form(3000, 25, 0), whole=True, truth=READY),
    Scenario("coming_and_going", coming_and_going, Form(2000, 5, 0), Form(10_000, 30, 0), truth=READY),
    Scenario("stop_brokers", stop_brokers, Form(4000, 1, 2), Form(20_000, 6, 10)),
    Scenario("kill_brokers", kill_brokers, Form(4000, 1, 2), Form(20_000, 6, 10)),
    Scenario("slow_network", slow_network, Form(1000, 1, 6), Form(5000, 1, 60), truth=READY),
    # Without an answer for 15 s a worker does not call itself ready; it asks every 5 s.
    Scenario("cut_network", cut_network, Form(2000, 1, 4), Form(10_000, 5, 30), truth=Truth(unready_within_s=25)),
    Scenario("half_open", half_open, Form(2000, 1, 0), Form(10_000, 4, 0)),
    Scenario("redis_killed", redis_killed, Form(2000, 1, 2), Form(10_000, 5, 20), partition_pause_s=PAUSE_S, truth=READY),
    Scenario("redis_frozen", redis_frozen, Form(2000, 1, 4), Form(10_000, 1, 120), partition_pause_s=PAUSE_S, truth=READY),
    Scenario("redis_full", redis_full, Form(2000, 1, 4), Form(10_000, 1, 60), partition_pause_s=PAUSE_S, truth=READY),
    Scenario(
        "snapshot_restored", snapshot_restored, Form(600, 1, 2), Form(5000, 5, 10), partition_pause_s=PAUSE_S, truth=READY
    ),
    Scenario("failover", failover, Form(2000, 2, 1.5), Form(10_000, 6, 10), partition_pause_s=PAUSE_S, truth=READY),
    Scenario("disk_full", disk_full, Form(6000, 1, 1), Form(20_000, 1, 20)),
    Scenario("bad_hosts", bad_hosts, Form(96, 1, 0), Form(800, 1, 0), kind=every_kind, whole=True, truth=READY),
    Scenario(
        "poison",
        poison,
        Form(300, 300, 0),
        Form(3000, 5000, 0),
        kind=odd_ones,
        whole=True,
        partition_pause_s=PAUSE_S,
        truth=READY,
    ),
    Scenario("topic_remade", topic_remade, Form(3000, 1, 3), Form(10_000, 5, 10)),
    Scenario("retention", retention, Form(2000, 1, 0), Form(10_000, 5, 0)),
    # A look every 5 s, whose answer may take 4.
    Scenario("rights_taken", rights_taken, Form(3000, 2, 2), Form(10_000, 4, 20), truth=Truth(unready_within_s=15)),
    Scenario("clock_jumps", clock_jumps, Form(1500, 1, 3), Form(6000, 1, 20), kind=some_flaky),
    Scenario(
        "hanging_hosts",
        hanging_hosts,
        Form(6000, 40, 0),
        Form(20_000, 160, 0),
        partition_pause_s=PAUSE_S,
        slow=SLOW,
        truth=READY,
    ),
    Scenario(
        "dripping_host",
        dripping_host,
        Form(6000, 2, 0),
        Form(20_000, 20, 0),
        partition_pause_s=PAUSE_S,
        slow=SLOW,
        truth=READY,
        environment=SLOW_FETCHES,
    ),
    Scenario(
        "shared_transactional_id",
        shared_transactional_id,
        Form(2000, 1, 4),
        Form(10_000, 1, 60),
        truth=READY,
        environment=ONE_ID,
    ),
)
