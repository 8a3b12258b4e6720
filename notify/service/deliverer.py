"""Delivers what was scheduled: the handler of `deliver` on the due list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import structlog

from notify.domain.errors import NotifyError
from notify.domain.notifications.plan import Plan
from notify.service.pieces import Once, pieces
from notify.service.stats import ServiceStats
from notify.store.log import Entry, Log
from notify.store.notifications.plans import Plans


class Deliverer:
    """Publishes plans whose time has come, each piece of them once, whoever else is at it."""

    def __init__(self, *, log: Log, plans: Plans, stats: ServiceStats, now_ms: Callable[[], int]) -> None:
        """`now_ms` is the time by Redis' clock."""
        self._log = log
        self._plans = plans
        self._stats = stats
        self._now_ms = now_ms
        # Bound once: a logger of a module is made anew for each line.
        self._journal = structlog.get_logger(__name__).bind()

    async def deliver(self, notification_ids: Sequence[str]) -> Mapping[str, Exception]:
        """Publish each to every channel of its target, then drop its plan; what kept some from it, by id.

        They are read, published and dropped together, so that few round trips serve many. One that expired
        while no node lived is dropped as it is; a ValueError stands for a plan that a newer version made.
        Raises Unavailable: what was begun is finished by calling again.
        """
        failed: dict[str, Exception] = {}
        gone: list[str] = []
        expired: dict[str, Plan] = {}
        published: dict[str, Plan] = {}
        entries: list[Entry] = []
        owners: list[str] = []
        for id_, plan in zip(notification_ids, await self._plans.read(notification_ids), strict=True):
            if plan is None:  # delivered, or cancelled
                gone.append(id_)
            elif isinstance(plan, ValueError):
                failed[id_] = plan
            elif plan.accepted.expires_ms is not None and plan.accepted.expires_ms <= self._now_ms():
                expired[id_] = plan
            else:
                its = _pieces(plan)
                entries += its
                owners += [id_] * len(its)
                published[id_] = plan
        for id_, outcome in zip(owners, await self._log.append(*entries), strict=True):
            if isinstance(outcome, NotifyError):
                failed[id_] = outcome
                published.pop(id_, None)
        now_ms = self._now_ms()
        if gone or expired or published:
            await self._plans.drop(*gone, *expired, *published)
        for id_, plan in expired.items():
            self._stats.scheduled["expired"] += 1
            self._journal.warning("expired_before_delivery", id=id_, request_id=plan.trace)
        for id_, plan in published.items():
            late_ms = max(0, now_ms - plan.deliver_ms)
            self._stats.scheduled["delivered"] += 1
            self._stats.late.observe(late_ms / 1000)
            self._stats.channels += plan.notification.target.size
            self._journal.info("delivered", id=id_, late_ms=late_ms, request_id=plan.trace)
        return failed


def _pieces(plan: Plan) -> list[Entry]:
    # Remembered for as long as the plan is kept: a node that dies before it drops the plan, and one that
    # lives again only days later, must not make a second delivery of it.
    once = Once(plan.accepted.id, remembered_s=ceil((plan.kept_until_ms - plan.deliver_ms) / 1000))
    return pieces(plan.accepted, plan.notification, once=once, trace=plan.trace)
