"""What has to work on every Redis: the verbs of the service, over two nodes, with stock clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.support.clients.javascript import JavaScript
from tests.support.cluster import Cluster
from tests.support.tokens import mint
from tests.support.valkey import Valkey


@asynccontextmanager
async def nodes(url: str, directory: Path, **environ: str) -> AsyncIterator[Cluster]:
    """Two nodes on the Redis of this URL."""
    somebody_elses = cast(Valkey, SimpleNamespace(url=url, running=True))
    async with Cluster(2, directory=directory, valkey=somebody_elses, environ=environ) as cluster:
        yield cluster


async def core(cluster: Cluster) -> None:
    """Post and receive over nodes, rooms, everyone, once for a key, batches, client to client, recovery."""
    first, second = cluster.nodes
    async with JavaScript() as javascript:
        quick: dict[str, Any] = {"reconnectionDelay": 50, "reconnectionDelayMax": 200}
        ann = await javascript.connect(
            first.url, auth={"token": mint("ann", join=["lobby"], send=["user:*"])}, **quick
        )
        bob = await javascript.connect(
            second.url, transports=["polling"], auth={"token": mint("bob", rooms=["*"])}, **quick
        )
        await asyncio.gather(ann.wait("connect"), bob.wait("connect"))
        assert (await bob.call("room:join", {"room": "lobby"}))[0]["ok"]

        wanted = []
        for number, to in enumerate(({"user": "ann"}, {"room": "lobby"}, {"all": True})):
            node = cluster.nodes[(number + 1) % 2]
            status, answer = await node.post(
                {"to": to, "title": f"core {number}"}, idempotency_key=f"core-{number}"
            )
            assert status == 202, answer
            assert await first.post(
                {"to": to, "title": f"core {number}"}, idempotency_key=f"core-{number}"
            ) == (
                202,
                answer,
            )
            wanted.append(answer["id"])
        status, answer = await second.post(
            [{"to": {"users": ["ann", "bob"]}, "title": f"batch {number}"} for number in range(5)], batch=True
        )
        assert (status, answer["accepted"]) == (202, 5)
        wanted += [result["id"] for result in answer["results"]]
        await ann.wait_event("notification", len(wanted))
        assert [args[0]["id"] for event, args in ann.events if event == "notification"] == wanted
        await bob.wait_event("notification", len(wanted) - 1)
        assert [args[0]["id"] for event, args in bob.events if event == "notification"] == wanted[1:]

        assert (await ann.call("send", {"to": {"user": "bob"}, "event": "hello", "data": {"from": "ann"}}))[
            0
        ]["ok"]
        await bob.wait_event("hello")

        after = len(ann.log)
        await ann.cut()
        status, answer = await second.post({"to": {"user": "ann"}, "title": "missed"})
        assert status == 202
        assert (await ann.wait("connect", after=after))["recovered"]
        await ann.wait_event("notification", len(wanted) + 1)
