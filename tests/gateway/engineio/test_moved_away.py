"""Sessions that have just gone to another node are remembered, and not for long."""

from __future__ import annotations

from notify.gateway.engineio.transports.moved_away import MovedAway
from tests.support.waiting import until


async def test_they_are_forgotten_in_time():
    moved_away = MovedAway(keep_s=0.2)
    moved_away.add("sid")
    assert "sid" in moved_away
    assert "other" not in moved_away
    await until(lambda: "sid" not in moved_away)
    moved_away.add("sid")
    moved_away.stop()
    assert "sid" not in moved_away
