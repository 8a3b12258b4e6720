"""People and their screens, whose inboxes are used at random, and who say when two do not show one thing."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp

from notify.domain.inbox import MARKS, Counts
from notify.domain.moments import parsed, timestamp
from tests.chaos.bell import Bell
from tests.chaos.ledger import Ledger, Step
from tests.chaos.world import World
from tests.store.inbox_model import ModelEntry, ModelInbox
from tests.support.cluster import Node

PATIENCE_S = 20.0
LONGEST_REST_MS = 2_000
NOBODYS = "ntf_00000000000000000000000000"
STATUSES = ("unseen", "unread", "read", "archived", "snoozed")


class Unanswered(Exception):
    """A request was not answered: nobody knows whether it was done."""


class Late(Exception):
    """A snooze that would be over before it began."""


@dataclass
class Backend:
    """Asks the nodes that are ready, and asks another one when there is no answer."""

    here: World
    session: aiohttp.ClientSession
    rng: random.Random
    repeats: int = 0

    async def ask(self, method: str, path: str, *, key: str = "", json: Any = None) -> tuple[Any, bool]:
        """The answer, and whether the request may have been done before."""
        again = False
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            node: Node = self.rng.choice(self.here.balancer.ready)
            headers = {"Idempotency-Key": key} if key else {}
            try:
                async with self.session.request(
                    method, node.internal_url + path, json=json, headers=headers
                ) as response:
                    if response.status < 300:
                        return (None if response.status == 204 else await response.json()), again
                    assert response.status in (409, 503), (response.status, await response.text())
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            again = True
            self.repeats += 1
            await asyncio.sleep(0.05)
        raise Unanswered(f"{method} {path}")


@dataclass
class Family:
    """A few users whose steps are taken one after the other, so that what they ought to see is certain."""

    here: World
    backend: Backend
    rng: random.Random
    ledgers: dict[str, Ledger]
    bells: dict[str, list[Bell]]
    done: Counter[str] = field(default_factory=Counter)
    late_ms: list[int] = field(default_factory=list)
    """How late each thing was that happened by itself while nobody asked for anything."""
    ids: list[str] = field(default_factory=lambda: [NOBODYS])
    _keys: itertools.count[int] = field(default_factory=itertools.count)

    async def step(self) -> None:
        """One random step, and then a look at everything. Raises Drift."""
        kind = self.rng.random()
        user = self.rng.choice(list(self.ledgers))
        if kind < 0.45:
            await self._publish()
        elif kind < 0.9:
            await self._mark(user)
        elif kind < 0.91:
            await self._retract(self.rng.choice(self.ids))
        elif kind < 0.93:
            await self._rest(user)
        elif kind < 0.96:
            bell = self.rng.choice(self.bells[user])
            bell.cut()
            self.done["cut"] += 1
        else:
            self._come_or_go(self.rng.choice(self.bells[user]))
        for one in self.ledgers:
            await self.agree(one)

    def _come_or_go(self, bell: Bell) -> None:
        if not bell.wanted.is_set():
            bell.wanted.set()
            self.done["return"] += 1
            return
        bell.wanted.clear()
        bell.cut()
        if self.rng.random() < 0.2:
            bell.forget()
        self.done["leave"] += 1

    # -- what is done ---------------------------------------------------------------------------------

    async def _publish(self) -> None:
        key = f"{id(self)}-{next(self._keys)}"
        users = list(self.ledgers)
        targets = [self.rng.sample(users, self.rng.choice((1, 1, 1, len(users)))) for _ in range(3)]
        batch = self.rng.random() < 0.15
        items = [self._item(target) for target in (targets if batch else targets[:1])]
        answer, _ = await self.backend.ask(
            "POST",
            "/v1/notifications/batch" if batch else "/v1/notifications",
            key=key,
            json={"notifications": items} if batch else items[0],
        )
        for item, accepted in zip(items, answer["results"] if batch else [answer], strict=True):
            expires_ms = parsed(accepted["expires_at"]) or 0 if "expires_at" in accepted else 0
            self.ids.append(accepted["id"])
            to = item["to"]
            for user in to.get("users", [to.get("user")]):
                entry = ModelEntry(
                    accepted["id"], 0, expires_ms, item.get("category"), item.get("collapse_key")
                )
                self.ledgers[user].expect(
                    Step(
                        f"publish {item} as {entry.id}",
                        partial(_published, entry),
                        entry,
                    )
                )
        self.ids = self.ids[-30:]
        self.done["batch" if batch else "publish"] += 1

    def _item(self, users: list[str]) -> dict[str, Any]:
        item: dict[str, Any] = {
            "to": {"users": users} if len(users) > 1 else {"user": users[0]},
            "title": "x",
        }
        if self.rng.random() < 0.4:
            item["category"] = self.rng.choice(("ci", "chat"))
        if self.rng.random() < 0.3:
            item["collapse_key"] = self.rng.choice(("k1", "k2"))
        if self.rng.random() < 0.3:
            item["ttl"] = self.rng.choice((1, 2, 3))
        return item

    async def _mark(self, user: str) -> None:
        ledger, model = self.ledgers[user], self.ledgers[user].model
        known = [*sorted(model.entries), *self.ids[-2:]]
        what = self.rng.choice(sorted(MARKS))
        asked: dict[str, Any] = {"as": what}
        until_ms = int(time.time() * 1000) + self.rng.choice((300, 700, 1500))
        if what == "snoozed":
            asked["until"] = timestamp(until_ms)
        picked = [self.rng.choice(known) for _ in range(self.rng.choice((1, 1, 3)))]
        category = None
        if self.rng.random() < 0.6:
            asked["ids"] = list(dict.fromkeys(picked))
        else:
            asked["up_to"] = picked[0] if self.rng.random() < 0.5 else model.rev - self.rng.randrange(8)
            if self.rng.random() < 0.3:
                asked["category"] = category = self.rng.choice(("ci", "chat"))
        result: list[Any] = []

        def work(model: ModelInbox, _: int) -> list[tuple[Any, ...]]:
            ids, up_to = asked.get("ids"), asked.get("up_to")
            if isinstance(up_to, str):
                entry = model.entries.get(up_to)
                if entry is None:
                    result[:] = [0, [up_to]]
                    return []
                up_to = entry.place
            missing = [] if ids is None else [id_ for id_ in ids if id_ not in model.entries]
            changed, told = model.mark(what, ids=ids, up_to=up_to, category=category, until_ms=until_ms)
            result[:] = [changed, missing]
            return told

        try:
            answer, again = await self._ask_mark(user, asked)
        except Late:
            return
        step = Step(f"mark {asked}", work)
        ledger.expect(step)
        await self.reach(ledger, answer["rev"])
        if not step.done:
            ledger.evaluate(step)
        ledger.compare(answer["rev"], answer["counts"], f"the answer to {step.what}")
        if not again and result != [answer["changed"], answer["missing"]]:
            raise ledger.drift(f"{step.what} was answered {answer}, not {result}")
        self.done[what] += 1

    async def _ask_mark(self, user: str, asked: dict[str, Any]) -> tuple[Any, bool]:
        """By one of the user's own connections, or by a backend."""
        bell = self.rng.choice(self.bells[user])
        again = False
        if bell.connected and self.rng.random() < 0.5:
            try:
                answer = await bell.call("inbox:mark", asked)
            except ConnectionError:
                again = True
            else:
                if answer["ok"]:
                    return answer, False
                again = True
        if "until" in asked and (parsed(asked["until"]) or 0) < time.time() * 1000 + 150:
            raise Late
        answer, repeated = await self.backend.ask("POST", f"/v1/users/{user}/inbox/mark", json=asked)
        return answer, again or repeated

    async def _retract(self, id_: str) -> None:
        """Take a notification back from all who have it."""
        if id_ == NOBODYS:
            return
        await self.backend.ask("DELETE", f"/v1/notifications/{id_}")
        for user, ledger in self.ledgers.items():
            step = Step(f"retract {id_}", partial(_retracted, id_))
            ledger.expect(step)
            page, _ = await self.backend.ask("GET", f"/v1/users/{user}/inbox?limit=0")
            await self.reach(ledger, page["rev"])
            if not step.done:
                ledger.evaluate(step)
        self.done["retract"] += 1

    async def _rest(self, user: str) -> None:
        """Touch nothing, until what is due next has happened by itself, as it must for who is connected."""
        ledger = self.ledgers[user]
        due_ms, rev = ledger.due_ms, ledger.model.rev
        if due_ms is None or due_ms > time.time() * 1000 + LONGEST_REST_MS:
            return
        if not any(bell.settled for bell in self.bells[user]):
            return
        while ledger.model.rev == rev:
            if time.time() * 1000 > due_ms + PATIENCE_S * 1000:
                raise ledger.drift("what is due does not happen")
            await asyncio.sleep(0.005)
            ledger.advance()
        self.late_ms.append(ledger.late_ms[-1])
        self.done["rest"] += 1

    # -- what is seen ---------------------------------------------------------------------------------

    async def reach(self, ledger: Ledger, rev: int) -> None:
        """Until the model is at that rev. Raises Drift."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            ledger.advance(rev)
            if ledger.model.rev >= rev:
                return
            if time.monotonic() > deadline:
                raise ledger.drift(f"rev {rev} was never published")
            await asyncio.sleep(0.001)

    async def agree(self, user: str) -> None:
        """What the nodes and all connected screens of a user show is what the model says. Raises Drift."""
        ledger = self.ledgers[user]
        deadline = time.monotonic() + PATIENCE_S
        while not ledger.idle:
            ledger.advance()
            if time.monotonic() > deadline:
                raise ledger.drift("what was accepted was never published")
            await asyncio.sleep(0.001)
        while True:
            status = self.rng.choice(STATUSES)
            page, _ = await self.backend.ask("GET", f"/v1/users/{user}/inbox?limit=100&by=category")
            other, _ = await self.backend.ask("GET", f"/v1/users/{user}/inbox?limit=100&status={status}")
            await self.reach(ledger, page["rev"])
            ledger.compare(page["rev"], page["counts"], "a list")
            ledger.compare_list("all", [entry["id"] for entry in page["data"]], "a node")
            if ledger.model.by_category() != {
                name: Counts(**counts) for name, counts in page["categories"].items()
            }:
                raise ledger.drift(f"a node counts {page['categories']}")
            if other["rev"] == page["rev"]:
                ledger.compare_list(status, [entry["id"] for entry in other["data"]], "a node")
                break
        while not all(self._shows(ledger, bell) for bell in self.bells[user]):
            if time.monotonic() > deadline:
                raise ledger.drift(f"screens show {[repr(bell) for bell in self.bells[user]]}")
            await asyncio.sleep(0.001)
            ledger.advance()

    def _shows(self, ledger: Ledger, bell: Bell) -> bool:
        """True when a screen has settled at what the model says, or is not there. Raises Drift."""
        if not bell.wanted.is_set():
            return True
        if bell.faults:
            raise ledger.drift(bell.faults[0])
        model = ledger.model
        if not bell.settled or bell.rev != model.rev:
            return False
        counts = model.counts
        if (bell.unseen, bell.unread) != (counts.unseen, counts.unread):
            raise ledger.drift(f"a screen shows {bell}")
        shown = [(id_, one.seen, one.read) for id_, one in bell.shown.items()]
        right = [(one.id, one.seen, one.read) for one in model.entries.values() if one.active]
        if sorted(shown) != sorted(right):
            raise ledger.drift(f"a screen shows {bell}")
        return True


def _published(entry: ModelEntry, model: ModelInbox, now_ms: int) -> list[tuple[Any, ...]]:
    return model.publish(now_ms, entry)


def _retracted(id_: str, model: ModelInbox, _: int) -> list[tuple[Any, ...]]:
    return model.retract(id_)
