"""Random steps on two inboxes in Redis and on their model: after each step both show and tell the same.

`INBOX_EXAMPLES=1000 INBOX_STEPS=100000` runs more of them than `make test` does.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from random import Random
from typing import Any, cast, get_args

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from notify.domain.inbox import MARKS, Mark, Page, Query, Status
from notify.domain.notifications.notification_id import new_id
from tests.store.inbox_model import ModelEntry, ModelInbox, taken_apart
from tests.store.inboxes import HOUR_MS, Inboxes
from tests.support.valkey import Valkey

EXAMPLES = int(os.environ.get("INBOX_EXAMPLES", "15"))
STEPS = int(os.environ.get("INBOX_STEPS", "300"))

USERS = ("ada", "bob")
CATEGORIES = st.sampled_from([None, "ci", "chat"])
USER = st.sampled_from(USERS)
HOURS = st.sampled_from([1, 2, 5])
LIFETIMES_H = st.sampled_from([1, 3, 6, 24, 100])
WHAT = st.sampled_from(sorted(MARKS))
PICKS = st.lists(st.integers(0, 7), min_size=1, max_size=4)


class Machine(RuleBasedStateMachine):
    """Both worlds, side by side."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.inboxes = self.run(self._made(url))
        self.shift_ms = 0
        self.look_later = False
        self.models = {user: ModelInbox(5) for user in USERS}
        self.ids: list[str] = [new_id(1)]

    async def _made(self, url: str) -> Inboxes:
        return await Inboxes(url, most=5).__aenter__()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.inboxes.__aexit__())
        self.runner.close()

    def now_ms(self) -> int:
        """Virtual time: Redis' own, and what was skipped."""
        return int(self.run(self.inboxes.now_ms())) + self.shift_ms

    def pick(self, user: str, pick: int) -> str:
        """An entry that the user has, mostly; else one that somebody had, or nobody."""
        found = [*sorted(self.models[user].entries), *self.ids[-2:]]
        return found[pick % len(found)]

    def swept(self, user: str) -> list[tuple[Any, ...]]:
        """What any look at an inbox does first."""
        model = self.models[user]
        return model.sweep(self.now_ms()) + model.trim()

    def expect(self, **told: list[tuple[Any, ...]]) -> None:
        heard = self.run(self.inboxes.told())
        for user in USERS:
            mine = [taken_apart(one.event, one.said) for one in heard if one.address == f"user:/:{user}"]
            assert mine == told.get(user, [])
        offsets = [one.offset for one in heard]
        assert offsets == sorted(offsets)

    @initialize()
    def begin(self) -> None:
        for user in USERS:
            self.models[user].rev = self.run(self.inboxes.inbox.snapshot(user)).rev
        for users in (USERS, USERS, ("ada",), ("bob",)):
            self.post(users, "ci", None, 24, False)

    @rule(
        users=st.sampled_from([("ada",), ("bob",), USERS]),
        category=CATEGORIES,
        collapse_key=st.sampled_from([None, None, "k1", "k2"]),
        hours=st.lists(LIFETIMES_H, min_size=1, max_size=3),
        twice=st.booleans(),
    )
    def publish(
        self,
        users: tuple[str, ...],
        category: str | None,
        collapse_key: str | None,
        hours: list[int],
        twice: bool,
    ) -> None:
        for lifetime_h in hours:
            self.post(users, category, collapse_key, lifetime_h, twice)

    def post(
        self, users: tuple[str, ...], category: str | None, collapse_key: str | None, hours: int, twice: bool
    ) -> None:
        entry = self.run(
            self.inboxes.entry(
                *users,
                ttl_ms=hours * HOUR_MS,
                category=category,
                collapse_key=collapse_key,
                once=(f"ntf_{len(self.ids)}", "0") if twice else None,
            )
        )
        for _ in range(1 + twice):
            self.run(self.inboxes.append(entry))
        now_ms = self.now_ms()
        self.ids.append(entry.inbox.id)
        expires_ms = entry.expires_ms + self.shift_ms
        self.expect(
            **{
                user: self.models[user].publish(
                    now_ms, ModelEntry(entry.inbox.id, 0, expires_ms, category, collapse_key)
                )
                for user in users
            }
        )

    @rule(
        user=USER,
        what=WHAT,
        picks=PICKS,
        hours=HOURS,
    )
    def mark_ids(self, user: str, what: Any, picks: list[int], hours: int) -> None:
        ids = [self.pick(user, pick) for pick in picks]
        until_ms = self.now_ms() + hours * HOUR_MS
        mark = Mark(what, ids=tuple(ids), until_ms=until_ms - self.shift_ms if what == "snoozed" else None)
        result = self.run(self.inboxes.inbox.mark(user, mark))
        told = self.swept(user)
        model = self.models[user]
        missing = tuple(id_ for id_ in dict.fromkeys(ids) if id_ not in model.entries)
        changed, more = model.mark(what, ids=ids, until_ms=until_ms)
        assert (result.changed, result.missing) == (changed, missing)
        assert (result.at.rev, result.at.counts) == (model.rev, model.counts)
        self.expect(**{user: told + more})

    @rule(
        user=USER,
        what=WHAT,
        pick=st.integers(0, 7),
        category=CATEGORIES,
        by_place=st.booleans(),
        hours=HOURS,
    )
    def mark_up_to(
        self, user: str, what: Any, pick: int, category: str | None, by_place: bool, hours: int
    ) -> None:
        id_ = self.pick(user, pick)
        model = self.models[user]
        told = self.swept(user)
        entry = model.entries.get(id_)
        place = entry.place if entry else model.rev - pick if by_place else None
        until_ms = self.now_ms() + hours * HOUR_MS
        mark = Mark(
            what,
            up_to=place if by_place else id_,
            category=category,
            until_ms=until_ms - self.shift_ms if what == "snoozed" else None,
        )
        result = self.run(self.inboxes.inbox.mark(user, mark))
        if place is None:
            assert (result.changed, result.missing) == (0, (id_,))
            self.expect(**{user: told})
            return
        changed, more = model.mark(what, up_to=place, category=category, until_ms=until_ms)
        assert (result.changed, result.missing) == (changed, ())
        self.expect(**{user: told + more})

    def choose(self, random: Random) -> None:
        """One step, drawn evenly: hypothesis draws some hardly ever, but makes what failed small."""
        user, what, pick = random.choice(USERS), random.choice(sorted(MARKS)), random.randrange(8)
        category, hours = random.choice([None, "ci", "chat"]), random.choice([1, 2, 5])
        kind = random.random()
        if kind < 0.35:
            self.mark_ids(user, what, [random.randrange(8) for _ in range(3)], hours)
        elif kind < 0.55:
            self.mark_up_to(user, what, pick, category, random.random() < 0.5, hours)
        elif kind < 0.85:
            users, key = random.choice([("ada",), ("bob",), USERS]), random.choice([None, None, None, "k1"])
            self.post(users, category, key, random.choice([1, 3, 6, 24, 100]), random.random() < 0.2)
        elif kind < 0.95:
            self.pass_time(hours)
        else:
            self.retract(user, pick)

    @rule(hours=HOURS)
    def pass_time(self, hours: int) -> None:
        for user in USERS:
            self.run(self.inboxes.pass_time(user, hours * HOUR_MS))
        self.shift_ms += hours * HOUR_MS
        self.look_later = True  # so that the next step is what finds something due

    @rule(user=USER, pick=st.integers(0, 7))
    def retract(self, user: str, pick: int) -> None:
        id_ = self.pick(user, pick)
        told = {user: self.swept(user) for user in USERS}
        had = sum(id_ in model.entries for model in self.models.values())
        assert self.run(self.inboxes.inbox.remove(id_, USERS, reason="retracted")) == had
        self.expect(**{user: told[user] + self.models[user].retract(id_) for user in USERS})

    @rule(most=st.integers(2, 8))
    def set_most(self, most: int) -> None:
        self.inboxes.most(most)
        for model in self.models.values():
            model.most = most
        self.look_later = True

    @rule(user=USER, really=st.sampled_from([False, False, False, True]))
    def erase(self, user: str, really: bool) -> None:
        if not really:
            return
        self.run(self.inboxes.inbox.erase(user))
        self.expect()
        rev = self.run(self.inboxes.inbox.snapshot(user)).rev
        self.models[user] = ModelInbox(self.models[user].most, rev)

    @rule(user=USER, limit=st.integers(1, 3))
    def turn_pages(self, user: str, limit: int) -> None:
        told = self.swept(user)
        found: list[str] = []
        after = None
        while True:
            page = self.run(self.inboxes.inbox.page(user, Query(limit=limit, after=after)))
            found += [entry.id for entry in page.entries]
            after = page.next
            if after is None:
                break
            assert len(page.entries) == limit
        assert found == self.models[user].listed("all")
        self.expect(**{user: told})

    async def _pages(self, user: str) -> dict[str, Page]:
        statuses = get_args(Status)
        pages = await asyncio.gather(
            *(
                self.inboxes.inbox.page(user, Query(status, limit=100, by_category=True))
                for status in statuses
            )
        )
        return dict(zip(statuses, pages, strict=True))

    @invariant()
    def both_show_the_same(self) -> None:
        if self.look_later:
            self.look_later = False
            return
        told = {user: self.swept(user) for user in USERS}
        for user, model in self.models.items():
            for status, page in self.run(self._pages(user)).items():
                assert [entry.id for entry in page.entries] == model.listed(status)
                assert (page.at.rev, page.at.counts) == (model.rev, model.counts)
                assert page.by_category == model.by_category()
                for entry in page.entries:
                    expected = model.entries[entry.id]
                    assert entry.place == expected.place
                    assert entry.state.delivered == expected.delivered
                    assert (entry.state.seen_at_ms is not None) == expected.seen
            assert self.run(self.inboxes.inbox.check(user)) == []
        self.expect(**told)
        for id_ in self.ids[-8:]:
            had = any(id_ in model.entries for model in self.models.values())
            assert bool(self.run(self.inboxes.body_of(id_))) == had


@pytest.mark.timeout(600)
def test_redis_and_the_model_never_part(valkey: Valkey):
    run_state_machine_as_test(
        cast(type[Machine], partial(Machine, valkey.tcp_url)),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        ),
    )


@pytest.mark.timeout(36_000)
def test_many_steps_later_they_are_still_the_same(valkey: Valkey):
    random = Random(f"inbox {os.environ.get('INBOX_SEED', '1')}")
    machine = Machine(valkey.tcp_url)
    try:
        machine.begin()
        for step in range(STEPS):
            machine.choose(random)
            if step % 97 == 96:
                machine.set_most(random.randrange(2, 9))
                machine.erase(random.choice(USERS), random.random() < 0.3)
            machine.both_show_the_same()
    finally:
        machine.teardown()
