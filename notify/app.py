"""The composition root: the storeys of a node put together. Start, and stop in reverse order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog
from aiohttp import web

from notify.backplane.advertised import advertised_url
from notify.backplane.membership import Room
from notify.backplane.node_messages import NodeMessage, Release
from notify.gateway.drain import close_in_batches
from notify.ingest.plain_posts import PlainPosts
from notify.ingest.routes import routes as ingest_routes
from notify.listeners import Listeners
from notify.ops.descriptors import raise_limit, share_out, warn_of_few
from notify.ops.health import Health
from notify.ops.lifecycle import Lifecycle, State
from notify.ops.logging import log_stats
from notify.ops.metrics import Metrics
from notify.ops.patience import until_available
from notify.settings.settings import Settings
from notify.store.checks import examine
from notify.wiring.backplane import Backplane
from notify.wiring.elsewhere import Elsewhere
from notify.wiring.gateway import Gateway
from notify.wiring.services import Services
from notify.wiring.stats import Stats
from notify.wiring.storage import Storage

log = structlog.get_logger(__name__)


class Node:
    """One server process: everything it is made of, wired. `redis_url` is where its Redis is."""

    def __init__(self, settings: Settings, *, redis_url: str, lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self.stack = AsyncExitStack()
        self.stats = stats = Stats()
        self.storage = storage = Storage(settings, redis_url=redis_url, stats=stats.redis)
        self.backplane = backplane = Backplane(
            settings,
            storage,
            stats=stats.backplane,
            advertised_url=self._advertised_url,
            on_gap=self._gap,
            on_command=self._command,
            on_due=self._due,
            on_gone=self._gone,
        )
        self.services = services = Services(settings, storage, backplane.cluster, stats=stats.service)
        descriptors = share_out(raise_limit(), internal=settings.max_internal_connections)
        warn_of_few(descriptors, wanted=settings.max_connections)
        self.gateway = gateway = Gateway(
            settings, storage, backplane, services, stats=stats.gateway, descriptors=descriptors
        )
        self.elsewhere = Elsewhere(
            settings, storage, backplane, gateway, stats=stats.gateway, descriptors=descriptors
        )
        self.listeners = Listeners(
            settings,
            server=gateway.server,
            ingest_stats=stats.ingest,
            descriptors=descriptors,
            hurried=lifecycle.hurry.is_set,
        )
        metrics = Metrics(
            ingest=stats.ingest,
            gateway=stats.gateway,
            backplane=stats.backplane,
            service=stats.service,
            store=stats.redis,
            logs=log_stats,
            http=self.listeners.stats,
            auth=gateway.authenticator,
            clock=storage.clock,
        )
        lifecycle.on_change(metrics.state)
        self.health = Health(
            lifecycle=lifecycle,
            metrics=metrics,
            checks={"deaf": self._deaf},
            notes={"no_token_keys": gateway.authenticator.missing_keys},
        )

    @property
    def node_id(self) -> str:
        """The name of this node. Once it has started, it may differ from the one that was set."""
        return self.backplane.node_id()

    # -- what the backplane asks, and tells -------------------------------------------------------------

    def _advertised_url(self) -> str:
        settings, hosts = self.settings, self.storage.redis.hosts
        return advertised_url(
            wanted=settings.advertise_url,
            internal_host=settings.host if self.listeners.shared else settings.internal_host,
            internal_port=self.listeners.internal_port,
            local_host=hosts[0] if hosts else None,
        )

    def _deaf(self) -> str | None:
        return (
            "This node receives nothing that is published, though Redis answers."
            if self.backplane.subscriber.deaf
            else None
        )

    def _gap(self, rooms: Sequence[Room], reason: str) -> None:
        self.gateway.session_refresher.gap(rooms, reason)

    def _command(self, message: NodeMessage) -> None:
        if isinstance(message, Release):
            self.gateway.recovery.release(message.socket, message.namespace)
        else:
            self.backplane.cluster.heard(message)

    def _due(self, user: str, due_ms: int) -> None:
        self.gateway.inbox_watch.expect(user, due_ms)

    def _gone(self, user: str) -> None:
        self.gateway.inbox_watch.forget(user)

    # -- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Answer probes, reach Redis however long that takes, subscribe, take clients: starting -> ready.

        Raises Unavailable when Redis cannot be reached in time, UnfitRedis or another NotifyError when
        waiting would not help, CannotListen when a port is not available.
        """
        await self.listeners.open_internal(
            [*self.health.routes(), *self.elsewhere.door.routes(), *self._ingest_routes()],
            ending=self.elsewhere.door.aclose,
            shortcut=self._plain_posts(),
        )
        await until_available(
            self._reach_redis, within_s=self.settings.redis_start_timeout, event="waiting_for_redis"
        )
        backplane, gateway, elsewhere = self.backplane, self.gateway, self.elsewhere
        ends = self.stack.push_async_callback
        gateway.server.eio.mark = backplane.directory.mark
        ends(self.storage.redis.stop)
        ends(backplane.directory.stop)
        ends(elsewhere.links.aclose)
        ends(elsewhere.moves.aclose)
        ends(backplane.subscriber.stop)
        ends(backplane.manager.stop)
        ends(backplane.cluster.stop)
        await gateway.authenticator.start()
        ends(gateway.authenticator.stop)
        ends(backplane.registry.stop)
        await gateway.session_refresher.start()
        ends(gateway.session_refresher.stop)
        self.stack.callback(gateway.expiry.stop)
        ends(gateway.inbox_watch.stop)
        ends(gateway.arrivals.stop)
        gateway.inbox_audit.start()
        ends(gateway.inbox_audit.stop)
        await self.listeners.open_public()
        self.services.scheduler.start()
        ends(self.services.scheduler.stop)
        self.lifecycle.move(State.READY)

    async def _reach_redis(self) -> None:
        redis, backplane = self.storage.redis, self.backplane
        await redis.start()
        try:
            for finding in await examine(redis.execute):
                log.warning(finding.code, advice=finding.sentence)
            await backplane.registry.claim()
            backplane.subscriber.rename(self.storage.keys.node(self.node_id))
            await backplane.subscriber.start()
            await backplane.registry.start()
            await backplane.directory.start()
            if not await self.services.api_keys.list():
                log.warning(
                    "no_api_keys", advice="Nobody can post: set NOTIFY_API_KEYS, or run `notify keys create`."
                )
        except BaseException:
            await backplane.directory.stop()
            await backplane.registry.stop()
            await backplane.subscriber.stop()
            await redis.stop()
            raise

    def _ingest_routes(self) -> list[web.RouteDef]:
        services = self.services
        return ingest_routes(
            publisher=services.publisher,
            notifications=services.notifications,
            users=services.users,
            inboxes=services.inboxes,
            now_ms=self.storage.clock.now_ms,
            keys=services.api_keys,
            max_payload=self.settings.max_payload,
            max_fanout_bytes=self.settings.max_fanout_bytes,
            stats=self.stats.ingest,
            ids=self.listeners.request_ids,
            fallback=not self.listeners.shared,
        )

    def _plain_posts(self) -> PlainPosts:
        return PlainPosts(
            publisher=self.services.publisher,
            keys=self.services.api_keys,
            stats=self.stats.ingest,
            ids=self.listeners.request_ids,
            max_payload=self.settings.max_payload,
            max_fanout_bytes=self.settings.max_fanout_bytes,
        )

    async def drain(self) -> None:
        """ready -> draining: leave the load balancers, take nobody new, send the clients elsewhere."""
        settings, lifecycle = self.settings, self.lifecycle
        lifecycle.move(State.DRAINING)
        engine = self.gateway.server.eio
        if engine.sockets or not lifecycle.interrupted:
            await lifecycle.sleep(settings.drain_delay)
        self.listeners.close_soon()
        engine.limits.draining = True
        await self.elsewhere.relay.close_soon()
        closed = await close_in_batches(
            list(engine.sockets.values()), over_s=settings.drain_seconds, sleep=lifecycle.sleep
        )
        self.stats.gateway.drained_connections += closed
        log.info("drained", connections=closed)

    async def stop(self) -> None:
        """Stop the ports, whose requests get to finish, then the rest in the reverse order of its start."""
        async with self.stack:
            await self.listeners.aclose()
        self.lifecycle.move(State.STOPPED)
