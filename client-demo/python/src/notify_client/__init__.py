"""The client of notify for Python backends: `Notify` for code that blocks, `AsyncNotify` for asyncio.

```python
from notify_client import Notify

with Notify("http://localhost:8081", api_key="…") as notify:
    sent = notify.send(to={"user": "ada"}, title="Invoice 4711 was paid", idempotency_key="invoice-4711-paid")
```

A call returns when the server has done it, or raises a NotifyError. Whatever may be tried again is, with the
same idempotency key, until the deadline: no call posts twice.
"""

from notify_client.aio import AsyncInbox, AsyncNotify, AsyncRooms
from notify_client.answers import (
    Connection,
    Counts,
    Disconnected,
    Entry,
    InboxStatus,
    MarkAs,
    Marked,
    Membership,
    Notification,
    Outcome,
    Page,
    Presence,
    Room,
    Sent,
)
from notify_client.errors import (
    BadRequest,
    FieldError,
    Forbidden,
    HeadTooLarge,
    InFlight,
    Invalid,
    KeyReused,
    MethodNotAllowed,
    Misconfigured,
    NotFound,
    NotifyError,
    ServerFault,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
    Unexpected,
    Unreachable,
    UnsupportedMedia,
)
from notify_client.message import Message, Target
from notify_client.sync import Inbox, Notify, Rooms
from notify_client.version import VERSION as __version__

__all__ = [
    "AsyncInbox",
    "AsyncNotify",
    "AsyncRooms",
    "BadRequest",
    "Connection",
    "Counts",
    "Disconnected",
    "Entry",
    "FieldError",
    "Forbidden",
    "HeadTooLarge",
    "InFlight",
    "Inbox",
    "InboxStatus",
    "Invalid",
    "KeyReused",
    "MarkAs",
    "Marked",
    "Membership",
    "Message",
    "MethodNotAllowed",
    "Misconfigured",
    "NotFound",
    "Notification",
    "Notify",
    "NotifyError",
    "Outcome",
    "Page",
    "Presence",
    "Room",
    "Rooms",
    "Sent",
    "ServerFault",
    "Target",
    "TooLarge",
    "TooMany",
    "Unauthorized",
    "Unavailable",
    "Unexpected",
    "Unreachable",
    "UnsupportedMedia",
    "__version__",
]
