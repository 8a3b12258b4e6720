"""Every metric, declared once.

The parts count in plain integers (`stats.py` of each package), which are turned into metrics when Prometheus
asks: a hot path pays for an addition and no more.
`docs/metrics.md` has the table for operators: type, labels and what to do about it.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Gauge, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

import notify
from notify.domain.histogram import Histogram
from notify.ops.lifecycle import State

Part = Literal["ingest", "gateway", "service", "backplane", "store", "logs", "http", "auth", "clock"]


@dataclass(frozen=True, slots=True)
class _Counted:
    """How one field of the stats of a part appears. Counters get `_total` from the library."""

    part: Part
    field: str
    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    label: str | None = None
    """The label that the keys of a `Counter` field become; names with a comma between for keys that are tuples."""
    value: str | None = None
    """A fixed value of `label`, for fields that are several samples of one metric."""


_c: Literal["counter"] = "counter"
_g: Literal["gauge"] = "gauge"
_h: Literal["histogram"] = "histogram"

# fmt: off
# ruff: noqa: E501 - a table
COUNTED = (
    _Counted("ingest", "requests", _c, "notify_http_requests", "Requests to the HTTP API", "route,status"),
    _Counted("ingest", "errors", _c, "notify_http_errors", "Requests to the HTTP API that were refused", "code"),
    _Counted("ingest", "seconds", _h, "notify_http_request_seconds", "What requests to the HTTP API took", "route"),
    _Counted("ingest", "refused", _c, "notify_refused", "Notifications not accepted", "code"),
    _Counted("ingest", "body_bytes", _c, "notify_http_body_bytes", "Bytes of request bodies read"),
    _Counted("ingest", "bodies_in_memory", _g, "notify_http_bodies_in_memory_bytes", "Bytes of large request bodies held now"),
    _Counted("gateway", "polling_connections", _g, "notify_connections", "Open connections", "transport", "polling"),
    _Counted("gateway", "websocket_connections", _g, "notify_connections", "Open connections", "transport", "websocket"),
    _Counted("gateway", "opened", _c, "notify_connections_opened", "Connections opened", "transport"),
    _Counted("gateway", "upgrades", _c, "notify_upgrades", "Connections upgraded from long-polling to websocket"),
    _Counted("gateway", "upgrades_elsewhere", _c, "notify_upgrades_elsewhere", "Upgrades refused because another node has the session"),
    _Counted("gateway", "sessions_moved", _c, "notify_sessions_moved", "Upgrades to websocket here of sessions that another node had", "outcome"),
    _Counted("gateway", "passed_on", _c, "notify_passed_on", "Requests of long-polling clients passed on to the node that has their session", "what,outcome"),
    _Counted("gateway", "links", _g, "notify_links", "Links to other nodes", "made"),
    _Counted("gateway", "closed", _c, "notify_connections_closed", "Connections closed", "reason"),
    _Counted("gateway", "handshakes_refused", _c, "notify_handshakes_refused", "Handshakes refused before a connection", "reason"),
    _Counted("gateway", "connects", _c, "notify_connects", "Clients let into a namespace"),
    _Counted("gateway", "connects_waiting", _g, "notify_connects_waiting", "Clients that wait for their turn to be let into a namespace"),
    _Counted("gateway", "connect_errors", _c, "notify_connect_errors", "Clients not let into a namespace", "code"),
    _Counted("gateway", "recovered", _c, "notify_recovered", "Clients that got their session and what they missed"),
    _Counted("gateway", "not_recovered", _c, "notify_not_recovered", "Clients told that they lost their place", "reason"),
    _Counted("gateway", "replayed_messages", _c, "notify_replayed_messages", "Missed messages replayed to clients"),
    _Counted("gateway", "slow_consumers", _c, "notify_slow_consumers", "Connections cut because they did not read"),
    _Counted("gateway", "floods", _c, "notify_floods", "Connections closed because they sent more than any client does"),
    _Counted("gateway", "crowded_out", _c, "notify_crowded_out", "Connections ended before they were in a namespace, because too many were in none"),
    _Counted("gateway", "protocol_errors", _c, "notify_protocol_errors", "Connections closed because of what they sent"),
    _Counted("gateway", "expired_sessions", _c, "notify_expired_sessions", "Connections closed because their token expired"),
    _Counted("gateway", "drained_connections", _c, "notify_drained_connections", "Connections closed by a drain"),
    _Counted("gateway", "messages_in", _c, "notify_messages_received", "Events received from clients"),
    _Counted("backplane", "deliveries", _c, "notify_deliveries", "Messages handed to connections"),
    _Counted("gateway", "bytes_out", _c, "notify_sent_bytes", "Payload bytes handed to connections"),
    _Counted("backplane", "subscribed", _g, "notify_subscribed", "1 while this node hears what is published"),
    _Counted("backplane", "topics", _g, "notify_topics", "Channels this node is subscribed to"),
    _Counted("backplane", "messages", _c, "notify_topic_messages", "Messages received from Redis"),
    _Counted("backplane", "duplicates", _c, "notify_duplicate_messages", "Messages dropped because they had been delivered"),
    _Counted("backplane", "malformed", _c, "notify_malformed_messages", "Messages dropped because they made no sense", "channel"),
    _Counted("backplane", "resubscriptions", _c, "notify_resubscriptions", "Subscriber connections made again"),
    _Counted("backplane", "gap_messages", _c, "notify_gap_messages", "Messages read from the logs after a lost connection"),
    _Counted("backplane", "gaps_lost", _c, "notify_gaps_lost", "Channels whose log did not reach back to what was missed"),
    _Counted("backplane", "epochs", _c, "notify_epoch_changes", "Times Redis was found to have lost its data"),
    _Counted("backplane", "canary_lag_s", _g, "notify_canary_lag_seconds", "What the last message to oneself took"),
    _Counted("backplane", "canaries_lost", _c, "notify_canaries_lost", "Messages to oneself that did not come back in time"),
    _Counted("backplane", "commands", _c, "notify_node_commands", "Messages between nodes", "command"),
    _Counted("store", "connected", _g, "notify_redis_connected", "1 while commands reach Redis"),
    _Counted("store", "commands", _c, "notify_redis_commands", "Commands sent to Redis"),
    _Counted("store", "pipelines", _c, "notify_redis_pipelines", "Writes to Redis, each of one or more commands"),
    _Counted("store", "errors", _c, "notify_redis_errors", "Commands that Redis did not carry out", "kind"),
    _Counted("store", "reconnects", _c, "notify_redis_reconnects", "Command connections made again"),
    _Counted("store", "latency", _h, "notify_redis_latency_seconds", "What answers of Redis took"),
    _Counted("store", "writes_refused", _c, "notify_redis_writes_refused", "Writes that Redis would not take", "reason"),
    _Counted("auth", "keys_known", _g, "notify_token_keys_known", "0 while the issuer's keys were never fetched, and nobody can connect"),
    _Counted("clock", "ahead_s", _g, "notify_clock_ahead_seconds", "By how much this machine's clock is ahead of Redis'"),
    _Counted("service", "published", _c, "notify_published", "Notifications accepted", "target"),
    _Counted("service", "channels", _c, "notify_published_channels", "Channels that accepted notifications went to"),
    _Counted("service", "idempotent_replays", _c, "notify_idempotent_replays", "Requests answered as an earlier one with their key"),
    _Counted("service", "retracted", _c, "notify_retracted", "Notifications retracted", "what"),
    _Counted("service", "erased", _c, "notify_erased", "Users erased"),
    _Counted("service", "notification_lookups", _c, "notify_notification_lookups", "Notifications that were asked about", "status"),
    _Counted("service", "inbox_lists", _c, "notify_inbox_lists", "Lists of inboxes answered"),
    _Counted("service", "inbox_marks", _c, "notify_inbox_marks", "Marks of inboxes carried out", "as"),
    _Counted("service", "inbox_drifts", _c, "notify_inbox_drifts", "Differences found by counting inboxes again"),
    _Counted("service", "scheduled", _c, "notify_scheduled", "What became of notifications with a time of their own", "outcome"),
    _Counted("service", "late", _h, "notify_scheduled_late_seconds", "How long after their time they were delivered"),
    _Counted("service", "due", _g, "notify_due", "Notifications that wait for their time, and retractions to be finished, in all"),
    _Counted("service", "due_failures", _c, "notify_due_failures", "Times that something due could not be done", "kind"),
    _Counted("http", "connections", _g, "notify_http_connections", "Open connections that are no websockets", "port"),
    _Counted("http", "ended", _c, "notify_http_connections_ended", "HTTP connections that were ended", "port,reason"),
    _Counted("logs", "lines", _c, "notify_log_lines", "Lines written to the log"),
    _Counted("logs", "dropped", _c, "notify_log_lines_dropped", "Lines that were not written to the log", "reason"),
    _Counted("service", "client_messages", _c, "notify_client_messages", "Messages from client to client"),
)
# fmt: on


class Metrics:
    """All metrics of one node, in a registry of their own."""

    def __init__(self, **stats: object) -> None:
        """`stats` are what the parts of this node count in: `Metrics(gateway=GatewayStats(), ...)`."""
        self.registry = CollectorRegistry()
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
    def __init__(self, stats: Mapping[str, object]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Any]:
        families: dict[str, Any] = {}
        for counted in COUNTED:
            if counted.part in self._stats:
                family = families.get(counted.name) or families.setdefault(counted.name, _family(counted))
                _add(family, counted, getattr(self._stats[counted.part], counted.field))
        yield from families.values()


def _family(counted: _Counted) -> Any:
    kinds = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    labels = counted.label.split(",") if counted.label else None
    return kinds[counted.kind](counted.name, counted.help, labels=labels)


def _add(family: Any, counted: _Counted, value: Any) -> None:
    if isinstance(value, Histogram):
        _add_histogram(family, [], value)
    elif counted.kind == "histogram":
        for key, histogram in sorted(value.items()):
            _add_histogram(family, [key], histogram)
    elif isinstance(value, Counter):
        for key, number in sorted(value.items()):
            family.add_metric(list(map(str, key if isinstance(key, tuple) else (key,))), number)
    else:
        family.add_metric([counted.value] if counted.value else [], float(value))


def _add_histogram(family: Any, labels: list[str], histogram: Histogram) -> None:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total_s)
