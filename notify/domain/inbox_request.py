"""What callers ask of an inbox, over HTTP and over Socket.IO alike: read once, refused in one wording."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from notify.domain import moments
from notify.domain.errors import FieldError, Invalid
from notify.domain.inbox import (
    DEFAULT_LISTED,
    MARKS,
    MAX_LISTED,
    MAX_MARKED,
    STATUSES,
    Mark,
    Query,
    parse_place,
)
from notify.domain.names import category_fault

MAX_CATEGORIES = 32
"""Categories that one list may be narrowed to."""
MAX_ID = 64
"""Characters of a notification's id, or of a place."""

LIST_FIELDS = ("limit", "after", "status", "category", "by")
MARK_FIELDS = ("as", "ids", "up_to", "category", "until")

Faults = list[FieldError]


def query_of(asked: Mapping[str, Any], *, inside: str = "", also: Collection[str] = ()) -> Query:
    """The list that is asked for: `limit`, `after`, `status`, `category` (one or several), `by`.

    Raises Invalid, with pointers that begin with `inside`. Fields in `also` are known, and left to the
    caller.
    """
    faults = _unknown(asked, (*LIST_FIELDS, *also), inside)
    limit = asked.get("limit", DEFAULT_LISTED)
    if type(limit) is not int or not 0 <= limit <= MAX_LISTED:
        faults.append(FieldError(f"{inside}/limit", f"must be a whole number from 0 to {MAX_LISTED}"))
    after = asked.get("after")
    place = parse_place(after) if isinstance(after, str) else None
    if after is not None and place is None:
        faults.append(FieldError(f"{inside}/after", "must be the `next` of the previous page"))
    status = asked.get("status", "all")
    if not isinstance(status, str) or status not in STATUSES:
        faults.append(FieldError(f"{inside}/status", f"must be one of {', '.join(sorted(STATUSES))}"))
    categories = _categories(asked.get("category"), f"{inside}/category", faults)
    by = asked.get("by")
    if by not in (None, "category"):
        faults.append(FieldError(f"{inside}/by", "must be category"))
    _refuse(faults)
    return Query(status, limit, place, categories, by is not None)


def mark_of(asked: Mapping[str, Any], *, now_ms: int) -> Mark:
    """The mark that is asked for: `as`, `ids` or `up_to`, `category` beside the latter, `until` for a snooze.

    `now_ms` is the time by Redis' clock. Raises Invalid.
    """
    faults = _unknown(asked, MARK_FIELDS, "")
    what = asked.get("as")
    if not isinstance(what, str) or what not in MARKS:
        faults.append(FieldError("/as", f"must be one of {', '.join(sorted(MARKS))}"))
    ids, up_to = asked.get("ids"), asked.get("up_to")
    if (ids is None) == (up_to is None):
        faults.append(FieldError("/ids", "give either ids or up_to"))
    elif ids is not None:
        _check_ids(ids, faults)
    else:
        up_to = _bound(up_to, faults)
    category = asked.get("category")
    if category is not None:
        if up_to is None:
            faults.append(FieldError("/category", "is only allowed with up_to"))
        _add("/category", category_fault(category), faults)
    until_ms = _until(what, asked.get("until"), now_ms, faults)
    _refuse(faults)
    return Mark(what, tuple(dict.fromkeys(ids or ())), up_to, category, until_ms)  # type: ignore[arg-type]


def _check_ids(ids: object, faults: Faults) -> None:
    if not isinstance(ids, list):
        faults.append(FieldError("/ids", "must be an array"))
    elif not 1 <= len(ids) <= MAX_MARKED:
        faults.append(FieldError("/ids", f"must hold 1 to {MAX_MARKED} ids"))
    else:
        for index, one in enumerate(ids):
            if not _is_id(one):
                faults.append(FieldError(f"/ids/{index}", "must be the id of a notification"))
                if len(faults) >= 100:
                    break


def _bound(up_to: object, faults: Faults) -> str | int | None:
    """An id or a place; a place may be a number or its digits."""
    if type(up_to) is int and parse_place(str(up_to)) is not None:
        return up_to
    if _is_id(up_to):
        place = parse_place(str(up_to))
        return str(up_to) if place is None else place
    faults.append(FieldError("/up_to", "must be the id of a notification, or a place"))
    return None


def _until(what: object, until: object, now_ms: int, faults: Faults) -> int | None:
    if what != "snoozed":
        if until is not None:
            faults.append(FieldError("/until", "is only allowed with snoozed"))
        return None
    if until is None:
        faults.append(FieldError("/until", "is required: the time at which it comes back"))
        return None
    until_ms = moments.parsed(until)
    if until_ms is None:
        faults.append(FieldError("/until", moments.NOT_A_TIME))
    elif until_ms <= now_ms:
        faults.append(FieldError("/until", "must be in the future"))
    return until_ms


def _categories(asked: object, pointer: str, faults: Faults) -> tuple[str, ...]:
    if asked is None:
        return ()
    categories = asked if isinstance(asked, list) else [asked]
    if not 1 <= len(categories) <= MAX_CATEGORIES:
        faults.append(FieldError(pointer, f"must hold 1 to {MAX_CATEGORIES} categories"))
        return ()
    for index, category in enumerate(categories):
        _add(f"{pointer}/{index}" if isinstance(asked, list) else pointer, category_fault(category), faults)
    return tuple(categories)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isascii() and value.isprintable()


def _unknown(asked: Mapping[str, Any], known: Collection[str], inside: str) -> Faults:
    strange = [field for field in asked if field not in known]
    return [FieldError(f"{inside}/{_escaped(field)}", "is not a known field") for field in strange[:20]]


def _escaped(field: str) -> str:
    """As a token of a JSON pointer (RFC 6901 section 3)."""
    return str(field)[:100].replace("~", "~0").replace("/", "~1")


def _add(pointer: str, fault: str | None, faults: Faults) -> None:
    if fault is not None:
        faults.append(FieldError(pointer, fault))


def _refuse(faults: Faults) -> None:
    if faults:
        first, more = faults[0], len(faults) - 1
        detail = f"{first.pointer} {first.detail}" + (f", and {more} more" if more else "")
        raise Invalid(detail, errors=faults)
