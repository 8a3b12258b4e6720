"""The verbs about one notification after it was accepted: how far it has come, and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from notify.domain.errors import NotFound
from notify.domain.inbox import State
from notify.domain.message import NO_TRACE
from notify.domain.moments import timestamp
from notify.domain.notifications.receipts import Receipts, RecipientPage, Standing, cursor, page_of
from notify.service.inboxes import shown_time
from notify.service.stats import ServiceStats
from notify.store.inbox import Inbox
from notify.store.notifications.records import Records
from notify.store.notifications.retractions import Retractions

PIECE = 100
"""Inboxes that are asked about one notification at the same time."""


log = structlog.get_logger(__name__)


class Notifications:
    """Looks notifications up, and takes them back.

    All verbs raise Unavailable, and NotFound for what is not known (any more).
    """

    def __init__(
        self,
        *,
        records: Records,
        inbox: Inbox,
        retractions: Retractions,
        stats: ServiceStats,
        trace: Callable[[], str] = lambda: NO_TRACE,
    ) -> None:
        """`trace` is one word for what is being worked on, a request id: it goes with what is published."""
        self._records = records
        self._inbox = inbox
        self._retractions = retractions
        self._stats = stats
        self._trace = trace

    async def find(self, notification_id: str) -> tuple[Standing, Receipts]:
        """How a notification stands, and how far it has come: counted from the inboxes that have it now."""
        standing, states = await self._look(notification_id)
        return standing, Receipts.of(states)

    async def find_with_recipients(
        self, notification_id: str, *, after: str | None, limit: int
    ) -> tuple[Standing, Receipts, RecipientPage]:
        """The same, with those whose inboxes have it, by name, from the one behind `after` on."""
        standing, states = await self._look(notification_id)
        page = page_of(standing.holders, states, after=after, limit=limit)
        return standing, Receipts.of(states), page

    async def retract(self, notification_id: str) -> None:
        """Cancel a scheduled one, or take one out of inboxes and off screens; once more is no error.

        After Unavailable it is as it was, or retracted, and then a node finishes it as soon as Redis answers.
        """
        verdict = await self._retractions.begin(notification_id)
        if verdict == "unknown":
            raise NotFound("No notification of that id is known (any more)")
        if verdict == "begun":
            await self._retractions.finish(notification_id, trace=self._trace())
        if verdict != "done":
            self._stats.retracted["cancelled" if verdict == "cancelled" else "sent"] += 1
            log.info("retracted", id=notification_id, cancelled=verdict == "cancelled")

    async def finish_retractions(self, notification_ids: Sequence[str]) -> Mapping[str, Exception]:
        """Finish what some node has begun and not finished: the handler of `retract` on the due list."""
        for id_ in notification_ids:
            await self._retractions.finish(id_)
            self._stats.retracted["taken_over"] += 1
            log.info("retraction_taken_over", id=id_)
        return {}

    async def _look(self, notification_id: str) -> tuple[Standing, list[State | None]]:
        standing = await self._records.find(notification_id)
        if standing is None:
            raise NotFound("No notification of that id is known (any more)")
        self._stats.notification_lookups[standing.status] += 1
        if standing.status != "accepted":
            return standing, [None] * len(standing.holders)  # what is still in an inbox is on its way out
        states: list[State | None] = []
        for begin in range(0, len(standing.holders), PIECE):
            states += await self._inbox.states(notification_id, standing.holders[begin : begin + PIECE])
        return standing, states


def shown_standing(standing: Standing, receipts: Receipts) -> dict[str, Any]:
    """A notification as callers see it: what was posted, and how far it has come."""
    return {
        **standing.shown,
        "id": standing.id,
        "status": standing.status,
        "created_at": timestamp(standing.created_ms),
        "expires_at": shown_time(standing.expires_ms),
        "deliver_at": standing.shown.get("deliver_at"),
        "recipients": standing.recipients,
        "delivered": receipts.delivered,
        "seen": receipts.seen,
        "read": receipts.read,
        "archived": receipts.archived,
    }


def shown_recipients(page: RecipientPage) -> dict[str, Any]:
    """A page of recipients as callers see it, beside the rest."""
    return {
        "users": [
            {
                "user": one.user,
                "delivered": one.state.delivered or one.state.seen_at_ms is not None,
                "seen_at": shown_time(one.state.seen_at_ms),
                "read_at": shown_time(one.state.read_at_ms),
                "archived_at": shown_time(one.state.archived_at_ms),
            }
            for one in page.recipients
        ],
        "next": cursor(page.next),
    }
