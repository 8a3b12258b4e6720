"""The verbs about inboxes: what came while somebody was away, and what they have done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from notify.domain.inbox import (
    PAGE_BYTES,
    Counts,
    Entry,
    Finding,
    KnownRev,
    Mark,
    MarkResult,
    Page,
    Query,
    Snapshot,
    cursor,
)
from notify.domain.message import NO_TRACE
from notify.domain.moments import timestamp
from notify.service.stats import ServiceStats
from notify.store.inbox import Inbox

log = structlog.get_logger(__name__)


class Inboxes:
    """Lists and marks for both edges. All verbs raise Unavailable."""

    def __init__(
        self, *, inbox: Inbox, stats: ServiceStats, trace: Callable[[], str] = lambda: NO_TRACE
    ) -> None:
        """`trace` is one word for what is being worked on, a request id: it goes with what is published."""
        self._inbox = inbox
        self._stats = stats
        self._trace = trace

    async def page(
        self, user: str, query: Query, *, if_rev: KnownRev | None = None, most_bytes: int = PAGE_BYTES
    ) -> Page:
        """One page; `unchanged` when the caller has the answer of `if_rev` and that still holds; `*` does."""
        self._stats.inbox_lists += 1
        return await self._inbox.page(user, query, if_rev=if_rev, most_bytes=most_bytes)

    async def mark(self, user: str, mark: Mark) -> MarkResult:
        """Mark entries, and tell every connection of the user. Raises Invalid."""
        result = await self._inbox.mark(user, mark, trace=self._trace())
        self._stats.inbox_marks[mark.what] += 1
        return result

    async def check(self, user: str) -> list[Finding]:
        """Count an inbox again from its entries: what differs, which should be nothing."""
        findings = await self._inbox.check(user)
        if findings:
            self._stats.inbox_drifts += len(findings)
            log.error("inbox_drift", findings=[finding.what for finding in findings])
        return findings


def shown_counts(counts: Counts) -> dict[str, int]:
    """Counts as callers see them."""
    return {"unseen": counts.unseen, "unread": counts.unread, "total": counts.total}


def shown_badge(at: Snapshot) -> dict[str, int]:
    """What a bell needs, as `session:ready` has it."""
    return {"rev": at.rev, "unseen": at.counts.unseen, "unread": at.counts.unread}


def shown_page(page: Page, query: Query) -> dict[str, Any]:
    """A page as callers see it."""
    shown: dict[str, Any] = {
        "data": [_shown_entry(entry) for entry in page.entries],
        "next": cursor(page.next),
        "rev": page.at.rev,
        "counts": shown_counts(page.at.counts),
    }
    if query.by_category:
        shown["categories"] = {
            category: shown_counts(counts) for category, counts in page.by_category.items()
        }
    return shown


def shown_result(result: MarkResult) -> dict[str, Any]:
    """The answer to a mark."""
    return {
        "changed": result.changed,
        "missing": list(result.missing),
        "rev": result.at.rev,
        "counts": shown_counts(result.at.counts),
    }


def _shown_entry(entry: Entry) -> Mapping[str, Any]:
    state = entry.state
    return {
        **entry.shown,
        "place": entry.place,
        "seen_at": shown_time(state.seen_at_ms),
        "read_at": shown_time(state.read_at_ms),
        "archived_at": shown_time(state.archived_at_ms),
        "snoozed_until": shown_time(state.snoozed_until_ms),
    }


def shown_time(unix_ms: int | None) -> str | None:
    """A moment that may not have happened, as callers see it."""
    return None if unix_ms is None else timestamp(unix_ms)
