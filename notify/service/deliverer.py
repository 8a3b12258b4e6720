"""Delivers what was scheduled: the handler of `deliver` on the due list."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import structlog

from notify.domain.errors import NotifyError
from notify.service.pieces import Once, pieces
from notify.service.stats import ServiceStats
from notify.store.log import Log
from notify.store.notifications.plans import Plans

log = structlog.get_logger(__name__)


class Deliverer:
    """Publishes plans whose time has come, each piece of them once, whoever else is at it."""

    def __init__(self, *, log: Log, plans: Plans, stats: ServiceStats, now_ms: Callable[[], int]) -> None:
        """`now_ms` is the time by Redis' clock."""
        self._log = log
        self._plans = plans
        self._stats = stats
        self._now_ms = now_ms

    async def deliver(self, notification_id: str) -> None:
        """Publish it to every channel of its target, then drop its plan.

        One that expired while no node lived is dropped as it is. Raises Unavailable: what was begun is
        finished by calling again. Raises ValueError for a plan that a newer version made.
        """
        plan = await self._plans.get(notification_id)
        if plan is None:  # delivered, or cancelled
            await self._plans.drop(notification_id)
            return
        accepted, notification = plan.accepted, plan.notification
        if accepted.expires_ms is not None and accepted.expires_ms <= self._now_ms():
            await self._plans.drop(notification_id)
            self._stats.scheduled["expired"] += 1
            log.warning("expired_before_delivery", id=notification_id, request_id=plan.trace)
            return
        # Remembered for as long as the plan is kept: a node that dies before it drops the plan, and one that
        # lives again only days later, must not make a second delivery of it.
        once = Once(accepted.id, remembered_s=ceil((plan.kept_until_ms - plan.deliver_ms) / 1000))
        entries = pieces(accepted, notification, once=once, trace=plan.trace)
        for outcome in await self._log.append(*entries):
            if isinstance(outcome, NotifyError):
                raise outcome
        late_ms = max(0, self._now_ms() - plan.deliver_ms)
        await self._plans.drop(notification_id)
        self._stats.scheduled["delivered"] += 1
        self._stats.late.observe(late_ms / 1000)
        self._stats.channels += notification.target.size
        log.info("delivered", id=notification_id, late_ms=late_ms, request_id=plan.trace)
