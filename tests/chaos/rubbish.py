"""R9: malformed packets, bodies, tokens and pub/sub messages, by the thousand."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import aiohttp
import psutil

from tests.chaos.world import Report, World, world
from tests.support.tokens import API_KEY, mint

# fmt: off
PACKETS = [
    "4", "40", "41", "42", "43", "44", "45", "46", "4abc", "42{}", "42[]", '42["connect",{}]', "42[1]", "7",
    "9", '40{"token":', "40/nowhere,", "40[]", '40{"token":[]}', "451-",
    '451-["a",{"_placeholder":true,"num":0}]', '42["disconnect"]', "2probe", "5", "6", "0{}", "1", "",
    "\x00", '42["a"', "4999", '430["x"]',
    "42" + "[" * 5000,
    '420123456789012345678901["a"]', '42["room:join",{"room":{}}]', '42["send",{"to":{"user":[]}}]',
]

BODIES = [
    b"", b"null", b"[]", b"7", b"{", b'{"to":{}}', b'{"to":{"user":""}}', b"\xff\xfe", b"[" * 100_000,
    b'{"to":{"user":"a"},"event":"connect"}', b'{"to":{"all":false}}', b'{"to":{"users":[]}}', b'{"x":NaN}',
    b'{"to":{"user":"a"},"ttl":-1}', b'{"to":{"user":"a"},"data":[]}',
    b'{"to":{"user":"a"},"url":"javascript:1"}',
    b'{"notifications":[]}', b'{"to":{"user":"\\ud800"}}', b"x" * 200_000,
]
# fmt: on


MESSAGES = [
    "5",
    "true",
    "null",
    "[]",
    "{}",
    "[" * 5000,
    '{"method":"emit","event":"x","data":' + "[" * 500 + "]" * 500 + "}",
    '1-999999999999999-0 - -\n["x","1-999999999999999-0"]',
]


def mutated(rng: random.Random, text: str) -> str:
    """Another text, with up to three characters changed, left out or put in."""
    letters = list(text)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(letters) + 1)
        choice = rng.random()
        if choice < 0.4 and letters:
            letters[place % len(letters)] = chr(rng.choice((0, 34, 44, 91, 123, 0x1E, 0xE9, 0x2028)))
        elif choice < 0.7 and letters:
            del letters[place % len(letters)]
        else:
            letters.insert(place, chr(rng.randrange(32, 127)))
    found = "".join(letters)
    return found if found != text else mutated(rng, text)  # what was put in may have been left out again


async def rubbish(directory: Path, seed: int, *, count: int, quiet: bool) -> Report:
    """Throw it all at one node, and look at what is left: the node, its memory, its clients."""
    async with world("R9", directory, seed, nodes=1, quiet=quiet, NOTIFY_LOG_LEVEL="error") as here:
        (node,) = here.nodes
        await here.populate(5, rooms=1)
        process = psutil.Process(node.pid)
        statuses: Counter[str] = Counter()
        share = count // 4
        await _round(here, statuses, share // 4)  # so that what is loaded once is loaded
        baseline = process.memory_info().rss
        await _round(here, statuses, share)
        here.publish(50)
        await here.pass_time(1, "and now a few good ones")
        verdict = await here.settle()
        left = await node.metric("notify_connections")
        grown = (process.memory_info().rss - baseline) / 1e6
        server_errors = sum(n for status, n in statuses.items() if status.startswith("http 5"))
        return Report(
            "R9",
            f"{count} malformed packets, bodies, tokens and pub/sub messages",
            verdict,
            {
                "answers": ", ".join(f"{n} x {status}" for status, n in statuses.most_common(8)),
                "5xx": str(server_errors),
                "RSS grew by": f"{grown:.1f} MB",
                "connections left": f"{left:.0f} of 5",
            },
            verdict.clean
            and not server_errors
            and not statuses["TOKEN TAKEN"]
            and grown < 30
            and left == 5
            and node.running,
        )


async def _round(here: World, statuses: Counter[str], share: int) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session:
        await asyncio.gather(
            *(_bodies(here, session, statuses, share // 8) for _ in range(8)),
            *(_packets(here, session, statuses, share // 8) for _ in range(8)),
            *(_tokens(here, session, statuses, share // 8) for _ in range(8)),
        )
    _messages(here, share)


async def _bodies(here: World, session: aiohttp.ClientSession, statuses: Counter[str], count: int) -> None:
    node = here.nodes[0]
    for number in range(count):
        body = here.rng.choice(BODIES)
        if here.rng.random() < 0.5:
            good = '{"to":{"user":"nobody"},"title":"x","ttl":0,"data":{"a":[1,2,{"b":null}]}}'
            body = mutated(here.rng, good).encode("utf-8", "surrogatepass")
        path = here.rng.choice(("/v1/notifications", "/v1/notifications/batch", "/v1/nothing"))
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        if here.rng.random() < 0.1:
            headers["Authorization"] = here.rng.choice(("Bearer x", "Basic eDp5", "Bearer " + "k" * 5000, ""))
        if here.rng.random() < 0.05:
            headers["Content-Encoding"] = "gzip"
        async with session.post(node.internal_url + path, data=body, headers=headers) as response:
            statuses[f"http {response.status}"] += 1
            await response.read()
        if number % 100 == 0:
            here.say(f"bodies {sum(statuses.values())}")


async def _packets(here: World, session: aiohttp.ClientSession, statuses: Counter[str], count: int) -> None:
    node, sent = here.nodes[0], 0
    token = mint("thrower", join=["room-0"])
    while sent < count:
        try:
            async with session.ws_connect(
                node.url + "/socket.io/?EIO=4&transport=websocket",
                autoclose=True,
                timeout=aiohttp.ClientWSTimeout(5),
            ) as websocket:
                if here.rng.random() < 0.7:
                    await websocket.send_str("40" + json.dumps({"token": token}))
                for _ in range(here.rng.randint(1, 6)):
                    packet = here.rng.choice(PACKETS)
                    if here.rng.random() < 0.5:
                        packet = mutated(here.rng, packet)
                    if here.rng.random() < 0.1:
                        await websocket.send_bytes(packet.encode("utf-8", "surrogatepass"))
                    else:
                        await websocket.send_str(packet)
                    sent += 1
                statuses["packets"] += 1
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            sent += 1
            statuses["connection ended"] += 1


async def _tokens(here: World, session: aiohttp.ClientSession, statuses: Counter[str], count: int) -> None:
    node, good = here.nodes[0], mint("nobody")
    for _ in range(count):
        choice = here.rng.random()
        token: object = (
            mutated(here.rng, good) if choice < 0.7 else here.rng.choice((None, 7, "", [], "a.b.c"))
        )
        auth = here.rng.choice(
            ({"token": token}, token, [token], {"token": token, "pid": "x" * 50, "offset": 7})
        )
        async with session.ws_connect(node.url + "/socket.io/?EIO=4&transport=websocket") as websocket:
            await websocket.receive()
            await websocket.send_str("40" + json.dumps(auth))
            answer = await websocket.receive()
            refused = isinstance(answer.data, str) and answer.data.startswith("44")
            closed = answer.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            statuses["token refused" if refused or closed else "TOKEN TAKEN"] += 1


def _messages(here: World, count: int) -> None:
    topics = ["notify:topic:room:/:room-0", "notify:node:node-1", "notify:socketio", "socketio"]
    with here.valkey.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(count):
            text = here.rng.choice((*MESSAGES, '{"method":"emit"}', '{"method":[]}', "canary a b"))
            if here.rng.random() < 0.5:
                text = mutated(
                    here.rng, here.rng.choice(('{"method":"disconnect","sid":7}', "canary 1:2 x-1-0"))
                )
            pipeline.publish(here.rng.choice(topics), text.encode("utf-8", "surrogatepass"))
            if number % 500 == 499:
                pipeline.execute()
        pipeline.execute()
