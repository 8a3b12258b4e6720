"""`notify inbox`: show a user's inbox, mark its entries, or recount it."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from notify.cli.on_redis import on_redis
from notify.domain.errors import Invalid
from notify.domain.inbox import MARKS, MAX_LISTED, STATUSES, Page, Query
from notify.domain.inbox_request import mark_of, query_of
from notify.domain.names import user_id_fault
from notify.redis.client import Redis
from notify.service.inboxes import Inboxes, shown_page, shown_result
from notify.service.stats import ServiceStats
from notify.settings.settings import Settings
from notify.store.inbox import Inbox
from notify.store.keys import Keys

T = TypeVar("T")


@click.command()
@click.argument("user")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--status",
    type=click.Choice(sorted(STATUSES)),
    default="all",
    show_default=True,
    help="Which entries to list. all: those neither archived nor snoozed.",
)
@click.option(
    "--category", "categories", multiple=True, metavar="NAME", help="Only entries of this category."
)
@click.option(
    "--limit",
    type=click.IntRange(0, MAX_LISTED),
    default=20,
    show_default=True,
    help="Maximum number of entries. 0: only the counts.",
)
@click.option("--after", metavar="PLACE", help="Continue a list: the `next` of the previous page.")
@click.option(
    "--mark",
    "what",
    type=click.Choice(sorted(MARKS)),
    help="Mark the entries with these IDs, or all --up-to one.",
)
@click.option("--up-to", metavar="ID|PLACE", help="With --mark: this entry and all older ones.")
@click.option("--until", metavar="TIME", help="With --mark snoozed: when it comes back (RFC 3339).")
@click.option("--check", is_flag=True, help="Recount from the entries; exit code 1 on a difference.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer of the HTTP API.")
def inbox(
    user: str,
    ids: tuple[str, ...],
    status: str,
    categories: tuple[str, ...],
    limit: int,
    after: str | None,
    what: str | None,
    up_to: str | None,
    until: str | None,
    check: bool,
    as_json: bool,
) -> None:
    """Show what is in a user's inbox, newest first.

    \b
    notify inbox ada --status unread
    notify inbox ada --mark read ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8
    notify inbox ada --check

    Like `notify keys`, it works on Redis directly: the one in NOTIFY_REDIS_URL, else the embedded server in
    NOTIFY_DATA_DIR, else that of a `notify dev` running here. All connections of the user are told of marks.
    """
    fault = user_id_fault(user)
    if fault is not None:
        raise click.UsageError(f"USER {fault}.")
    if check and what:
        raise click.UsageError("Give --check or --mark, not both.")
    if (ids or up_to or until) and not what:
        raise click.UsageError("IDs, --up-to and --until need --mark.")
    if check:
        _check(user, as_json)
    elif what:
        _mark(user, ids, what, up_to, until, categories, as_json)
    else:
        _list(user, status, categories, limit, after, as_json)


def _list(
    user: str, status: str, categories: tuple[str, ...], limit: int, after: str | None, as_json: bool
) -> None:
    asked: dict[str, Any] = {"status": status, "limit": limit}
    if categories:
        asked["category"] = list(categories)
    if after:
        asked["after"] = after
    query: Query = _read(lambda: query_of(asked))
    page: Page = _run(lambda inboxes: inboxes.page(user, query))
    if as_json:
        click.echo(json.dumps(shown_page(page, query), ensure_ascii=False))
        return
    for entry in shown_page(page, query)["data"]:
        state = "archived" if entry["archived_at"] else "read" if entry["read_at"] else "unread"
        if entry["snoozed_until"]:
            state = f"until {entry['snoozed_until']}"
        elif state == "unread" and not entry["seen_at"]:
            state = "new"
        click.echo(f"{entry['id']}  {entry['created_at']}  {state:8}  {_line(entry.get('title'))}")
    counts = page.at.counts
    more = f"; more with --after {page.next}" if page.next else ""
    click.echo(f"{counts.unseen} unseen, {counts.unread} unread, {counts.total} in all{more}", err=True)


def _mark(
    user: str,
    ids: tuple[str, ...],
    what: str,
    up_to: str | None,
    until: str | None,
    categories: tuple[str, ...],
    as_json: bool,
) -> None:
    asked: dict[str, Any] = {"as": what}
    if ids:
        asked["ids"] = list(ids)
    if up_to:
        asked["up_to"] = up_to
    if until:
        asked["until"] = until
    if len(categories) > 1:
        raise click.UsageError("--mark takes at most one --category.")
    if categories:
        asked["category"] = categories[0]
    mark = _read(lambda: mark_of(asked, now_ms=int(time.time() * 1000)))
    result = _run(lambda inboxes: inboxes.mark(user, mark))
    if as_json:
        click.echo(json.dumps(shown_result(result)))
        return
    click.echo(f"{result.changed} marked as {what}.", err=True)
    for missing in result.missing:
        click.echo(f"{missing} is not in the inbox.", err=True)


def _check(user: str, as_json: bool) -> None:
    findings = _run(lambda inboxes: inboxes.check(user))
    if as_json:
        click.echo(json.dumps([{"what": one.what, "kept": one.kept, "found": one.found} for one in findings]))
    else:
        for one in findings:
            click.echo(f"{one.what}: {one.kept} is stored, but the entries say {one.found}")
        if not findings:
            click.echo("The counts match the entries.", err=True)
    if findings:
        raise click.exceptions.Exit(1)


def _line(title: str | None) -> str:
    """A title as a terminal may show it: on one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in title or "")


def _read(made: Callable[[], T]) -> T:
    try:
        return made()
    except Invalid as error:
        faults = [f"{one.pointer.lstrip('/').replace('_', '-')} {one.detail}" for one in error.errors]
        raise click.UsageError("; ".join(faults) + ".") from error


def _run(verb: Callable[[Inboxes], Awaitable[T]]) -> T:
    def on_inboxes(redis: Redis, settings: Settings) -> Awaitable[T]:
        store = Inbox(redis, Keys(settings.redis_prefix), max_entries=settings.inbox_max)
        return verb(Inboxes(inbox=store, stats=ServiceStats()))

    return on_redis(on_inboxes)
