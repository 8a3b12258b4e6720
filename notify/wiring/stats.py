"""What a node counts, by storey."""

from __future__ import annotations

from notify.backplane.stats import BackplaneStats
from notify.gateway.stats import GatewayStats
from notify.ingest.stats import IngestStats
from notify.redis.stats import RedisStats
from notify.service.stats import ServiceStats


class Stats:
    """The counters of one node. Each storey gets its own; the metrics show all of them."""

    def __init__(self) -> None:
        self.gateway = GatewayStats()
        self.backplane = BackplaneStats()
        self.ingest = IngestStats()
        self.service = ServiceStats()
        self.redis = RedisStats()
