"""What is left to say to long-polling clients whose session has ended."""

from __future__ import annotations

from collections.abc import Sequence

from notify.gateway.engineio.timers import Bucket, Wheel

_TICK_S = 0.25


class _Session:
    """The bodies for the next polls of one client."""

    __slots__ = ("bodies", "bucket", "sid")

    def __init__(self, sid: str, bodies: Sequence[bytes]) -> None:
        self.sid = sid
        self.bodies = list(bodies)
        self.bucket: Bucket[_Session]


class LastPolls:
    """Bodies for polls that are still to come, each kept for `keep_s` at most."""

    __slots__ = ("_keep_s", "_sessions", "_wheel")

    def __init__(self, *, keep_s: float) -> None:
        self._keep_s = keep_s
        self._sessions: dict[str, _Session] = {}
        self._wheel: Wheel[_Session] = Wheel(self._forget, tick_s=min(_TICK_S, keep_s / 4))

    def keep(self, sid: str, bodies: Sequence[bytes]) -> None:
        """Have the next polls of a session answered with one body each."""
        session = self._sessions[sid] = _Session(sid, bodies)
        session.bucket = self._wheel.add(session, self._keep_s)

    def next(self, sid: str) -> bytes | None:
        """What this poll is answered; None when there is nothing, or nothing any more."""
        session = self._sessions.get(sid)
        if session is None:
            return None
        body = session.bodies.pop(0)
        if not session.bodies:
            session.bucket.discard(session)
            self._forget(session)
        return body

    def stop(self) -> None:
        """Forget everyone."""
        self._wheel.stop()
        self._sessions.clear()

    def _forget(self, session: _Session) -> None:
        del self._sessions[session.sid]

    def __len__(self) -> int:
        return len(self._sessions)
