"""What the gateway counts: plain integers, added to on hot paths; ops/metrics.py names them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class GatewayStats:
    """Since the start of this node."""

    polling_connections: int = 0
    """Open Engine.IO connections on long-polling (a level)."""
    websocket_connections: int = 0
    """Open Engine.IO connections on websocket (a level)."""
    opened: Counter[str] = field(default_factory=Counter)
    """Engine.IO connections opened, by transport: polling, websocket."""
    upgrades: int = 0
    """Connections that went from long-polling to websocket."""
    closed: Counter[str] = field(default_factory=Counter)
    """Connections closed, by reason."""
    connects: int = 0
    """Namespace connects that were let in."""
    connects_waiting: int = 0
    """Clients whose token is good and that wait for their turn to be let in (a level)."""
    connect_errors: Counter[str] = field(default_factory=Counter)
    """Namespace connects that were refused, by error code."""
    handshakes_refused: Counter[str] = field(default_factory=Counter)
    """HTTP handshakes refused, by reason: origin, draining, rate, connections."""
    slow_consumers: int = 0
    """Connections cut because their send buffer was full."""
    protocol_errors: int = 0
    """Connections closed because of what they sent."""
    floods: int = 0
    """Connections closed because they sent more than any client does."""
    crowded_out: int = 0
    """Connections ended before they were in a namespace, because too many were in none."""
    messages_in: int = 0
    """Events received from clients."""
    bytes_out: int = 0
    """Payload bytes handed to connections."""
    recovered: int = 0
    """Connects that got their session back."""
    not_recovered: Counter[str] = field(default_factory=Counter)
    """Connects that asked for their session and did not get it, by reason."""
    replayed_messages: int = 0
    """Missed messages replayed to recovered connections."""
    expired_sessions: int = 0
    """Connections closed because their token expired."""
    passed_on: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Requests of sessions that another node has, by what (poll, post) and outcome: answered, refused
    (there), no_node (gone, or never was), unreachable, late, gone (the client), too_many."""
    links: Counter[str] = field(default_factory=Counter)
    """Links to other nodes (a level), by the side that made them: here, there."""
    upgrades_elsewhere: int = 0
    """Upgrades refused because another node has the session; the client goes on polling."""
    sessions_moved: Counter[str] = field(default_factory=Counter)
    """Upgrades of sessions that another node had, by outcome: moved (to this node), stayed (the client goes
    on polling), lost (it has to come back, and recovers)."""
    drained_connections: int = 0
    """Connections closed by a drain."""
