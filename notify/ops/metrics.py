"""Every metric, declared once.

The hot paths count in plain integers (`stats.py` of each package); they are turned into metrics when
Prometheus asks. What is observed less often, such as requests, uses the attributes of `Metrics` directly.
`docs/metrics.md` has the table for operators: type, labels and what to do about it.
"""

from __future__ import annotations

import platform
from collections import Counter as Count
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

import notify
from notify.backplane.stats import BackplaneStats
from notify.domain.histogram import Histogram as PlainHistogram
from notify.gateway.stats import GatewayStats
from notify.ops.lifecycle import State
from notify.service.stats import ServiceStats
from notify.store.stats import StoreStats

REQUEST_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Stats = GatewayStats | BackplaneStats | StoreStats | ServiceStats


@dataclass(frozen=True, slots=True)
class _Counted:
    """How one field of a stats class appears. Counters get `_total` from the library."""

    of: type[Stats]
    field: str
    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    label: str | None = None
    """The label that the keys of a `Counter` field become."""
    value: str | None = None
    """A fixed value of `label`, for fields that are several samples of one metric."""


_G, _B, _S, _V = GatewayStats, BackplaneStats, StoreStats, ServiceStats
_c: Literal["counter"] = "counter"
_g: Literal["gauge"] = "gauge"

# fmt: off
# ruff: noqa: E501 - a table
COUNTED = (
    _Counted(_G, "polling_connections", _g, "notify_connections", "Open connections", "transport", "polling"),
    _Counted(_G, "websocket_connections", _g, "notify_connections", "Open connections", "transport", "websocket"),
    _Counted(_G, "opened", _c, "notify_connections_opened", "Connections opened", "transport"),
    _Counted(_G, "upgrades", _c, "notify_upgrades", "Connections upgraded from long-polling to websocket"),
    _Counted(_G, "closed", _c, "notify_connections_closed", "Connections closed", "reason"),
    _Counted(_G, "handshakes_refused", _c, "notify_handshakes_refused", "Handshakes refused before a connection", "reason"),
    _Counted(_G, "connects", _c, "notify_connects", "Clients let into a namespace"),
    _Counted(_G, "connect_errors", _c, "notify_connect_errors", "Clients not let into a namespace", "code"),
    _Counted(_G, "recovered", _c, "notify_recovered", "Clients that got their session and what they missed"),
    _Counted(_G, "not_recovered", _c, "notify_not_recovered", "Clients told that they lost their place", "reason"),
    _Counted(_G, "replayed_messages", _c, "notify_replayed_messages", "Missed messages replayed to clients"),
    _Counted(_G, "slow_consumers", _c, "notify_slow_consumers", "Connections cut because they did not read"),
    _Counted(_G, "protocol_errors", _c, "notify_protocol_errors", "Connections closed because of what they sent"),
    _Counted(_G, "expired_sessions", _c, "notify_expired_sessions", "Connections closed because their token expired"),
    _Counted(_G, "drained_connections", _c, "notify_drained_connections", "Connections closed by a drain"),
    _Counted(_G, "messages_in", _c, "notify_messages_received", "Events received from clients"),
    _Counted(_G, "deliveries", _c, "notify_deliveries", "Events handed to connections"),
    _Counted(_G, "bytes_out", _c, "notify_sent_bytes", "Payload bytes handed to connections"),
    _Counted(_B, "subscribed", _g, "notify_subscribed", "1 while this node hears what is published"),
    _Counted(_B, "topics", _g, "notify_topics", "Channels this node is subscribed to"),
    _Counted(_B, "messages", _c, "notify_topic_messages", "Messages received from Redis"),
    _Counted(_B, "duplicates", _c, "notify_duplicate_messages", "Messages dropped because they had been delivered"),
    _Counted(_B, "malformed", _c, "notify_malformed_messages", "Messages dropped because they made no sense", "channel"),
    _Counted(_B, "resubscriptions", _c, "notify_resubscriptions", "Subscriber connections made again"),
    _Counted(_B, "gap_messages", _c, "notify_gap_messages", "Messages read from the logs after a lost connection"),
    _Counted(_B, "gaps_lost", _c, "notify_gaps_lost", "Channels whose log did not reach back to the hole"),
    _Counted(_B, "epochs", _c, "notify_epoch_changes", "Times Redis was found to have lost its data"),
    _Counted(_B, "canary_lag_s", _g, "notify_canary_lag_seconds", "What the last message to oneself took"),
    _Counted(_B, "canaries_lost", _c, "notify_canaries_lost", "Messages to oneself that did not come back in time"),
    _Counted(_B, "commands", _c, "notify_node_commands", "Messages between nodes", "command"),
    _Counted(_S, "connected", _g, "notify_redis_connected", "1 while commands reach Redis"),
    _Counted(_S, "commands", _c, "notify_redis_commands", "Commands sent to Redis"),
    _Counted(_S, "pipelines", _c, "notify_redis_pipelines", "Writes to Redis, each of one or more commands"),
    _Counted(_S, "errors", _c, "notify_redis_errors", "Commands that Redis did not carry out", "kind"),
    _Counted(_S, "reconnects", _c, "notify_redis_reconnects", "Command connections made again"),
    _Counted(_S, "latency_s", _c, "notify_redis_latency_seconds", "Time spent waiting for answers of Redis"),
    _Counted(_S, "answered", _c, "notify_redis_answers", "Commands that Redis answered"),
    _Counted(_V, "published", _c, "notify_published", "Notifications accepted", "target"),
    _Counted(_V, "channels", _c, "notify_published_channels", "Channels that accepted notifications went to"),
    _Counted(_V, "refused", _c, "notify_refused", "Notifications not accepted", "code"),
    _Counted(_V, "idempotent_replays", _c, "notify_idempotent_replays", "Requests answered as an earlier one with their key"),
    _Counted(_V, "client_messages", _c, "notify_client_messages", "Messages from client to client"),
)
# fmt: on


class Metrics:
    """All metrics of one node, in a registry of their own."""

    def __init__(self, *stats: Stats) -> None:
        """`stats` are the ones that the parts of this node count in; each class at most once."""
        self.registry = CollectorRegistry()
        self.http_requests = Counter(
            "notify_http_requests",
            "Requests to the HTTP API",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.http_request_seconds = Histogram(
            "notify_http_request_seconds",
            "Time from a request to its answer",
            ["method", "route"],
            buckets=REQUEST_BOUNDS_S,
            registry=self.registry,
        )
        self._state = Gauge(
            "notify_state", "1 for the state that this node is in", ["state"], registry=self.registry
        )
        build = Gauge("notify_build_info", "Always 1", ["version", "python"], registry=self.registry)
        build.labels(notify.__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(_StatsCollector(stats))
        self.state(State.STARTING)

    def state(self, now: State) -> None:
        """Show the state this node is in; fits `Lifecycle.on_change`."""
        for state in State:
            self._state.labels(state.value).set(state is now)

    def render(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry)


class _StatsCollector(Collector):
    def __init__(self, stats: Iterable[Stats]) -> None:
        self._stats = {type(each): each for each in stats}

    def collect(self) -> Iterator[Any]:
        families: dict[str, Any] = {}
        for counted in COUNTED:
            stats = self._stats.get(counted.of)
            if stats is None:
                continue
            if counted.name not in families:
                families[counted.name] = _family(counted)
            _add(families[counted.name], counted, getattr(stats, counted.field))
        yield from families.values()


def _family(counted: _Counted) -> Any:
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    return kinds[counted.kind](counted.name, counted.help, labels=[counted.label] if counted.label else None)


def _add(family: Any, counted: _Counted, value: Any) -> None:
    if isinstance(value, PlainHistogram):
        seen, buckets = 0, []
        for bound, count in zip((*map(str, value.bounds), "+Inf"), value.counts, strict=True):
            seen += count
            buckets.append((bound, seen))
        family.add_metric([], buckets, value.total)
    elif isinstance(value, Count):
        for key, number in sorted(value.items()):
            family.add_metric([str(key)], number)
    else:
        family.add_metric([counted.value] if counted.value else [], float(value))
