"""The composition root: the only place that constructs and wires. Start, and stop in reverse order."""

from __future__ import annotations

import asyncio
import gc
import secrets
import socket as sockets
from contextlib import AsyncExitStack
from math import ceil
from typing import Any

import structlog
from aiohttp import web

from notify.backplane.cluster import Cluster
from notify.backplane.manager import RedisManager
from notify.backplane.registry import Registry
from notify.backplane.stats import BackplaneStats
from notify.backplane.subscriber import Subscriber
from notify.domain.errors import NotifyError
from notify.gateway.admission import Admission
from notify.gateway.answers import Answers
from notify.gateway.auth import Authenticator
from notify.gateway.drain import close_in_batches
from notify.gateway.events import Events
from notify.gateway.expiry import Expiry
from notify.gateway.front import Front
from notify.gateway.keeper import SessionKeeper
from notify.gateway.recovery import Recovery
from notify.gateway.rooms import Rooms
from notify.gateway.server import SocketServer
from notify.gateway.stats import GatewayStats
from notify.ingest.routes import routes as ingest_routes
from notify.ingest.stats import IngestStats
from notify.ops.health import Health
from notify.ops.lifecycle import Lifecycle, State
from notify.ops.metrics import Metrics
from notify.service.keys import ApiKeys
from notify.service.people import People
from notify.service.publish import NO_TRACE, Publisher
from notify.service.stats import ServiceStats
from notify.settings import Settings
from notify.store.api_keys import ApiKeyStore
from notify.store.checks import UnfitRedis, examine
from notify.store.connection import Redis
from notify.store.embedded import EmbeddedError, EmbeddedServer
from notify.store.heartbeats import Heartbeats
from notify.store.idempotency import IdempotencyKeys
from notify.store.keys import Keys
from notify.store.log import Log
from notify.store.opener import Opener
from notify.store.sessions import Sessions
from notify.store.stats import StoreStats

REFRESH_S = 60
"""How often sessions are kept alive: what the recovery window may be longer than it says after a crash."""
LOG_SLACK_S = 60
LOG_MAX_MESSAGES = 10_000
"""What one channel's log keeps, about: 300 messages for a client, but all of an outage for a node."""
CONNECT_WAIT_S = 5.0
BACKLOG = 4096

EXIT_OK, EXIT_FAILED = 0, 1

log = structlog.get_logger(__name__)


class Node:
    """One server process: everything it is made of, wired. `redis_url` is where its Redis is."""

    def __init__(self, settings: Settings, *, redis_url: str, lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self.stack = AsyncExitStack()
        self.node_id = settings.node_id or f"{sockets.gethostname()}-{secrets.token_hex(3)}"
        self.gateway_stats = GatewayStats()
        self.backplane_stats = BackplaneStats()
        self.ingest_stats = IngestStats()
        self.service_stats = ServiceStats()
        self.store_stats = StoreStats()
        self._build_store(redis_url)
        self._build_backplane()
        self._build_gateway()
        self._build_ops()

    def _build_store(self, redis_url: str) -> None:
        settings = self.settings
        window_s = ceil(settings.recovery_window)
        refresh_s = max(1, min(REFRESH_S, window_s // 3))
        self.keys = Keys(settings.redis_prefix)
        self.opener = Opener(redis_url, timeout_s=settings.redis_timeout)
        self.redis = Redis(self.opener, stats=self.store_stats)
        # A client is owed what came since its connection broke, which is noticed only a ping later; and a
        # session outlives a crashed node by up to one refresh. The log must reach back further than both.
        log_ttl_s = window_s + refresh_s + ceil(settings.ping_interval + settings.ping_timeout) + LOG_SLACK_S
        self.log = Log(self.redis, self.keys, ttl_s=log_ttl_s, max_messages=LOG_MAX_MESSAGES)
        self.sessions = Sessions(self.redis, self.keys, window_s=window_s, refresh_s=refresh_s)
        self.refresh_s = refresh_s
        self.publisher = Publisher(
            log=self.log,
            idempotency_keys=IdempotencyKeys(self.redis, self.keys),
            stats=self.service_stats,
            trace=lambda: structlog.contextvars.get_contextvars().get("request_id", NO_TRACE),
        )
        self.api_keys = ApiKeys(
            ApiKeyStore(self.redis, self.keys), configured=[key.reveal() for key in settings.api_keys]
        )

    def _build_backplane(self) -> None:
        self.subscriber = Subscriber(
            opener=self.opener,
            store=self.log,
            topic_prefix=self.keys.topic_prefix,
            node_topic=self.keys.node(self.node_id),
            other_topics=(self.keys.socketio_topic, "socketio"),
            stats=self.backplane_stats,
            window_s=self.settings.recovery_window,
        )
        self.manager = RedisManager(
            subscriber=self.subscriber,
            publish=lambda topic, message: self.redis.execute("PUBLISH", topic, message),
            socketio_topic=self.keys.socketio_topic,
            stats=self.backplane_stats,
            on_hole=lambda rooms, reason: self.keeper.hole(rooms, reason),  # noqa: PLW0108 - made later
            on_command=self._command,
            traced=self.settings.log_level == "debug",
        )
        self.registry = Registry(node_id=self.node_id, heartbeats=Heartbeats(self.redis, self.keys))
        self.cluster = Cluster(
            node_id=self.node_id,
            registry=self.registry,
            publish=lambda topic, message: self.redis.execute("PUBLISH", topic, message),
            all_topic=self.keys.socketio_topic,
            node_topic=self.keys.node,
        )
        self.people = People(cluster=self.cluster, sessions=self.sessions)

    def _build_gateway(self) -> None:
        settings = self.settings
        self.authenticator = Authenticator(
            secret=settings.jwt_secret.reveal().encode() if settings.jwt_secret else None,
            public_key=settings.jwt_public_key,
            jwks_url=settings.jwt_jwks_url,
            algorithms=settings.jwt_algorithms,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            max_rooms=settings.max_rooms_per_socket,
        )
        self.server = SocketServer(
            client_manager=self.manager,
            cors_allowed_origins=list(settings.cors_origins) or None,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            connect_timeout=settings.connect_timeout,
            max_http_buffer_size=settings.max_payload,
            send_buffer_limit=settings.send_buffer_limit,
            max_connections=settings.max_connections or None,
            handshake_rate=settings.handshake_rate or None,
            trusted_proxies=[str(network) for network in settings.trusted_proxies],
            stats=self.gateway_stats,
            keep_environ=False,
            namespaces="*",
        )
        self.recovery = Recovery(
            manager=self.manager,
            sessions=self.sessions,
            store_log=self.log,
            tell_node=lambda node, message: self.redis.post("PUBLISH", self.keys.node(node), message),
            node_id=self.node_id,
            stats=self.gateway_stats,
            max_messages=settings.recovery_max_messages,
        )
        self.admission = Admission(
            manager=self.manager,
            authenticator=self.authenticator,
            sessions=self.sessions,
            recovery=self.recovery,
            node_id=self.node_id,
            namespaces=settings.namespaces,
            stats=self.gateway_stats,
            max_connections_per_user=settings.max_connections_per_user,
            max_rooms=settings.max_rooms_per_socket,
            gate_limit=settings.send_buffer_limit,
            timeout_s=CONNECT_WAIT_S,
        )
        self.expiry = Expiry(expiring=self.admission.expiring, expired=self.admission.expired)
        self.admission.expiry = self.expiry
        self.server.admission = self.admission
        self.keeper = SessionKeeper(
            manager=self.manager,
            sessions=self.sessions,
            session_of=self.admission.session_of,
            interval_s=self.refresh_s,
        )
        self.rooms = Rooms(
            manager=self.manager,
            sessions=self.sessions,
            store_log=self.log,
            session_of=self.admission.session_of,
            max_rooms=settings.max_rooms_per_socket,
        )
        Events(
            manager=self.manager,
            authenticator=self.authenticator,
            admission=self.admission,
            rooms=self.rooms,
            sessions=self.sessions,
            publisher=self.publisher,
        ).attach(self.server)
        Answers(manager=self.manager, admission=self.admission, rooms=self.rooms).attach(self.cluster)

    def _build_ops(self) -> None:
        self.metrics = Metrics(
            ingest=self.ingest_stats,
            gateway=self.gateway_stats,
            backplane=self.backplane_stats,
            service=self.service_stats,
            store=self.store_stats,
        )
        self.lifecycle.on_change(self.metrics.state)
        self.health = Health(
            lifecycle=self.lifecycle,
            metrics=self.metrics,
            checks={"deaf": self._deaf},
        )

    def _deaf(self) -> str | None:
        return (
            "This node does not hear what is published, though Redis answers."
            if self.subscriber.deaf
            else None
        )

    def _command(self, message: dict[str, Any]) -> None:
        """What another node asks of this one."""
        if message["method"] == "notify:take":
            self.recovery.let_go(message.get("socket"), message.get("namespace"))
        else:
            self.cluster.heard(message)

    # -- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Reach Redis, subscribe, open the ports: starting -> ready.

        Raises Unavailable or UnfitRedis when Redis is not to be had, OSError when a port is not.
        """
        await self.redis.start()
        self.stack.push_async_callback(self.redis.stop)
        for finding in await examine(self.redis.execute):
            log.warning(finding.code, advice=finding.sentence)
        await self.subscriber.start()
        self.stack.push_async_callback(self.subscriber.stop)
        self.stack.push_async_callback(self.manager.stop)
        self.stack.push_async_callback(self.cluster.stop)
        await self.authenticator.start()
        self.stack.push_async_callback(self.authenticator.stop)
        if not await self.api_keys.list():
            log.warning(
                "no_api_keys", advice="Nobody can post: set NOTIFY_API_KEYS, or run `notify keys create`."
            )
        await self.registry.start()
        self.stack.push_async_callback(self.registry.stop)
        self.keeper.start()
        self.stack.push_async_callback(self.keeper.stop)
        self.stack.callback(self.expiry.stop)
        await self._open_ports()
        self.lifecycle.move(State.READY)

    async def _open_ports(self) -> None:
        settings = self.settings
        public = web.Application()
        self.server.attach(public, socketio_path="socket.io")
        shared = settings.internal_port == settings.port
        internal = public if shared else web.Application()
        internal.add_routes(self.health.routes())
        internal.add_routes(
            ingest_routes(
                publisher=self.publisher,
                people=self.people,
                keys=self.api_keys,
                max_payload=settings.max_payload,
                stats=self.ingest_stats,
                fallback=not shared,
            )
        )
        sites = [(public, settings.host, settings.port)]
        if not shared:
            sites.append((internal, settings.internal_host, settings.internal_port))
        for application, host, port in sites:
            runner = web.AppRunner(
                application,
                access_log=None,
                tcp_keepalive=False,  # pings find dead peers sooner
                auto_decompress=False,  # a small body must not become a large one before it is refused
                shutdown_timeout=settings.shutdown_seconds,
            )
            await runner.setup()
            self.stack.push_async_callback(runner.cleanup)
            if application is public:
                await self._open_front(runner, host, port)
            else:
                await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
            log.info("listening", host=host, port=port, what="socket.io" if application is public else "api")

    async def _open_front(self, runner: web.AppRunner, host: str, port: int) -> None:
        """The public port: plain websocket handshakes are ours, the rest is aiohttp's."""
        engine, other = self.server.eio, runner.server
        if other is None:
            raise RuntimeError("the runner has not been set up")
        listener = await asyncio.get_running_loop().create_server(
            lambda: Front(engine, other, path="/socket.io/"), host, port, backlog=BACKLOG
        )
        self.stack.callback(listener.close)

    async def drain(self) -> None:
        """ready -> draining: leave the load balancers, take nobody new, send the clients elsewhere."""
        settings, lifecycle = self.settings, self.lifecycle
        lifecycle.move(State.DRAINING)
        await lifecycle.sleep(settings.drain_delay)
        engine = self.server.eio
        engine.limits.draining = True
        closed = await close_in_batches(
            list(engine.sockets.values()), over_s=settings.drain_seconds, sleep=lifecycle.sleep
        )
        self.gateway_stats.drained_connections += closed
        log.info("drained", connections=closed)

    async def stop(self) -> None:
        """Stop everything in the reverse order of its start; requests under way get to finish."""
        await self.stack.aclose()
        self.lifecycle.move(State.STOPPED)


async def serve(settings: Settings, *, embedded: bool = False) -> int:
    """Run a node until a signal ends it; the exit code. A second signal ends it at once."""
    loop = asyncio.get_running_loop()
    lifecycle = Lifecycle()
    lifecycle.install(loop)
    try:
        async with AsyncExitStack() as stack:
            redis_url = settings.redis_url or ""
            if embedded:
                server = EmbeddedServer(settings.data_dir)
                await server.astart()
                stack.push_async_callback(server.astop)
                guard = asyncio.create_task(server.guard(), name="embedded-guard")
                stack.push_async_callback(_cancelled, guard)
                redis_url = server.url
            node = Node(settings, redis_url=redis_url, lifecycle=lifecycle)
            stack.push_async_callback(node.stop)
            await node.start()
            _tune_garbage_collector()
            log.info("ready", node=node.node_id)
            await lifecycle.drain_wanted.wait()
            log.info("draining")
            await node.drain()
    except (NotifyError, UnfitRedis, EmbeddedError, OSError) as error:
        log.error("start_failed", reason=error.detail if isinstance(error, NotifyError) else str(error))
        return EXIT_FAILED
    finally:
        lifecycle.uninstall(loop)
    log.info("stopped")
    return EXIT_OK


def _tune_garbage_collector() -> None:
    """Connections are long-lived and hold no cycles: walking them again and again finds nothing.

    Measured at 5,000 connections: a fifth of the cost of a connect.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
