"""What clients connect to: the Socket.IO server, and who is let in, recovers and leaves."""

from __future__ import annotations

from notify.backplane.node_messages import encode
from notify.gateway.answers import Answers
from notify.gateway.auth.authenticator import Authenticator
from notify.gateway.events import Events
from notify.gateway.inbox import InboxEvents
from notify.gateway.sessions.admission import SessionAdmission
from notify.gateway.sessions.arrivals import Arrivals
from notify.gateway.sessions.expiry import Expiry
from notify.gateway.sessions.inbox_audit import InboxAudit
from notify.gateway.sessions.inbox_watch import InboxWatch
from notify.gateway.sessions.pacing import Pacing
from notify.gateway.sessions.recovery import Recovery
from notify.gateway.sessions.rooms import Rooms
from notify.gateway.sessions.session_refresher import SessionRefresher
from notify.gateway.socketio.server import SocketServer
from notify.gateway.stats import GatewayStats
from notify.ops.descriptors import Descriptors
from notify.settings.settings import Settings
from notify.wiring.backplane import Backplane
from notify.wiring.services import Services
from notify.wiring.storage import Storage

CONNECT_WAIT_S = 5.0
CONNECTS_AT_ONCE = 128
"""Clients that are being let in at a time: enough for full calls to Redis (`arrivals.MOST_IN_ONE`) while the
answers to others are on their way."""
LONGEST_TURN_S = 10.0
"""How long a client waits to be let in: half of what socket.io-client gives a connection."""


class Gateway:
    """The server for clients, and everything that its sessions need."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        backplane: Backplane,
        services: Services,
        *,
        stats: GatewayStats,
        descriptors: Descriptors,
    ) -> None:
        manager, sessions, clock = backplane.manager, storage.sessions, storage.clock
        self._manager = manager
        self.authenticator = Authenticator(
            secret=settings.jwt_secret.reveal().encode() if settings.jwt_secret else None,
            public_key=settings.jwt_public_key,
            jwks_url=settings.jwt_jwks_url,
            algorithms=settings.jwt_algorithms,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            max_rooms=settings.max_rooms_per_socket,
            clock=clock.now,
        )
        self.server = SocketServer(
            client_manager=manager,
            cors_allowed_origins=list(settings.cors_origins) or None,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            connect_timeout=settings.connect_timeout,
            max_http_buffer_size=settings.max_payload,
            send_buffer_limit=settings.send_buffer_limit,
            max_connections=min(settings.max_connections or descriptors.public, descriptors.public),
            handshake_rate=settings.handshake_rate or None,
            trusted_proxies=[str(network) for network in settings.trusted_proxies],
            stats=stats,
            keep_environ=False,
            namespaces="*",
        )
        manager.writer = self.server.eio.flusher
        self.inbox_watch = InboxWatch(inbox=storage.inbox, now_ms=clock.now_ms, here=manager.has_user)
        self.inbox_audit = InboxAudit(users=manager.users, check=services.inboxes.check)
        self.recovery = Recovery(
            manager=manager,
            sessions=sessions,
            store_log=storage.log,
            inbox=storage.inbox,
            tell_node=lambda node, message: storage.redis.post(
                "PUBLISH", storage.keys.node(node), encode(message)
            ),
            node_id=backplane.node_id,
            stats=stats,
            max_messages=settings.recovery_max_messages,
        )
        self.arrivals = Arrivals(
            subscriber=backplane.subscriber,
            sessions=sessions,
            more_come=lambda: not self.server.handlers_in_flight.idle,
            timeout_s=CONNECT_WAIT_S,
        )
        self.admission = SessionAdmission(
            manager=manager,
            authenticator=self.authenticator,
            sessions=sessions,
            arrivals=self.arrivals,
            pacing=Pacing(
                at_once=CONNECTS_AT_ONCE,
                longest_wait_s=min(LONGEST_TURN_S, settings.connect_timeout / 2),
                stats=stats,
            ),
            recovery=self.recovery,
            inbox=storage.inbox,
            inbox_watch=self.inbox_watch,
            node_id=backplane.node_id,
            namespaces=settings.namespaces,
            stats=stats,
            max_connections_per_user=settings.max_connections_per_user,
            max_rooms=settings.max_rooms_per_socket,
            buffer_limit=settings.send_buffer_limit,
            now=clock.now,
        )
        self.expiry = Expiry(
            expiring=self.admission.expiring, expired=self.admission.expired, clock=clock.now
        )
        self.admission.expiry = self.expiry
        self.server.admission = self.admission
        self.rooms = Rooms(
            manager=manager,
            sessions=sessions,
            store_log=storage.log,
            session_of=self.admission.session_of,
            max_rooms=settings.max_rooms_per_socket,
        )
        self.session_refresher = SessionRefresher(
            manager=manager,
            sessions=sessions,
            session_of=self.admission.session_of,
            send_away=self.admission.send_away,
            leave_room=self.rooms.leave,
            promise_logs=storage.log.promise,
            interval_s=storage.refresh_s,
        )
        backplane.subscriber.on_resubscribed = self._resubscribed
        Events(
            manager=manager,
            authenticator=self.authenticator,
            admission=self.admission,
            rooms=self.rooms,
            sessions=sessions,
            publisher=services.publisher,
            send_events=settings.send_events,
            inbox=InboxEvents(
                inboxes=services.inboxes,
                now_ms=clock.now_ms,
                send_buffer_limit=settings.send_buffer_limit,
            ),
            now=clock.now,
        ).attach(self.server)
        Answers(manager=manager, admission=self.admission, rooms=self.rooms).attach(backplane.cluster)

    def _resubscribed(self) -> None:
        """This node hears again: catch up on what was said while it heard nothing."""
        self.session_refresher.resubscribed()
        self.inbox_watch.healed(self._manager.users())
