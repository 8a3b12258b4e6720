"""The inbox of a user through the client, on real nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from notify_client import Invalid
from tests.python_client.conftest import Connect
from tests.support.cluster import Cluster


async def filled(notify, user: str, count: int = 5) -> list[str]:
    """Ids of notifications that were sent to the user, the oldest first."""
    sent = []
    for number in range(count):
        category = "ci" if number % 2 else "billing"
        sent.append(
            await notify.send(
                to={"user": user}, title=f"Number {number}", category=category, data={"n": number}
            )
        )
    return [each.id for each in sent]


async def test_a_page_has_entries_counts_and_the_way_to_the_next(
    connected: Connect, cluster: Cluster, unique: str
):
    async with connected(cluster.nodes[0].internal_url) as notify:
        ids = await filled(notify, unique)
        page = await notify.inbox(unique).list(limit=3, by="category")
        assert [entry.id for entry in page.data] == ids[:1:-1]
        assert (page.counts.unseen, page.counts.unread, page.counts.total) == (5, 5, 5)
        assert {name: counts.total for name, counts in page.categories.items()} == {"billing": 3, "ci": 2}
        rest = await notify.inbox(unique).list(limit=3, after=page.next)
        assert [entry.id for entry in rest.data] == ids[1::-1]
        assert rest.next is None
        assert rest.categories == {}
        newest = page.data[0]
        assert (newest.title, newest.category, newest.priority) == ("Number 4", "billing", "normal")
        assert newest.data == {"n": 4}
        assert (newest.seen_at, newest.read_at, newest.archived_at, newest.snoozed_until) == (None,) * 4
        assert abs(newest.created_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert newest.place > rest.data[0].place
        counts_alone = await notify.inbox(unique).list(limit=0)
        assert (counts_alone.data, counts_alone.next, counts_alone.rev) == ((), None, page.rev)


async def test_marks_change_counts_and_what_lists_show(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[1].internal_url) as notify:
        ids = await filled(notify, unique)
        inbox = notify.inbox(unique)
        done = await inbox.mark("read", up_to=ids[2])
        assert (done.changed, done.missing, done.counts.unread) == (3, (), 2)
        again = await inbox.mark("read", up_to=ids[2])
        assert (again.changed, again.rev) == (0, done.rev)
        done = await inbox.mark("archived", [ids[0], "ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8"])
        assert (done.changed, done.missing) == (1, ("ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8",))
        assert done.counts.total == 4
        done = await inbox.mark("snoozed", ids[4], until=datetime.now(UTC) + timedelta(hours=1))
        assert (done.changed, done.counts.total) == (1, 3)
        assert [entry.id for entry in (await inbox.list()).data] == ids[3:0:-1]
        assert [entry.id for entry in (await inbox.list(status="unread")).data] == [ids[3]]
        assert [entry.id for entry in (await inbox.list(status="archived")).data] == [ids[0]]
        (snoozed,) = (await inbox.list(status="snoozed")).data
        assert snoozed.id == ids[4]
        assert snoozed.snoozed_until is not None
        assert [entry.id for entry in (await inbox.list(category="ci")).data] == [ids[3], ids[1]]
        assert len((await inbox.list(category=["ci", "billing"])).data) == 3
        done = await inbox.mark("deleted", up_to=(await inbox.list()).data[0].place, category="ci")
        assert (done.changed, done.counts.total) == (2, 1)


async def test_the_newer_one_takes_the_place_of_the_older(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[0].internal_url) as notify:
        await notify.send(to={"user": unique}, title="Building", collapse_key="build")
        newer = await notify.send(to={"user": unique}, title="Built", collapse_key="build")
        await notify.send(to={"user": unique}, title="Kept out", inbox=False)
        (entry,) = (await notify.inbox(unique).list()).data
        assert (entry.id, entry.title) == (newer.id, "Built")


async def test_what_is_asked_wrongly_is_told_by_pointer(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[0].internal_url) as notify:
        inbox = notify.inbox(unique)
        with pytest.raises(Invalid) as raised:
            await inbox.list(limit=101)
        assert raised.value.errors[0].pointer == "/query/limit"
        with pytest.raises(Invalid) as raised:
            await inbox.mark("opened", ["ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8"])
        assert raised.value.errors[0].pointer == "/as"
        with pytest.raises(Invalid):
            await inbox.mark("read")
        with pytest.raises(Invalid):
            await inbox.mark("snoozed", ["ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8"], until=datetime(2026, 12, 1))
        with pytest.raises(Invalid):
            await notify.send(to={"room": unique}, title="For whoever is in", inbox=True)
