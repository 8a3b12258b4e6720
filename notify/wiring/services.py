"""What callers and clients can have done, whichever way they ask."""

from __future__ import annotations

from math import ceil

import structlog

from notify.backplane.cluster import Cluster
from notify.domain.message import NO_TRACE
from notify.service.deliverer import Deliverer
from notify.service.inboxes import Inboxes
from notify.service.keys import ApiKeys
from notify.service.notifications import Notifications
from notify.service.publish import Publisher
from notify.service.scheduler import Scheduler
from notify.service.stats import ServiceStats
from notify.service.users import Users
from notify.settings.settings import Settings
from notify.store.api_keys import ApiKeyStore
from notify.store.idempotency import IdempotencyKeys
from notify.store.notifications.erasure import Erasure
from notify.store.notifications.plans import DELIVER
from notify.store.notifications.records import Records
from notify.store.notifications.retractions import RETRACT, Retractions
from notify.wiring.storage import Storage


class Services:
    """Publishing, what is scheduled, what was published, inboxes, people and API keys."""

    def __init__(
        self, settings: Settings, storage: Storage, cluster: Cluster, *, stats: ServiceStats
    ) -> None:
        redis, keys, clock = storage.redis, storage.keys, storage.clock
        self.publisher = Publisher(
            log=storage.log,
            plans=storage.plans,
            idempotency_keys=IdempotencyKeys(redis, keys),
            stats=stats,
            now=clock.now,
            trace=_request_id,
            inbox_ttl_s=ceil(settings.inbox_ttl),
        )
        retractions = Retractions(redis, keys, storage.inbox)
        self.notifications = Notifications(
            records=Records(redis, keys),
            inbox=storage.inbox,
            retractions=retractions,
            stats=stats,
            trace=_request_id,
        )
        self.scheduler = Scheduler(due=storage.due, stats=stats, now_ms=clock.now_ms)
        storage.due.on_added = self.scheduler.expect
        deliverer = Deliverer(log=storage.log, plans=storage.plans, stats=stats, now_ms=clock.now_ms)
        self.scheduler.register(DELIVER, deliverer.deliver)
        self.scheduler.register(RETRACT, self.notifications.finish_retractions)
        self.inboxes = Inboxes(inbox=storage.inbox, stats=stats, trace=_request_id)
        self.users = Users(
            cluster=cluster,
            sessions=storage.sessions,
            erasure=Erasure(redis, keys, inbox=storage.inbox, retractions=retractions),
            stats=stats,
        )
        self.api_keys = ApiKeys(
            ApiKeyStore(redis, keys), configured=[key.reveal() for key in settings.api_keys]
        )


def _request_id() -> str:
    """The id of the request that is being worked on."""
    found: str = structlog.contextvars.get_contextvars().get("request_id", NO_TRACE)
    return found
