"""Durations reach Prometheus as histograms."""

from __future__ import annotations

from notify.domain.histogram import Histogram
from notify.ingest.stats import IngestStats
from notify.ops.metrics import Metrics
from notify.redis.stats import RedisStats
from tests.ops.test_metrics import samples


def test_a_duration_counts_for_its_bound_and_all_above():
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 5.0):
        histogram.observe(seconds)
    assert histogram.counts == [2, 1, 1]
    assert histogram.total_s == 5.65


def test_what_took_how_long_can_be_asked_of_prometheus():
    store, ingest = RedisStats(), IngestStats()
    for seconds in (0.0004, 0.02, 60.0):
        store.latency.observe(seconds)
    ingest.seconds["publish"].observe(0.3)
    found = samples(Metrics(store=store, ingest=ingest))
    name = "notify_redis_latency_seconds"
    assert found[f"{name}_bucket", (("le", "0.0005"),)] == 1
    assert found[f"{name}_bucket", (("le", "0.025"),)] == 2
    assert found[f"{name}_bucket", (("le", "+Inf"),)] == 3
    assert found[f"{name}_count", ()] == 3
    assert found[f"{name}_sum", ()] == 60.0204
    name = "notify_http_request_seconds"
    assert found[f"{name}_bucket", (("le", "0.25"), ("route", "publish"))] == 0
    assert found[f"{name}_bucket", (("le", "0.5"), ("route", "publish"))] == 1
