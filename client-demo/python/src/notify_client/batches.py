"""`send_many`: a list of any length in batches that the server takes, and what became of each item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from notify_client.answers import Outcome
from notify_client.errors import (
    BadRequest,
    FieldError,
    Invalid,
    NotifyError,
    TooLarge,
)
from notify_client.exchange import Operation, Reply, Request, error_from, error_of
from notify_client.message import Message, encoded
from notify_client.reading import understood
from notify_client.retries import Policy, exchange

PATH = "/v1/notifications/batch"
MAX_ITEMS = 1000
MAX_TARGETS = 10_000
MAX_BYTES = 512 * 1024
"""Less than the server takes (16 MiB): proxies have limits of their own (nginx: 1 MiB)."""


@dataclass(frozen=True, slots=True)
class Item:
    """One notification of the list, as JSON."""

    index: int
    body: bytes
    targets: int


@dataclass(frozen=True, slots=True)
class Unsendable:
    """One that cannot even be written as JSON."""

    index: int
    error: NotifyError


def send_many(messages: Iterable[Message], key: str, policy: Policy) -> Operation[list[Outcome]]:
    """Send all of them; one Outcome for each, in order.

    An error of a batch as a whole is raised when it is the first one: then nothing was sent. A later one is
    the outcome of every item that it kept from being sent, because what went before must not be forgotten.
    """
    outcomes: list[Outcome] = []
    stopped: NotifyError | None = None
    for number, batch in enumerate(split(messages)):
        if stopped is not None:
            outcomes += [Outcome(index=item.index, id=None, error=stopped) for item in batch]
            continue
        try:
            outcomes += yield from _sent(batch, f"{key}/{number}", policy)
        except NotifyError as error:
            if number == 0:
                raise
            outcomes += [Outcome(index=item.index, id=None, error=error) for item in batch]
            if not isinstance(error, Invalid | BadRequest | TooLarge):  # those are about this batch alone
                stopped = error
    return outcomes


def split(messages: Iterable[Message]) -> Iterator[list[Item | Unsendable]]:
    """Batches that the server takes. The same list is always split in the same way: so a key fits again."""
    batch: list[Item | Unsendable] = []
    targets = size = 0
    for index, message in enumerate(messages):
        item = _item(index, message)
        more_targets, more = (item.targets, len(item.body) + 1) if isinstance(item, Item) else (0, 0)
        full = len(batch) == MAX_ITEMS or targets + more_targets > MAX_TARGETS or size + more > MAX_BYTES
        if batch and full:
            yield batch
            batch, targets, size = [], 0, 0
        batch.append(item)
        targets += more_targets
        size += more
    if batch:
        yield batch


def _item(index: int, message: Mapping[str, Any]) -> Item | Unsendable:
    try:
        body = encoded(message)
    except Invalid as error:
        faults = [FieldError(f"/notifications/{index}{each.pointer}", each.detail) for each in error.errors]
        return Unsendable(index, Invalid(error.detail, errors=faults))
    except AttributeError:
        return Unsendable(index, Invalid("A notification must be a mapping, such as {'to': {'user': '42'}}"))
    to = message.get("to")
    to = to if isinstance(to, Mapping) else {}
    names = sum(len(to[each]) for each in ("users", "rooms") if isinstance(to.get(each), list | tuple))
    return Item(index, body, names + sum(each in to for each in ("user", "room", "all")))


def _sent(batch: list[Item | Unsendable], key: str, policy: Policy) -> Operation[list[Outcome]]:
    """The outcomes of one batch, in order. Raises what befell it as a whole."""
    items = [item for item in batch if isinstance(item, Item)]
    found = {
        item.index: Outcome(index=item.index, id=None, error=item.error)
        for item in batch
        if isinstance(item, Unsendable)
    }
    if items:
        found |= {outcome.index: outcome for outcome in (yield from _posted(items, key, policy))}
    return [found[item.index] for item in batch]


def _posted(items: list[Item], key: str, policy: Policy) -> Operation[list[Outcome]]:
    request = Request(
        name="send_many",
        method="POST",
        path=PATH,
        body=b'{"notifications":[' + b",".join(item.body for item in items) + b"]}",
        headers={"Idempotency-Key": key},
    )
    partial: list[Reply] = []

    def judge(reply: Reply) -> NotifyError | None:
        """An error only where the batch is to be sent again: also for items that Redis did not take.

        By the key the server knows those that it has, and makes only the others.
        """
        if not _has_results(reply):
            return error_of(reply)
        again = next(
            (
                error
                for error in (each.error for each in _outcomes(items, reply))
                if error and error.retryable
            ),
            None,
        )
        if again is not None:
            partial[:] = [reply]
        return again

    try:
        reply = yield from exchange(request, policy, judge)
    except TooLarge as error:
        # Refused before anything was read: a proxy with a lower limit, or a server with another one.
        if len(items) == 1:
            return [Outcome(index=items[0].index, id=None, error=error)]
        middle = len(items) // 2
        outcomes = yield from _posted(items[:middle], key + ".0", policy)
        try:
            return outcomes + (yield from _posted(items[middle:], key + ".1", policy))
        except NotifyError as later:  # the first half has its fate all the same
            return outcomes + [Outcome(index=item.index, id=None, error=later) for item in items[middle:]]
    except NotifyError as error:
        if not partial or not error.retryable:
            raise
        reply = partial[0]
    return _outcomes(items, reply)


def _has_results(reply: Reply) -> bool:
    """202, 207; and 422 when no item was good, which is an answer, too, unlike a 422 about the whole."""
    if reply.status not in (202, 207, 422):
        return False
    return "results" in reply.document()


def _outcomes(items: list[Item], reply: Reply) -> list[Outcome]:
    request_id = reply.headers.get("x-request-id")
    return understood(
        reply,
        lambda document: [
            _outcome(item, place, found, request_id)
            for place, (item, found) in enumerate(zip(items, document["results"], strict=True))
        ],
    )


def _outcome(item: Item, place: int, found: Mapping[str, Any], request_id: str | None) -> Outcome:
    if "error" not in found:
        return Outcome(index=item.index, id=str(found["id"]), error=None)
    error = error_from(found["error"], status=int(found["error"]["status"]), request_id=request_id)
    was, now = f"/notifications/{place}", f"/notifications/{item.index}"
    error.errors = tuple(
        FieldError(now + each.pointer.removeprefix(was), each.detail)
        if each.pointer == was or each.pointer.startswith(was + "/")
        else each
        for each in error.errors
    )
    if error.detail.startswith(was + "/"):
        error.detail = now + error.detail.removeprefix(was)
    return Outcome(index=item.index, id=None, error=error)
