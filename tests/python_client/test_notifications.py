"""A notification after it was sent, and the end of a user, through the client on real nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from notify_client import NotFound
from tests.python_client.conftest import Connect
from tests.python_client.test_people import online
from tests.support.cluster import Cluster


async def test_it_says_how_far_it_has_come(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[0].internal_url) as notify:
        users = [unique, f"{unique}/bo"]
        sent = await notify.send(to={"users": users}, title="Hello", data={"n": 1}, category="ci")
        found = await notify.get(sent.id)
        assert (found.id, found.status, found.title, found.category) == (sent.id, "accepted", "Hello", "ci")
        assert (found.data, found.priority, found.deliver_at) == ({"n": 1}, "normal", None)
        assert (found.created_at, found.expires_at) == (sent.created_at, sent.expires_at)
        assert (found.recipients, found.delivered, found.seen, found.read, found.archived) == (2, 0, 0, 0, 0)
        await notify.inbox(users[1]).mark("read", sent.id)
        await notify.inbox(users[0]).mark("archived", sent.id)
        found = await notify.get(sent.id)
        assert (found.recipients, found.delivered, found.seen, found.read, found.archived) == (2, 1, 1, 1, 1)


async def test_it_is_taken_back_and_once_more_is_no_error(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[1].internal_url) as notify:
        sent = await notify.send(to={"user": unique}, title="Hello")
        await notify.retract(sent.id)
        await notify.retract(sent.id)
        found = await notify.get(sent.id)
        assert (found.status, found.recipients, found.title) == ("retracted", 1, None)
        assert (await notify.inbox(unique).list()).data == ()


async def test_one_that_waits_is_cancelled(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[2].internal_url) as notify:
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        sent = await notify.send(to={"user": unique}, title="Later", deliver_at=at)
        assert sent.status == "scheduled"
        found = await notify.get(sent.id)
        assert (found.status, found.deliver_at, found.recipients) == ("scheduled", at, 1)
        await notify.retract(sent.id)
        assert (await notify.get(sent.id)).status == "retracted"


async def test_what_is_not_known_is_not_found(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[0].internal_url) as notify:
        ephemeral = await notify.send(to={"user": unique}, title="Now or never", ttl=0)
        for id_ in (ephemeral.id, "ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8", "a/b?c"):
            with pytest.raises(NotFound):
                await notify.get(id_)
            with pytest.raises(NotFound):
                await notify.retract(id_)


async def test_of_an_erased_user_nothing_is_left(connected: Connect, cluster: Cluster, unique: str):
    user = f"{unique}/ä"
    async with connected(cluster.nodes[0].internal_url) as notify, online(cluster.nodes[1].url, user):
        await notify.send(to={"user": user}, title="Hello")
        await notify.erase(user)
        await notify.erase(user)
        presence = await notify.presence(user)
        assert (presence.online, presence.last_seen) == (False, None)
        page = await notify.inbox(user).list()
        assert (page.data, page.counts.total) == ((), 0)
