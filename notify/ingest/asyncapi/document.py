"""The AsyncAPI 3 document, made from the events.

What AsyncAPI leaves open about Socket.IO is settled so: a channel is a namespace, `name` of a message is the
event, `payload` its first argument; an operation's `reply` is the acknowledgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from notify.domain import errors
from notify.ingest.asyncapi import schemas
from notify.ingest.asyncapi.events import EVENTS, Event
from notify.ingest.asyncapi.schemas import RefusedSchema
from notify.ingest.inbox_schemas import MarkSchema
from notify.ingest.openapi.inbox import CountsSchema, EntrySchema
from notify.ingest.openapi.responses import FaultSchema
from notify.ingest.openapi.samples import JSON, written

SCHEMAS: dict[str, type[Schema]] = {
    "Counts": CountsSchema,
    "Entry": EntrySchema,
    "Fault": FaultSchema,
    "Mark": MarkSchema,
    **schemas.SCHEMAS,
}

DESCRIPTION = """\
Clients connect with any Socket.IO client (protocol v5: socket.io-client 3 and 4, python-socketio 5), over \
websocket or long-polling, and with `auth: {token}`.

```js
const socket = io("https://notify.example.com", {
  auth: async (give) =>
    give({ token: await freshToken() }),
});
socket.on("notification", ({ title }) => console.log(title));
await socket.emitWithAck("inbox:list", {});
```

A channel below is a namespace. SEND is what nodes send, RECEIVE what clients send. Each message is an \
event, and its payload the event's first argument. Where a second argument is named, it is the offset: \
a string for Socket.IO's own recovery, which you may ignore.

What clients send is answered by the acknowledgement: `{ok: true, …}`, or `{ok: false, error}`.

A badge that is right: take `rev`, `unseen` and `unread` of `session:ready` and of a `reset` as they are, \
those of every other event if its `rev` is newer than yours. Never count yourself.

# Events
"""

_DEFAULT, _OWN = "default", "own"


def document() -> dict[str, Any]:
    """The whole document, ready for JSON."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "notify events",
            "version": version("notify-socketio"),
            "description": DESCRIPTION + "".join(map(_in_short, EVENTS)),
            "license": {"name": "MIT", "url": "https://spdx.org/licenses/MIT.html"},
            "tags": [{"name": "events", "description": "Between clients and nodes."}],
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": "{host}",
                "pathname": "/socket.io/",
                "protocol": "wss",
                "description": "Any node, or what stands before them all. Socket.IO over websocket, or over "
                "long-polling; `ws` and `http` where there is no TLS.",
                "variables": {
                    "host": {
                        "default": "notify.example.com",
                        "description": "The public port, NOTIFY_PORT, or your proxy.",
                    }
                },
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            _DEFAULT: {
                "address": "/",
                "title": "Namespace /",
                "summary": "The namespace of everybody",
                "description": "What is for the user, for rooms they are in, and for all. Those in "
                "NOTIFY_NAMESPACES are the same, without an inbox.",
                "servers": [{"$ref": "#/servers/node"}],
                "messages": _messages(EVENTS),
            },
            _OWN: {
                "address": "/users/{id}",
                "title": "Namespace /users/<id>",
                "summary": "A namespace of one user",
                "description": "What is for this user alone, and nothing else.",
                "servers": [{"$ref": "#/servers/node"}],
                "parameters": {
                    "id": {
                        "description": "The user: `sub` of the token. It may be percent-encoded, and must "
                        "be where it holds `#`, `?`, `,` or a space.",
                        "examples": ["42"],
                    }
                },
                "messages": _messages(event for event in EVENTS if event.own),
            },
        },
        "operations": _operations(),
        "components": {
            "messages": {key: message for event in EVENTS for key, message in _described(event).items()},
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`auth: {token}` of Socket.IO's CONNECT: a JWT that your backend made for "
                    "whoever is logged in. Refused connects are a `connect_error` with "
                    f"`{errors.TokenMissing.code}`, `{errors.TokenInvalid.code}`, "
                    f"`{errors.TokenExpired.code}` or `{errors.TokenRevoked.code}` in `error.data.code`.",
                }
            },
        },
    }


def _in_short(event: Event) -> str:
    """An event under a heading of its own: by headings, viewers search the document."""
    return f"\n## {event.name}\n\n{event.summary}. From {'nodes' if event.from_server else 'clients'}.\n"


def key_of(event: str) -> str:
    """An event's name as a key of the document: `inbox:list` is `inboxList`."""
    return re.sub(r"\W(\w)", lambda found: found.group(1).upper(), event)


def _answer_key(event: Event) -> str:
    return f"{key_of(event.name)}Answer"


def _messages(events: Iterable[Event]) -> dict[str, Any]:
    return {key: {"$ref": f"#/components/messages/{key}"} for event in events for key in _described(event)}


def _described(event: Event) -> dict[str, Any]:
    """The messages of an event by key: itself, and its acknowledgement."""
    description = event.description
    if event.offset:
        description += " The second argument is its offset."
    found = {
        key_of(event.name): {
            "name": event.name,
            "title": event.name,
            "summary": event.summary,
            "description": description,
            "contentType": "application/json",
            "payload": _one_of(event.argument),
            "examples": _examples(event.examples),
        }
    }
    if event.answer:
        found[_answer_key(event)] = {
            "name": f"{event.name}:answer",
            "title": f"The acknowledgement of {event.name}",
            "summary": "What it is answered",
            "description": "The one argument of the acknowledgement.",
            "contentType": "application/json",
            "payload": _one_of((*event.answer, RefusedSchema)),
            "examples": _examples(event.answers),
        }
    return found


def _examples(examples: Any) -> list[dict[str, Any]]:
    return [{"name": name, "payload": payload} for name, payload in examples.items()]


def _operations() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for channel, prefix in ((_DEFAULT, ""), (_OWN, "own.")):
        for event in EVENTS:
            if channel == _OWN and not event.own:
                continue
            key = key_of(event.name)
            operation: dict[str, Any] = {
                # The application that is described is the node: it receives what clients send.
                "action": "send" if event.from_server else "receive",
                "channel": {"$ref": f"#/channels/{channel}"},
                "title": event.name,
                "summary": event.summary,
                "description": event.description + _answered(event),
                "messages": [{"$ref": f"#/channels/{channel}/messages/{key}"}],
            }
            if event.answer:
                answer = f"#/channels/{channel}/messages/{_answer_key(event)}"
                operation["reply"] = {
                    "channel": {"$ref": f"#/channels/{channel}"},
                    "messages": [{"$ref": answer}],
                }
            found[prefix + key] = operation
    return found


def _answered(event: Event) -> str:
    """Acknowledgements in words: viewers pass over `reply`."""
    if not event.answer:
        return ""
    shown = "\n".join(written(answer, 0, JSON) for answer in event.answers.values())
    return f"\n\nThe acknowledgement:\n\n```json\n{shown}\n```"


def _one_of(kinds: tuple[type[Schema], ...]) -> dict[str, Any]:
    names = {schema: name for name, schema in SCHEMAS.items()}
    found = [{"$ref": f"#/components/schemas/{names[kind]}"} for kind in kinds]
    return found[0] if len(found) == 1 else {"oneOf": found}


def _schemas() -> dict[str, Any]:
    """The schemas as OpenAPI 3.1 has them: JSON Schema, which AsyncAPI takes, too."""
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    for name, schema in SCHEMAS.items():
        spec.components.schema(name, schema=schema)
    made: dict[str, Any] = spec.to_dict()["components"]["schemas"]
    for name, schema in SCHEMAS.items():
        made[name]["description"] = " ".join((schema.__doc__ or "").partition("\n\n")[0].split())
    return made
