"""Every counter of a part appears as a metric, by Prometheus's conventions."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from notify.backplane.stats import BackplaneStats
from notify.gateway.stats import GatewayStats
from notify.ops.lifecycle import State
from notify.ops.metrics import COUNTED, Metrics
from notify.redis.stats import RedisStats
from notify.service.stats import ServiceStats

PARTS = {"gateway": GatewayStats, "backplane": BackplaneStats, "store": RedisStats, "service": ServiceStats}


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("part", PARTS)
def test_every_field_that_is_counted_is_shown(part: str):
    shown = {counted.field for counted in COUNTED if counted.part == part}
    assert shown == {field.name for field in dataclasses.fields(PARTS[part])}


def test_values_reach_the_samples():
    gateway, store = GatewayStats(), RedisStats()
    gateway.polling_connections, gateway.websocket_connections = 2, 3
    gateway.slow_consumers += 1
    gateway.connect_errors["token_expired"] += 4
    store.connected = True
    found = samples(Metrics(gateway=gateway, store=store))
    assert found["notify_connections", (("transport", "polling"),)] == 2
    assert found["notify_connections", (("transport", "websocket"),)] == 3
    assert found["notify_slow_consumers_total", ()] == 1
    assert found["notify_connect_errors_total", (("code", "token_expired"),)] == 4
    assert found["notify_redis_connected", ()] == 1
    gateway.slow_consumers += 1
    assert samples(Metrics(gateway=gateway))["notify_slow_consumers_total", ()] == 2


def test_keys_of_several_words_become_several_labels():
    stats = SimpleNamespace(
        requests=Counter({("publish", 202): 3}), errors=Counter(), refused=Counter(), seconds={}
    )
    stats.body_bytes = stats.bodies_in_memory = 0
    found = samples(Metrics(ingest=stats))
    assert found["notify_http_requests_total", (("route", "publish"), ("status", "202"))] == 3


def test_the_state_is_one_of_all_states():
    metrics = Metrics()
    metrics.state(State.DRAINING)
    found = {name: value for name, value in samples(metrics).items() if name[0] == "notify_state"}
    assert found[("notify_state", (("state", "draining"),))] == 1
    assert sum(found.values()) == 1
    assert len(found) == 4


def test_names_keep_to_the_conventions():
    for family in text_string_to_metric_families(
        Metrics(**{name: stats() for name, stats in PARTS.items()}).render().decode()
    ):
        if not family.name.startswith(("process_", "python_")):
            assert re.fullmatch(r"notify_[a-z_]+[a-z]", family.name)
            assert family.documentation
