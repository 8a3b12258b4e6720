"""Every name and every lifetime that notify has in Redis."""

from __future__ import annotations

import hashlib

IDEMPOTENCY_TTL_S = 24 * 3600
LEASE_MS = 2_000
"""How long a request with an Idempotency-Key counts as in flight when nothing more is heard of it."""

NODE_TTL_S = 20
"""A node that has not said for this long that it lives is dead."""


class Keys:
    """Names under one prefix, so that a Redis ACL can fence them (`~notify:* &notify:*`)."""

    PERMANENT = ("clock", "apikeys")
    """What has no time to live: the clock of offsets, and API keys until they are revoked."""

    def __init__(self, prefix: str = "notify") -> None:
        self.prefix = prefix
        self.clock = f"{prefix}:clock"
        self.api_keys = f"{prefix}:apikeys"
        self.nodes = f"{prefix}:nodes"
        self.log_prefix = f"{prefix}:log:"
        self.topic_prefix = f"{prefix}:topic:"
        self.socketio_topic = f"{prefix}:socketio"

    def sent(self, notification_id: str) -> str:
        """The pieces of a notification that are published already: hash of piece to offset."""
        return f"{self.prefix}:sent:{notification_id}"

    def idempotency(self, scope: str, key: str) -> str:
        """What an Idempotency-Key stands for, inside one API key."""
        digest = hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()
        return f"{self.prefix}:idem:{digest}"

    def session(self, pid: str) -> str:
        """What recovery needs to know of one connection in one namespace."""
        return f"{self.prefix}:session:{pid}"

    def revoked(self, user: str) -> str:
        """The unix second before which a user's tokens are worth nothing."""
        return f"{self.prefix}:revoked:{user}"

    def node(self, node_id: str) -> str:
        """A node's heartbeat; as a pub/sub channel: its canary and what other nodes tell it."""
        return f"{self.prefix}:node:{node_id}"

    def seen(self, user: str) -> str:
        """When a user's connection last ended."""
        return f"{self.prefix}:seen:{user}"
