"""Requests and upgrades of sessions that live on another node than the one that got them."""

from __future__ import annotations

from notify.gateway.elsewhere.door import Door
from notify.gateway.elsewhere.links import Links
from notify.gateway.elsewhere.moves import Moves
from notify.gateway.elsewhere.relay import Relay
from notify.gateway.sessions.moving_in import MovingIn
from notify.gateway.sessions.moving_out import MovingOut
from notify.gateway.stats import GatewayStats
from notify.ops.descriptors import Descriptors
from notify.settings.settings import Settings
from notify.wiring.backplane import Backplane
from notify.wiring.gateway import Gateway
from notify.wiring.storage import Storage

LATE_ANSWER_S = 5.0
"""How much later than a ping the answer to a poll that was passed on may come."""


class Elsewhere:
    """The way to other nodes (`relay`, `moves`, over `links`) and the door for theirs."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        backplane: Backplane,
        gateway: Gateway,
        *,
        stats: GatewayStats,
        descriptors: Descriptors,
    ) -> None:
        engine, directory, subscriber = gateway.server.eio, backplane.directory, backplane.subscriber
        mark_length = len(directory.mark)
        sid_length = mark_length + len(engine.generate_id())
        self.links = Links(directory, stats)
        self.relay = engine.elsewhere = Relay(
            self.links,
            stats=stats,
            mark_length=mark_length,
            sid_length=sid_length,
            max_body_bytes=settings.max_payload,
            most=descriptors.public,
            timeout_s=settings.ping_interval + settings.ping_timeout + LATE_ANSWER_S,
        )
        moving_out = MovingOut(
            engine=engine,
            manager=backplane.manager,
            rooms=gateway.rooms,
            expiry=gateway.expiry,
            cuts=subscriber.cuts,
            publish_cut=storage.log.cut,
            node_topic=storage.keys.node,
            node_id=backplane.node_id,
        )
        moving_in = MovingIn(
            server=gateway.server,
            manager=backplane.manager,
            admission=gateway.admission,
            arrivals=gateway.arrivals,
            sessions=storage.sessions,
            inbox_watch=gateway.inbox_watch,
            cuts=subscriber.cuts,
            node_id=backplane.node_id,
            now_ms=storage.clock.now_ms,
        )
        gateway.rooms.arrived = moving_in.arrived
        self.moves = engine.moves = Moves(
            self.links,
            moving_in,
            stats=stats,
            deadlines=engine.deadlines,
            mark_length=mark_length,
            sid_length=sid_length,
            most=descriptors.public,
            upgrade_timeout_s=engine.upgrade_timeout_s,
            takes_more=lambda: not engine.limits.full and subscriber.connected,
        )
        self.door = Door(engine, moving_out, directory, stats=stats, max_body_bytes=settings.max_payload)
        directory.on_secrets.append(self.door.secrets_changed)
