"""Every name and every lifetime that notify has in Redis."""

from __future__ import annotations

import hashlib

IDEMPOTENCY_TTL_S = 24 * 3600
LEASE_MS = 2_000
"""How long a request with an Idempotency-Key counts as in flight when nothing more is heard of it."""

NODE_TTL_S = 20
"""A node that has not said for this long that it lives is dead."""

ADDRESS_TTL_S = 20
"""An address that a node has not said for this long is forgotten."""

FORMER_SECRET_S = 30
"""How long a replaced secret of the cluster is accepted: longer than nodes take to learn the new one."""

RECORD_KEPT_MS = 24 * 3600 * 1000
"""How long the record of a notification outlives it."""


class Keys:
    """Names under one prefix, so that a Redis ACL can fence them (`~notify:* &notify:*`)."""

    PERMANENT = ("clock", "apikeys", "due", "cluster_secret")
    """What has no time to live: the clock of offsets, API keys until they are revoked, the due list while
    there is something on it, and the secret by which nodes know each other.
    """

    def __init__(self, prefix: str = "notify") -> None:
        self.prefix = prefix
        self.clock = f"{prefix}:clock"
        self.api_keys = f"{prefix}:apikeys"
        self.nodes = f"{prefix}:nodes"
        self.addresses = f"{prefix}:addresses"
        """Where nodes reach each other: hash of a node's mark to `<unix ms> <url>`."""
        self.cluster_secret = f"{prefix}:cluster_secret"
        """Hash of `newest`, the secret by which nodes know each other, and former ones to when they end."""
        self.log_prefix = f"{prefix}:log:"
        self.last_prefix = f"{prefix}:last:"
        """The last entry of a channel's log: it outlives the log, so that a log that is gone is missed."""
        self.sessions = f"{prefix}:session:"
        self.retention = f"{prefix}:retention"
        """The longest time, in seconds, that a node that lives, or lived lately, promised to keep logs."""
        self.topic_prefix = f"{prefix}:topic:"
        self.socketio_topic = f"{prefix}:socketio"
        self.due = f"{prefix}:due"
        """What is to be done at a time of its own: sorted set of `<kind>:<id, without ntf_>` by unix ms."""
        self.records = f"{prefix}:record:{{ntf_"
        """What the key of a notification's record begins with; the id's rest and `}` follow."""

    def sent(self, notification_id: str) -> str:
        """The pieces of a notification that are published already: hash of piece to offset."""
        return f"{self.prefix}:sent:{notification_id}"

    def idempotency(self, scope: str, key: str) -> str:
        """What an Idempotency-Key stands for, inside one API key."""
        digest = hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()
        return f"{self.prefix}:idem:{digest}"

    def session(self, pid: str) -> str:
        """What recovery needs to know of one connection in one namespace."""
        return self.sessions + pid

    def revoked(self, user: str) -> str:
        """The unix second before which a user's tokens are worth nothing. It outlives an erasure, so it does
        not name the user.
        """
        return f"{self.prefix}:revoked:{_digest(user)}"

    def revoked_by_name(self, user: str) -> str:
        """Where the version before wrote it; both hold."""
        return f"{self.prefix}:revoked:{user}"

    def orders(self, user: str) -> str:
        """What backends ordered about a user lately: to be disconnected, to be out of rooms."""
        return f"{self.prefix}:orders:{_digest(user)}"

    def node(self, node_id: str) -> str:
        """A node's heartbeat; as a pub/sub channel: its canary and what other nodes tell it."""
        return f"{self.prefix}:node:{node_id}"

    def seen(self, user: str) -> str:
        """When a user's connection last ended."""
        return f"{self.prefix}:seen:{user}"

    def inbox(self, user: str) -> str:
        """What all keys of a user's inbox begin with, and the one that holds its `rev` and counts.

        `:order`, `:entries` and `:collapse` end with it: when the entry that stays longest has gone, and a
        day after the last change at the earliest (`store/lua/inbox.lua`). `:gone` ends an hour after the
        user's log.
        """
        return f"{self.prefix}:inbox:{{{_in_tag(user)}}}"

    def record(self, notification_id: str) -> str:
        """What is known of a notification: its body, once, and whose inboxes have it (`:to`, if several).

        Lives until a day after it expires where it went into an inbox or was scheduled, else as long as the
        logs. Beside it is `:plan` while it waits for its time, and `:retracted` when it was retracted.
        """
        return f"{self.records}{notification_id.removeprefix('ntf_')}}}"

    def plan(self, notification_id: str) -> str:
        """A notification that waits for its time, whole: gone when all of it is delivered."""
        return f"{self.record(notification_id)}:plan"

    def retracted(self, notification_id: str) -> str:
        """Exists when the notification was retracted: then nothing of it is delivered any more."""
        return f"{self.record(notification_id)}:retracted"


def _digest(user: str) -> str:
    return hashlib.sha256(user.encode()).hexdigest()


def _in_tag(name: str) -> str:
    """A name as it stands in a hash tag, which ends at the first `}` (Redis Cluster specification)."""
    return name.replace("%", "%25").replace("}", "%7D")
