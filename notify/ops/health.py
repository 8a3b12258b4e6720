"""`/healthz`, `/readyz`, `/metrics`: what probes and Prometheus ask, on the internal port, without a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from notify.ops.lifecycle import Lifecycle, State
from notify.ops.metrics import Metrics

Check = Callable[[], str | None]
"""None when all is well, else what is wrong, as a sentence."""

_WHY = {
    State.STARTING: "The node is starting.",
    State.DRAINING: "The node is draining.",
    State.STOPPED: "The node has stopped.",
}


class Health:
    """The three handlers.

    Checks are for faults of *this node alone*. Redis being away is not one of them: all nodes would become
    unready at once, and lose the sockets that they could keep.
    """

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        metrics: Metrics,
        checks: Mapping[str, Check] | None = None,
        notes: Mapping[str, Check] | None = None,
    ) -> None:
        """`notes` appear in `/readyz` but do not change its status: they concern all nodes alike."""
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._checks = dict(checks or {})
        self._notes = dict(notes or {})

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an aiohttp application."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    def reasons(self) -> list[dict[str, str]]:
        """Why this node should get no traffic; empty when it should."""
        found = []
        if self._lifecycle.state is not State.READY:
            found.append({"code": self._lifecycle.state.value, "detail": _WHY[self._lifecycle.state]})
        return found + _found(self._checks)

    async def healthz(self, request: web.Request) -> web.Response:
        """200: the event loop runs. Nothing else is checked, because a restart would mend nothing else."""
        return _json(200, {"status": "alive", "state": self._lifecycle.state.value})

    async def readyz(self, request: web.Request) -> web.Response:
        """200 or 503, with the reasons, and notes on what is no reason."""
        reasons = self.reasons()
        status = "unready" if reasons else "ready"
        body: dict[str, object] = {
            "status": status,
            "state": self._lifecycle.state.value,
            "reasons": reasons,
        }
        if notes := _found(self._notes):
            body["notes"] = notes
        return _json(503 if reasons else 200, body)

    async def metrics(self, request: web.Request) -> web.Response:
        """All metrics in the text format of Prometheus."""
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _found(checks: Mapping[str, Check]) -> list[dict[str, str]]:
    told = ((code, check()) for code, check in checks.items())
    return [{"code": code, "detail": detail} for code, detail in told if detail is not None]


def _json(status: int, body: object) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", headers=headers
    )
