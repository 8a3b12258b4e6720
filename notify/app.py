"""The composition root: the only place that constructs and wires. Start, and stop in reverse order."""

from __future__ import annotations

import secrets
import socket as sockets
from contextlib import AsyncExitStack
from math import ceil

import structlog
from aiohttp import web

from notify.backplane.advertised import advertised_url
from notify.backplane.cluster import Cluster
from notify.backplane.directory import Directory
from notify.backplane.manager import RedisManager
from notify.backplane.node_messages import NodeMessage, Release, encode
from notify.backplane.registry import Registry
from notify.backplane.stats import BackplaneStats
from notify.backplane.subscriber import Subscriber
from notify.domain.message import NO_TRACE
from notify.gateway.answers import Answers
from notify.gateway.auth.authenticator import Authenticator
from notify.gateway.drain import close_in_batches
from notify.gateway.elsewhere.door import Door
from notify.gateway.elsewhere.links import Links
from notify.gateway.elsewhere.moves import Moves
from notify.gateway.elsewhere.relay import Relay
from notify.gateway.events import Events
from notify.gateway.inbox import InboxEvents
from notify.gateway.sessions.admission import SessionAdmission
from notify.gateway.sessions.arrivals import Arrivals
from notify.gateway.sessions.expiry import Expiry
from notify.gateway.sessions.inbox_audit import InboxAudit
from notify.gateway.sessions.inbox_watch import InboxWatch
from notify.gateway.sessions.moving_in import MovingIn
from notify.gateway.sessions.moving_out import MovingOut
from notify.gateway.sessions.pacing import Pacing
from notify.gateway.sessions.recovery import Recovery
from notify.gateway.sessions.rooms import Rooms
from notify.gateway.sessions.session_refresher import SessionRefresher
from notify.gateway.socketio.server import SocketServer
from notify.gateway.stats import GatewayStats
from notify.ingest.plain_posts import PlainPosts
from notify.ingest.routes import routes as ingest_routes
from notify.ingest.stats import IngestStats
from notify.listeners import Listeners
from notify.ops.descriptors import Descriptors, raise_limit, share_out, warn_of_few
from notify.ops.health import Health
from notify.ops.lifecycle import Lifecycle, State
from notify.ops.logging import log_stats
from notify.ops.metrics import Metrics
from notify.ops.patience import until_available
from notify.redis.client import Redis
from notify.redis.clock import RedisClock
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service.deliverer import Deliverer
from notify.service.inboxes import Inboxes
from notify.service.keys import ApiKeys
from notify.service.notifications import Notifications
from notify.service.publish import Publisher
from notify.service.scheduler import Scheduler
from notify.service.stats import ServiceStats
from notify.service.users import Users
from notify.settings.settings import Settings
from notify.store.addresses import Addresses
from notify.store.api_keys import ApiKeyStore
from notify.store.checks import examine
from notify.store.heartbeats import Heartbeats
from notify.store.idempotency import IdempotencyKeys
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import Log
from notify.store.notifications.due import Due
from notify.store.notifications.erasure import Erasure
from notify.store.notifications.plans import DELIVER, Plans
from notify.store.notifications.records import Records
from notify.store.notifications.retractions import RETRACT, Retractions
from notify.store.sessions import Sessions

REFRESH_S = 60
"""How often sessions are refreshed: after a crash, the recovery window may be longer by this."""
LOG_SLACK_S = 60
LOG_MAX_MESSAGES = 10_000
"""What one channel's log keeps, about: 300 messages for a client, but all of an outage for a node."""
MESSAGE_SLACK = 1024 * 1024
"""Bytes that a published message may have besides its payload: users left out, and JSON's escapes."""
CONNECT_WAIT_S = 5.0
CONNECTS_AT_ONCE = 128
"""Clients that are being let in at a time: enough for full calls to Redis (`arrivals.MOST_IN_ONE`) while the
answers to others are on their way."""
LONGEST_TURN_S = 10.0
"""How long a client waits to be let in: half of what socket.io-client gives a connection."""
LATE_ANSWER_S = 5.0
"""How much later than a ping the answer to a poll that was passed on may come."""

log = structlog.get_logger(__name__)


class Node:
    """One server process: everything it is made of, wired. `redis_url` is where its Redis is."""

    def __init__(self, settings: Settings, *, redis_url: str, lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self.stack = AsyncExitStack()
        self.gateway_stats = GatewayStats()
        self.backplane_stats = BackplaneStats()
        self.ingest_stats = IngestStats()
        self.service_stats = ServiceStats()
        self.store_stats = RedisStats()
        self._build_store(redis_url)
        self._build_backplane()
        descriptors = share_out(raise_limit(), internal=settings.max_internal_connections)
        warn_of_few(descriptors, wanted=settings.max_connections)
        self._build_gateway(descriptors)
        self.listeners = Listeners(
            settings,
            server=self.server,
            ingest_stats=self.ingest_stats,
            descriptors=descriptors,
            hurried=lifecycle.hurry.is_set,
        )
        self._build_ops()

    def _build_store(self, redis_url: str) -> None:
        settings = self.settings
        window_s = ceil(settings.recovery_window)
        refresh_s = max(1, min(REFRESH_S, window_s // 3))
        self.keys = Keys(settings.redis_prefix)
        self.connector = Connector(redis_url, timeout_s=settings.redis_timeout)
        self.redis = Redis(self.connector, stats=self.store_stats)
        # A client is owed everything since its connection broke, which is noticed only a ping later; and a
        # session outlives a crashed node by up to one refresh. The log must reach back further than both.
        ttl_s = window_s + refresh_s + ceil(settings.ping_interval + settings.ping_timeout) + LOG_SLACK_S
        self.clock = RedisClock()
        self.inbox = Inbox(self.redis, self.keys, max_entries=settings.inbox_max)
        self.log = Log(
            self.redis,
            self.keys,
            ttl_s=ttl_s,
            max_messages=LOG_MAX_MESSAGES,
            inbox=self.inbox,
            clock=self.clock,
        )
        self.sessions = Sessions(self.redis, self.keys, window_s=window_s, refresh_s=refresh_s)
        self.refresh_s = refresh_s
        self.due = Due(self.redis, self.keys)
        plans = Plans(self.redis, self.keys, self.due)
        self.publisher = Publisher(
            log=self.log,
            plans=plans,
            idempotency_keys=IdempotencyKeys(self.redis, self.keys),
            stats=self.service_stats,
            now=self.clock.now,
            trace=_request_id,
            inbox_ttl_s=ceil(settings.inbox_ttl),
        )
        stats, now_ms = self.service_stats, self.clock.now_ms
        self.scheduler = Scheduler(due=self.due, stats=stats, now_ms=now_ms)
        self.due.on_added = self.scheduler.expect
        deliverer = Deliverer(log=self.log, plans=plans, stats=stats, now_ms=now_ms)
        self.scheduler.register(DELIVER, deliverer.deliver)
        retractions = Retractions(self.redis, self.keys, self.inbox)
        self.erasure = Erasure(self.redis, self.keys, inbox=self.inbox, retractions=retractions)
        self.notifications = Notifications(
            records=Records(self.redis, self.keys),
            inbox=self.inbox,
            retractions=retractions,
            stats=stats,
            trace=_request_id,
        )
        self.scheduler.register(RETRACT, self.notifications.finish_retractions)
        self.inboxes = Inboxes(inbox=self.inbox, stats=self.service_stats, trace=_request_id)
        self.api_keys = ApiKeys(
            ApiKeyStore(self.redis, self.keys), configured=[key.reveal() for key in settings.api_keys]
        )

    @property
    def node_id(self) -> str:
        """The name of this node. Once it has started, it may differ from the one that was set."""
        return self.registry.node_id

    def _build_backplane(self) -> None:
        settings = self.settings
        self.registry = Registry(
            node_id=settings.node_id or f"{sockets.gethostname()}-{secrets.token_hex(3)}",
            nodes=Heartbeats(self.redis, self.keys),
        )
        self.directory = Directory(
            addresses=Addresses(self.redis, self.keys), url=self._advertised_url, redis_host=self._redis_host
        )
        plain = [settings.socketio_channel] if settings.socketio_channel else []
        self.subscriber = Subscriber(
            connector=self.connector,
            store=self.log,
            topic_prefix=self.keys.topic_prefix,
            node_topic=self.keys.node(self.node_id),
            other_topics=(self.keys.socketio_topic, *plain),
            stats=self.backplane_stats,
            window_s=settings.recovery_window,
            max_message_bytes=2 * settings.max_payload + MESSAGE_SLACK,
        )
        self.manager = RedisManager(
            subscriber=self.subscriber,
            publish=self.redis.publish,
            socketio_topic=self.keys.socketio_topic,
            stats=self.backplane_stats,
            on_gap=lambda rooms, reason: self.session_refresher.gap(rooms, reason),  # noqa: PLW0108 - made later
            on_command=self._command,
            on_due=lambda user, due_ms: self.inbox_watch.expect(user, due_ms),  # noqa: PLW0108 - made later
            on_gone=lambda user: self.inbox_watch.forget(user),  # noqa: PLW0108 - made later
            plain_channel=settings.socketio_channel,
            traced=settings.log_level == "debug",
        )
        self.cluster = Cluster(
            node_id=lambda: self.node_id,
            registry=self.registry,
            publish=self.redis.publish,
            all_topic=self.keys.socketio_topic,
            node_topic=self.keys.node,
        )
        self.users = Users(
            cluster=self.cluster, sessions=self.sessions, erasure=self.erasure, stats=self.service_stats
        )

    def _advertised_url(self) -> str:
        settings, hosts = self.settings, self.redis.hosts
        return advertised_url(
            wanted=settings.advertise_url,
            internal_host=settings.host if self.listeners.shared else settings.internal_host,
            internal_port=self.listeners.internal_port,
            local_host=hosts[0] if hosts else None,
        )

    def _redis_host(self) -> str | None:
        hosts = self.redis.hosts
        return hosts[1] if hosts else None

    def _build_gateway(self, descriptors: Descriptors) -> None:
        settings = self.settings
        self.authenticator = Authenticator(
            secret=settings.jwt_secret.reveal().encode() if settings.jwt_secret else None,
            public_key=settings.jwt_public_key,
            jwks_url=settings.jwt_jwks_url,
            algorithms=settings.jwt_algorithms,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            max_rooms=settings.max_rooms_per_socket,
            clock=self.clock.now,
        )
        self.server = SocketServer(
            client_manager=self.manager,
            cors_allowed_origins=list(settings.cors_origins) or None,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            connect_timeout=settings.connect_timeout,
            max_http_buffer_size=settings.max_payload,
            send_buffer_limit=settings.send_buffer_limit,
            max_connections=min(settings.max_connections or descriptors.public, descriptors.public),
            handshake_rate=settings.handshake_rate or None,
            trusted_proxies=[str(network) for network in settings.trusted_proxies],
            stats=self.gateway_stats,
            keep_environ=False,
            namespaces="*",
        )
        self.manager.writer = self.server.eio.flusher
        self.inbox_watch = InboxWatch(inbox=self.inbox, now_ms=self.clock.now_ms, here=self.manager.has_user)
        self.inbox_audit = InboxAudit(users=self.manager.users, check=self.inboxes.check)
        self.recovery = Recovery(
            manager=self.manager,
            sessions=self.sessions,
            store_log=self.log,
            inbox=self.inbox,
            tell_node=lambda node, message: self.redis.post("PUBLISH", self.keys.node(node), encode(message)),
            node_id=lambda: self.node_id,
            stats=self.gateway_stats,
            max_messages=settings.recovery_max_messages,
        )
        self.arrivals = Arrivals(
            subscriber=self.subscriber,
            sessions=self.sessions,
            more_come=lambda: not self.server.handlers_in_flight.idle,
            timeout_s=CONNECT_WAIT_S,
        )
        self.admission = SessionAdmission(
            manager=self.manager,
            authenticator=self.authenticator,
            sessions=self.sessions,
            arrivals=self.arrivals,
            pacing=Pacing(
                at_once=CONNECTS_AT_ONCE,
                longest_wait_s=min(LONGEST_TURN_S, settings.connect_timeout / 2),
                stats=self.gateway_stats,
            ),
            recovery=self.recovery,
            inbox=self.inbox,
            inbox_watch=self.inbox_watch,
            node_id=lambda: self.node_id,
            namespaces=settings.namespaces,
            stats=self.gateway_stats,
            max_connections_per_user=settings.max_connections_per_user,
            max_rooms=settings.max_rooms_per_socket,
            buffer_limit=settings.send_buffer_limit,
            now=self.clock.now,
        )
        self.expiry = Expiry(
            expiring=self.admission.expiring, expired=self.admission.expired, clock=self.clock.now
        )
        self.admission.expiry = self.expiry
        self.server.admission = self.admission
        self.rooms = Rooms(
            manager=self.manager,
            sessions=self.sessions,
            store_log=self.log,
            session_of=self.admission.session_of,
            max_rooms=settings.max_rooms_per_socket,
        )
        self.session_refresher = SessionRefresher(
            manager=self.manager,
            sessions=self.sessions,
            session_of=self.admission.session_of,
            send_away=self.admission.send_away,
            leave_room=self.rooms.leave,
            promise_logs=self.log.promise,
            interval_s=self.refresh_s,
        )
        self.subscriber.on_resubscribed = self._resubscribed
        Events(
            manager=self.manager,
            authenticator=self.authenticator,
            admission=self.admission,
            rooms=self.rooms,
            sessions=self.sessions,
            publisher=self.publisher,
            send_events=settings.send_events,
            inbox=InboxEvents(
                inboxes=self.inboxes,
                now_ms=self.clock.now_ms,
                send_buffer_limit=settings.send_buffer_limit,
            ),
            now=self.clock.now,
        ).attach(self.server)
        Answers(manager=self.manager, admission=self.admission, rooms=self.rooms).attach(self.cluster)
        self._build_elsewhere(descriptors)

    def _build_elsewhere(self, descriptors: Descriptors) -> None:
        settings, engine = self.settings, self.server.eio
        self.links = Links(self.directory, self.gateway_stats)
        self.relay = engine.elsewhere = Relay(
            self.links,
            stats=self.gateway_stats,
            mark_length=len(self.directory.mark),
            sid_length=len(self.directory.mark) + len(engine.generate_id()),
            max_body_bytes=settings.max_payload,
            most=descriptors.public,
            timeout_s=settings.ping_interval + settings.ping_timeout + LATE_ANSWER_S,
        )
        moving_out = MovingOut(
            engine=engine,
            manager=self.manager,
            rooms=self.rooms,
            expiry=self.expiry,
            cuts=self.subscriber.cuts,
            publish_cut=self.log.cut,
            node_topic=self.keys.node,
            node_id=lambda: self.node_id,
        )
        moving_in = MovingIn(
            server=self.server,
            manager=self.manager,
            admission=self.admission,
            arrivals=self.arrivals,
            sessions=self.sessions,
            inbox_watch=self.inbox_watch,
            cuts=self.subscriber.cuts,
            node_id=lambda: self.node_id,
            now_ms=self.clock.now_ms,
        )
        self.rooms.arrived = moving_in.arrived
        self.moves = engine.moves = Moves(
            self.links,
            moving_in,
            stats=self.gateway_stats,
            deadlines=engine.deadlines,
            mark_length=len(self.directory.mark),
            sid_length=len(self.directory.mark) + len(engine.generate_id()),
            most=descriptors.public,
            upgrade_timeout_s=engine.upgrade_timeout_s,
            takes_more=lambda: not engine.limits.full and self.subscriber.connected,
        )
        self.door = Door(
            engine,
            moving_out,
            self.directory,
            stats=self.gateway_stats,
            max_body_bytes=settings.max_payload,
        )
        self.directory.on_secrets.append(self.door.secrets_changed)

    def _build_ops(self) -> None:
        self.metrics = Metrics(
            ingest=self.ingest_stats,
            gateway=self.gateway_stats,
            backplane=self.backplane_stats,
            service=self.service_stats,
            store=self.store_stats,
            logs=log_stats,
            http=self.listeners.stats,
            auth=self.authenticator,
            clock=self.clock,
        )
        self.lifecycle.on_change(self.metrics.state)
        self.health = Health(
            lifecycle=self.lifecycle,
            metrics=self.metrics,
            checks={"deaf": self._deaf},
            notes={"no_token_keys": self.authenticator.missing_keys},
        )

    def _resubscribed(self) -> None:
        """This node hears again: catch up on what was said while it heard nothing."""
        self.session_refresher.resubscribed()
        self.inbox_watch.healed(self.manager.users())

    def _deaf(self) -> str | None:
        return (
            "This node receives nothing that is published, though Redis answers."
            if self.subscriber.deaf
            else None
        )

    def _command(self, message: NodeMessage) -> None:
        """What another node asks of this one."""
        if isinstance(message, Release):
            self.recovery.release(message.socket, message.namespace)
        else:
            self.cluster.heard(message)

    # -- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Answer probes, reach Redis however long that takes, subscribe, take clients: starting -> ready.

        Raises Unavailable when Redis cannot be reached in time, UnfitRedis or another NotifyError when
        waiting would not help, CannotListen when a port is not available.
        """
        await self.listeners.open_internal(
            [*self.health.routes(), *self.door.routes(), *self._ingest_routes()],
            ending=self.door.aclose,
            shortcut=self._plain_posts(),
        )
        await until_available(
            self._reach_redis, within_s=self.settings.redis_start_timeout, event="waiting_for_redis"
        )
        self.server.eio.mark = self.directory.mark
        self.stack.push_async_callback(self.redis.stop)
        self.stack.push_async_callback(self.directory.stop)
        self.stack.push_async_callback(self.links.aclose)
        self.stack.push_async_callback(self.moves.aclose)
        self.stack.push_async_callback(self.subscriber.stop)
        self.stack.push_async_callback(self.manager.stop)
        self.stack.push_async_callback(self.cluster.stop)
        await self.authenticator.start()
        self.stack.push_async_callback(self.authenticator.stop)
        self.stack.push_async_callback(self.registry.stop)
        await self.session_refresher.start()
        self.stack.push_async_callback(self.session_refresher.stop)
        self.stack.callback(self.expiry.stop)
        self.stack.push_async_callback(self.inbox_watch.stop)
        self.stack.push_async_callback(self.arrivals.stop)
        self.inbox_audit.start()
        self.stack.push_async_callback(self.inbox_audit.stop)
        await self.listeners.open_public()
        self.scheduler.start()
        self.stack.push_async_callback(self.scheduler.stop)
        self.lifecycle.move(State.READY)

    async def _reach_redis(self) -> None:
        await self.redis.start()
        try:
            for finding in await examine(self.redis.execute):
                log.warning(finding.code, advice=finding.sentence)
            await self.registry.claim()
            self.subscriber.rename(self.keys.node(self.node_id))
            await self.subscriber.start()
            await self.registry.start()
            await self.directory.start()
            if not await self.api_keys.list():
                log.warning(
                    "no_api_keys", advice="Nobody can post: set NOTIFY_API_KEYS, or run `notify keys create`."
                )
        except BaseException:
            await self.directory.stop()
            await self.registry.stop()
            await self.subscriber.stop()
            await self.redis.stop()
            raise

    def _ingest_routes(self) -> list[web.RouteDef]:
        return ingest_routes(
            publisher=self.publisher,
            notifications=self.notifications,
            users=self.users,
            inboxes=self.inboxes,
            now_ms=self.clock.now_ms,
            keys=self.api_keys,
            max_payload=self.settings.max_payload,
            max_fanout_bytes=self.settings.max_fanout_bytes,
            stats=self.ingest_stats,
            ids=self.listeners.request_ids,
            fallback=not self.listeners.shared,
        )

    def _plain_posts(self) -> PlainPosts:
        return PlainPosts(
            publisher=self.publisher,
            keys=self.api_keys,
            stats=self.ingest_stats,
            ids=self.listeners.request_ids,
            max_payload=self.settings.max_payload,
            max_fanout_bytes=self.settings.max_fanout_bytes,
        )

    async def drain(self) -> None:
        """ready -> draining: leave the load balancers, take nobody new, send the clients elsewhere."""
        settings, lifecycle = self.settings, self.lifecycle
        lifecycle.move(State.DRAINING)
        engine = self.server.eio
        if engine.sockets or not lifecycle.interrupted:
            await lifecycle.sleep(settings.drain_delay)
        self.listeners.close_soon()
        engine.limits.draining = True
        await self.relay.close_soon()
        closed = await close_in_batches(
            list(engine.sockets.values()), over_s=settings.drain_seconds, sleep=lifecycle.sleep
        )
        self.gateway_stats.drained_connections += closed
        log.info("drained", connections=closed)

    async def stop(self) -> None:
        """Stop the ports, whose requests get to finish, then the rest in the reverse order of its start."""
        async with self.stack:
            await self.listeners.aclose()
        self.lifecycle.move(State.STOPPED)


def _request_id() -> str:
    """The id of the request that is being worked on."""
    found: str = structlog.contextvars.get_contextvars().get("request_id", NO_TRACE)
    return found
