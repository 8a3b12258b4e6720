"""An inbox counted again from its entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from notify.domain.inbox import Counts, Finding
from notify.store.packed_entry import PackedEntry

MISSING, ETERNAL = -2, -1
"""What PEXPIRETIME says of a key that is not there, and of one that has no end."""
KEYS = ("the counter", "the order", "the entries", "the collapse keys")


def recount(
    kept: Sequence[int],
    order: Sequence[bytes],
    entries: Sequence[bytes],
    collapse: Sequence[bytes],
    ends_ms: Sequence[int],
    bodiless: Sequence[bytes],
) -> list[Finding]:
    """Differences in what `inbox_check.lua` read. An entry that is due but still there is not one."""
    by_id = {id_: PackedEntry.parse(packed) for id_, packed in _pairs(entries).items()}
    findings = []

    def differ(what: str, kept: object, found: object) -> None:
        if kept != found:
            findings.append(Finding(what, str(kept), str(found)))

    if kept:
        rev, size, total, unseen, unread, due = kept[:6]
        differ("counts", Counts(unseen, unread, total), _counts(by_id.values()))
        differ("entries", size, len(by_id))
        first = min((_due(entry) for entry in by_id.values()), default=0)
        if first and not 0 < due <= first:
            differ("next due", due, first)
        newest = max((int(place) for place in order[1::2]), default=0)
        if newest > rev:
            differ("rev", rev, f"a place of {newest}")
    else:
        differ("entries without a counter", 0, len(by_id))
    differ("ids in order", sorted(order[0::2]), sorted(by_id))
    differ("places", len(set(order[1::2])), len(order[1::2]))
    wanted = {entry.collapse_key.encode(): id_ for id_, entry in by_id.items() if entry.collapse_key}
    differ("collapse keys", _pairs(collapse), wanted)
    last_ms = max((entry.expires_ms for entry in by_id.values()), default=0)
    for name, end_ms in zip(KEYS, ends_ms, strict=True):
        if end_ms not in (MISSING, ends_ms[0]) or end_ms == ETERNAL or MISSING < end_ms < last_ms:
            findings.append(Finding(f"end of {name}", str(end_ms), str(max(last_ms, ends_ms[0]))))
    differ("bodies missing", [], list(bodiless))
    return findings


def _pairs(flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(flat[0::2], flat[1::2], strict=True))


def _counts(entries: Iterable[PackedEntry]) -> Counts:
    shown = [
        entry.state
        for entry in entries
        if entry.state.archived_at_ms is None and entry.state.snoozed_until_ms is None
    ]
    unseen = sum(state.seen_at_ms is None for state in shown)
    return Counts(unseen, sum(state.read_at_ms is None for state in shown), len(shown))


def _due(entry: PackedEntry) -> int:
    return min(entry.expires_ms, entry.state.snoozed_until_ms or entry.expires_ms)
