"""What links this node with the others."""

from __future__ import annotations

import secrets
import socket as sockets
from collections.abc import Callable, Sequence

from notify.backplane.cluster import Cluster
from notify.backplane.directory import Directory
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Room
from notify.backplane.node_messages import NodeMessage
from notify.backplane.registry import Registry
from notify.backplane.stats import BackplaneStats
from notify.backplane.subscriber import Subscriber
from notify.settings.settings import Settings
from notify.store.addresses import Addresses
from notify.store.heartbeats import Heartbeats
from notify.wiring.storage import Storage

MESSAGE_SLACK = 1024 * 1024
"""Bytes that a published message may have besides its payload: users left out, and JSON's escapes."""


class Backplane:
    """The node's name and address, its ear, its books of members, and its way to ask the other nodes.

    `advertised_url`: where other nodes reach this one, known once its ports are open. The other callbacks are
    those of `RedisManager`, and are not called before the first client is connected or the node has started.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        *,
        stats: BackplaneStats,
        advertised_url: Callable[[], str],
        on_gap: Callable[[Sequence[Room], str], None],
        on_command: Callable[[NodeMessage], None],
        on_due: Callable[[str, int], None],
        on_gone: Callable[[str], None],
    ) -> None:
        redis, keys = storage.redis, storage.keys
        self.registry = Registry(
            node_id=settings.node_id or f"{sockets.gethostname()}-{secrets.token_hex(3)}",
            nodes=Heartbeats(redis, keys),
        )
        self.directory = Directory(
            addresses=Addresses(redis, keys),
            url=advertised_url,
            redis_host=lambda: redis.hosts[1] if redis.hosts else None,
        )
        plain = [settings.socketio_channel] if settings.socketio_channel else []
        self.subscriber = Subscriber(
            connector=storage.connector,
            store=storage.log,
            topic_prefix=keys.topic_prefix,
            node_topic=keys.node(self.node_id()),
            other_topics=(keys.socketio_topic, *plain),
            stats=stats,
            window_s=settings.recovery_window,
            max_message_bytes=2 * settings.max_payload + MESSAGE_SLACK,
        )
        self.manager = RedisManager(
            subscriber=self.subscriber,
            publish=redis.publish,
            socketio_topic=keys.socketio_topic,
            stats=stats,
            on_gap=on_gap,
            on_command=on_command,
            on_due=on_due,
            on_gone=on_gone,
            plain_channel=settings.socketio_channel,
            traced=settings.log_level == "debug",
        )
        self.cluster = Cluster(
            node_id=self.node_id,
            registry=self.registry,
            publish=redis.publish,
            all_topic=keys.socketio_topic,
            node_topic=keys.node,
        )

    def node_id(self) -> str:
        """The name of this node. Once it has started, it may differ from the one that was set."""
        return self.registry.node_id
