"""What `notify doctor` finds out as a browser would: through whatever is in front of the nodes.

It speaks Engine.IO itself, because a client library would hide what the proxy does.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from notify.cli.checks.redis_check import judged_clock
from notify.cli.checks.verdict import Verdict, fault, ok

TIMEOUT_S = 10
SESSIONS = 4
"""Sessions by long-polling: with two nodes and no stickiness one in two of them breaks."""
POLLING = {"EIO": "4", "transport": "polling"}
WEBSOCKET = {"EIO": "4", "transport": "websocket"}


class PublicCheck:
    """The checks of one public address."""

    def __init__(self, url: str, *, token: str | None, origins: tuple[str, ...]) -> None:
        self._url = f"{url}/socket.io/"
        self._shown = url
        self._token = token
        self._origins = origins

    async def verdicts(self) -> AsyncIterator[Verdict]:
        """All of them; only the first when nobody answers."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        # A new connection for each request: a proxy may route each of them differently.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            reached, verdict = await self._reached(session)
            yield verdict
            if not reached:
                return
            async for each in self._by_websocket(session):
                yield each
            try:
                yield await self._by_polling(session)
                for origin in self._origins:
                    yield await self._admits(session, origin)
            except (aiohttp.ClientError, TimeoutError) as error:
                yield fault(f"{self._shown} answers only some of the time: {error or type(error).__name__}.")

    async def _reached(self, session: aiohttp.ClientSession) -> tuple[bool, Verdict]:
        began = time.time()
        try:
            async with session.get(self._url, params=POLLING) as response:
                status, text = response.status, await response.text()
                date = response.headers.get("Date")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or f"no answer within {TIMEOUT_S} s"
            return False, fault(f"{self._shown} (--url) cannot be reached: {reason}.")
        if status != 200 or not text.startswith("0{"):
            return False, fault(
                f"{self._shown} (--url) answers {status} at /socket.io/, which no node does: --url must be "
                "the public port, or a proxy that forwards /socket.io/ to it."
            )
        await self._end(session, _sid(text))
        try:
            ahead_s = parsedate_to_datetime(date or "").timestamp() + 0.5 - (began + time.time()) / 2
        except ValueError:
            return True, ok(f"{self._shown} leads to a node.")
        clock = judged_clock(ahead_s, spread_s=0.5 + (time.time() - began) / 2, whose=f"{self._shown}'s")
        return True, ok(f"{self._shown} leads to a node.") if clock.severity == "ok" else clock

    async def _by_websocket(self, session: aiohttp.ClientSession) -> AsyncIterator[Verdict]:
        try:
            async with session.ws_connect(self._url, params=WEBSOCKET) as websocket:
                first = await websocket.receive(timeout=TIMEOUT_S)
                if first.type is not aiohttp.WSMsgType.TEXT or not str(first.data).startswith("0{"):
                    yield fault(f"A websocket to {self._shown} opens, but no node answers on it.")
                    return
                yield ok(f"Websockets get through {self._shown}.")
                if self._token is not None:
                    yield await self._let_in(websocket, self._token)
        except aiohttp.WSServerHandshakeError as error:
            yield fault(
                f"Websockets do not get through {self._shown}: the answer is {error.status}, not 101. The "
                "proxy must forward Upgrade and Connection over HTTP/1.1 (nginx: proxy_http_version 1.1)."
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or f"no answer within {TIMEOUT_S} s"
            yield fault(f"Websockets do not get through {self._shown}: {reason}.")

    async def _let_in(self, websocket: aiohttp.ClientWebSocketResponse, token: str) -> Verdict:
        """What the node says about the token; only the node knows whether it was revoked."""
        await websocket.send_str("40" + json.dumps({"token": token, "recovery": False}))
        while (message := await websocket.receive(timeout=TIMEOUT_S)).type is aiohttp.WSMsgType.TEXT:
            text = str(message.data)
            if text == "2":
                await websocket.send_str("3")
            elif text.startswith("40"):
                return ok("The node accepts the token.")
            elif text.startswith("44"):
                said: Any = json.loads(text[2:])
                data = said.get("data") or {}
                code = f" ({data['code']})" if "code" in data else ""
                return fault(f"The node refuses the token{code}: {data.get('detail') or said.get('message')}")
        return fault("The node closed the connection instead of answering the token.")

    async def _by_polling(self, session: aiohttp.ClientSession) -> Verdict:
        lost = 0
        for _ in range(SESSIONS):
            async with session.get(self._url, params=POLLING) as response:
                sid = _sid(await response.text())
            if sid is None or not await self._end(session, sid):
                lost += 1
        if lost:
            return fault(
                f"Long-polling breaks at {self._shown}: {lost} of {SESSIONS} sessions were unknown on their "
                "second request. Nodes pass on what belongs to another one: see whether they reach each "
                "other's internal port (NOTIFY_ADVERTISE_URL), and whether the proxy leads to nodes of "
                "one cluster."
            )
        return ok("Long-polling works: the requests of a session reach it.")

    async def _admits(self, session: aiohttp.ClientSession, origin: str) -> Verdict:
        async with session.get(self._url, params=POLLING, headers={"Origin": origin}) as response:
            text = await response.text()
            allowed = response.headers.get("Access-Control-Allow-Origin")
        if response.status != 200:
            return fault(
                f"Pages from {origin} cannot connect (the answer is {response.status}): add it to "
                "NOTIFY_CORS_ORIGINS on the nodes."
            )
        await self._end(session, _sid(text))
        if allowed not in (origin, "*"):
            return fault(
                f"Pages from {origin} are allowed, but the answer's Access-Control-Allow-Origin is "
                f"{allowed!r}: the proxy must not change that header."
            )
        return ok(f"Pages from {origin} can connect.")

    async def _end(self, session: aiohttp.ClientSession, sid: str | None) -> bool:
        """The second request of a session, which ends it; False when the node does not know it."""
        async with session.post(self._url, params={**POLLING, "sid": sid or ""}, data="1") as response:
            return response.status == 200


def _sid(text: str) -> str | None:
    try:
        return str(json.loads(text[1:])["sid"])
    except (ValueError, KeyError, TypeError):
        return None
