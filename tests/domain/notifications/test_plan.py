"""Plans: kept in one version, read in the next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain.notifications.notification import MAX_AHEAD_MS, Accepted, Notification, Target
from notify.domain.notifications.plan import KEPT_MS, Plan

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), max_size=3)
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
MOMENTS = st.integers(1, 2**46)

plans = st.builds(
    Plan,
    st.builds(Accepted, st.just("ntf_1"), MOMENTS, st.none() | MOMENTS, st.just(False), MOMENTS),
    st.builds(
        Notification,
        st.builds(Target, NAMES.map(tuple), NAMES.map(tuple), st.booleans(), NAMES.map(frozenset)),
        title=TEXTS,
        body=TEXTS,
        url=TEXTS,
        category=TEXTS,
        priority=st.sampled_from(["low", "urgent"]),
        data=st.none() | st.dictionaries(st.text("ab"), st.integers(-5, 5) | st.none()),
        ttl_s=st.integers(0, 9),
        collapse_key=TEXTS,
        inbox=st.booleans(),
        deliver_at_ms=MOMENTS,
    ),
    st.text("req-1", max_size=5),
)

VERSION_1 = (
    b'{"v":1,"id":"ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8","created_ms":1000,"deliver_ms":61000,"expires_ms":121000,'
    b'"trace":"req-1","to":{"users":["42"],"rooms":["lobby"],"all":false,"except_users":["7"]},'
    b'"event":"notification","namespace":"/","title":"Later","body":null,"url":"/x","category":"ci",'
    b'"priority":"high","data":{"n":1},"ttl_s":60,"collapse_key":"k","inbox":true,"deliver_at_ms":61000}'
)


@given(plans)
def test_a_plan_is_what_it_was(plan: Plan):
    assert Plan.decode(plan.encode()) == plan


def test_version_1_is_read():
    plan = Plan.decode(VERSION_1)
    assert plan.accepted == Accepted("ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8", 1000, 121_000, deliver_ms=61_000)
    assert plan.notification == Notification(
        Target(("42",), ("lobby",), except_users=frozenset({"7"})),
        title="Later",
        url="/x",
        category="ci",
        priority="high",
        data={"n": 1},
        ttl_s=60,
        collapse_key="k",
        deliver_at_ms=61_000,
    )
    assert plan.trace == "req-1"
    assert plan.encode() == VERSION_1


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"[]",
        b"{}",
        VERSION_1.replace(b'"v":1', b'"v":2'),
        VERSION_1.replace(b'"to":{', b'"to":{"them":'),
        VERSION_1.replace(b'"users":["42"]', b'"users":1'),
    ],
)
def test_what_cannot_be_read_is_told_from_a_plan(kept: bytes):
    with pytest.raises(ValueError):
        Plan.decode(kept)


def test_it_is_kept_for_a_day_beyond_what_it_is_worth():
    plan = Plan.decode(VERSION_1)
    assert plan.kept_until_ms == 121_000 + KEPT_MS
    ephemeral = Plan(Accepted("ntf_1", 0, None, deliver_ms=MAX_AHEAD_MS), plan.notification, "-")
    assert ephemeral.kept_until_ms == MAX_AHEAD_MS + KEPT_MS
