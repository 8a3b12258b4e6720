"""Which rooms a client is in when it comes back."""

from __future__ import annotations

from dataclasses import dataclass

from notify.domain.channel import owner_of
from notify.domain.permissions import allows
from notify.gateway.auth.authenticator import Identity
from notify.store.sessions import Found


@dataclass(frozen=True, slots=True)
class RoomsOnReturn:
    """`kept` are the rooms given back, each with the place from which it is owed (empty: from the session's
    start); `joined` those that only the newer token joins; `left` those that it does not allow, or that a
    backend took the user out of.
    """

    kept: dict[str, str]
    joined: tuple[str, ...]
    left: tuple[str, ...]


def rooms_on_return(found: Found, identity: Identity) -> RoomsOnReturn:
    """What becomes of the rooms of a session, under the token that the client brings now."""
    session, orders = found.session, found.orders
    kept: dict[str, str] = {}
    for name, place in session.rooms.items():
        joined_at = session.joined_at(name)
        if joined_at is not None and orders.remove(session.namespace, name, joined_at):
            continue
        if name in identity.join or name in session.granted or allows(identity.rooms, name):
            kept[name] = place
    joined: tuple[str, ...] = ()
    if owner_of(session.namespace) is None and session.start is not None:
        joined = tuple(
            name
            for name in identity.join
            if name not in session.rooms
            and name not in session.declined
            and not orders.remove(session.namespace, name, session.start)
        )
    return RoomsOnReturn(kept, joined, tuple(name for name in session.rooms if name not in kept))
