"""Sessions that have just gone to another node: a websocket that still comes for one is one too many."""

from __future__ import annotations

from notify.gateway.engineio.timers import Wheel

_TICK_S = 0.25


class MovedAway:
    """The ids of such sessions, each kept for `keep_s`: there are as many as move in that time."""

    __slots__ = ("_keep_s", "_sids", "_wheel")

    def __init__(self, *, keep_s: float) -> None:
        self._keep_s = keep_s
        self._sids: set[str] = set()
        self._wheel: Wheel[str] = Wheel(self._sids.discard, tick_s=min(_TICK_S, keep_s / 4))

    def add(self, sid: str) -> None:
        """A session has gone."""
        self._sids.add(sid)
        self._wheel.add(sid, self._keep_s)

    def __contains__(self, sid: str) -> bool:
        return sid in self._sids

    def stop(self) -> None:
        """Forget all of them."""
        self._wheel.stop()
        self._sids.clear()
