"""A node as a process: it runs until a signal ends it, with a Redis of its own if it has none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import structlog

from notify.app import Node
from notify.domain.errors import NotifyError
from notify.embedded.server import EmbeddedError, EmbeddedServer
from notify.ops.garbage import tune_garbage_collector
from notify.ops.lifecycle import Lifecycle
from notify.ops.listening import CannotListen
from notify.redis.connector import BadRedisUrl
from notify.settings.settings import Settings
from notify.store.checks import UnfitRedis

EXIT_OK, EXIT_FAILED = 0, 1

log = structlog.get_logger(__name__)


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
            if await lifecycle.unless_signalled(node.start()):
                tune_garbage_collector()
                log.info("ready", node=node.node_id)
                await lifecycle.drain_wanted.wait()
                log.info("draining")
                await node.drain()
    except (NotifyError, UnfitRedis, BadRedisUrl, EmbeddedError, CannotListen, OSError) as error:
        log.error("start_failed", reason=error.detail if isinstance(error, NotifyError) else str(error))
        return EXIT_FAILED
    finally:
        lifecycle.uninstall(loop)
    log.info("stopped")
    return EXIT_OK


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
