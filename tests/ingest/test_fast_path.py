"""The short cut and the schema are one: whatever the short cut accepts, the schema makes the same of."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from notify.domain.errors import Invalid
from notify.domain.notifications.notification import RESERVED_EVENTS
from notify.ingest import fast_path
from notify.ingest.openapi import examples
from notify.ingest.schemas import NOTIFICATION, PRIORITIES, load

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["42", "43", "a", "@a", "a*", "", "x" * 256, "x" * 257, "a\n", "ü", "a\u2028b"]
) | st.text(min_size=1, max_size=6)
name_lists = st.lists(names, max_size=5) | st.just([str(number) for number in range(101)])
urls = st.sampled_from(
    ["/", "/x", "//x", "https://a/b", "javascript:x", "x:y", "x/y:z", "?", "", "https://"]
) | st.text("/:?#\\ \tahtps.@", max_size=12)
namespaces = st.sampled_from(["/", "/chat", "/users/42", "/users/", "/users", "x", "", "/a b"]) | names.map(
    "/".__add__
)
moments = st.sampled_from(
    [
        "2026-12-01T09:00:00Z",
        "2026-12-01T09:00:00.123456+05:30",
        "2026-12-01t09:00:60z",
        "2026-12-01T09:00:00",
        "2026-13-01T09:00:00Z",
        "2026-12-01",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "",
        0,
    ]
) | st.datetimes().map(lambda moment: moment.isoformat() + "Z")


def fields(**choices: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields, mostly with values that fit."""
    likely = {name: values | values | values | json_values for name, values in choices.items()}
    return st.fixed_dictionaries({}, optional=likely)


targets = fields(
    user=names, users=name_lists, room=names, rooms=name_lists, all=st.just(True), except_users=name_lists
)
bodies = st.tuples(
    fields(
        to=targets | st.just({"user": "42"}),
        event=st.sampled_from([*RESERVED_EVENTS, "notification", "x" * 129]) | names,
        title=st.text(max_size=5) | st.just("x" * 1025),
        body=st.text(max_size=5),
        url=urls,
        category=names,
        priority=st.sampled_from([*PRIORITIES, "High"]),
        data=st.dictionaries(st.text(max_size=3), json_values, max_size=3),
        ttl=st.sampled_from([0, 1, 2592000, 2592001, -1]) | st.integers(),
        namespace=namespaces,
        collapse_key=names | st.just("x" * 129),
        inbox=st.booleans(),
        deliver_at=moments,
    ),
    st.dictionaries(st.sampled_from(["collapse_key", "x", "_schema", "target"]), json_values, max_size=1)
    | st.just({}),
).map(lambda pair: {**pair[0], **pair[1]})


def both(body: Any) -> tuple[Any, Any]:
    """What the schema makes of it (None: refused), and what the short cut does."""
    before = copy.deepcopy(body)
    try:
        by_schema = load(NOTIFICATION, body)
    except Invalid as error:
        assert error.errors
        by_schema = None
    found = fast_path.plainly(body)
    assert body == before
    return by_schema, found


@settings(max_examples=600, deadline=None)
@given(bodies)
def test_what_the_short_cut_accepts_is_what_the_schema_makes(body):
    by_schema, found = both(body)
    event(f"schema {'accepts' if by_schema else 'refuses'}, short cut {'accepts' if found else 'leaves'}")
    if found is not None:
        assert found == by_schema
    # The short cut leaves nothing to the schema but what it refuses and users' own namespaces.
    if by_schema is not None and not by_schema.namespace.startswith("/users/"):
        assert found is not None


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_no_json_value_makes_either_of_them_fail_otherwise(value):
    by_schema, found = both(value)
    assert by_schema is None
    assert found is None


@pytest.mark.parametrize("body", examples.NOTIFICATIONS.values(), ids=examples.NOTIFICATIONS)
def test_they_agree_on_the_examples(body):
    by_schema, found = both(orjson.loads(orjson.dumps(body)))
    assert by_schema is not None
    assert found == by_schema or by_schema.namespace.startswith("/users/")


def test_names_that_do_not_look_plain_are_still_the_same():
    for name in ("a b", "\u200d", "é", "\U0001f600", "a/b", "*", "a@b"):
        by_schema, found = both({"to": {"user": name, "except_users": [name]}})
        assert found == by_schema is not None
