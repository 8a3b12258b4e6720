"""`notify listen`: what arrives for a user, in a terminal, by the stock Python client."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from typing import Any

import aiohttp
import click
import socketio
from socketio.exceptions import ConnectionError as RefusedError

from notify.cli.terminal import streams
from notify.cli.terminal.environment import load_settings
from notify.cli.terminal.url import Url
from notify.cli.token import minted

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
HOPELESS = ("token_", "forbidden", "unauthorized")
"""Errors whose codes begin like this are permanent: a retry does not help."""


@click.command()
@click.option(
    "--url", type=Url("http://localhost:8080"), default="http://127.0.0.1:8080", show_default=True,
    help="Public port of a node.",
)  # fmt: skip
@click.option(
    "--token",
    envvar="NOTIFY_TOKEN",
    help="Token of the user. Prefer NOTIFY_TOKEN: others on this machine can see a command line.",
)
@click.option(
    "--user", metavar="ID", help="Instead of --token: sign one for this user with NOTIFY_JWT_SECRET."
)
@click.option(
    "--room", "rooms", multiple=True, metavar="NAME", help="Room to join; may be given several times."
)
@click.option("--namespace", default="/", show_default=True, help="One of NOTIFY_NAMESPACES, or /users/<id>.")
@click.option("--polling", is_flag=True, help="Use long-polling instead of websocket.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--count", type=click.IntRange(min=1), help="Exit after this many notifications.")
def listen(
    url: str,
    token: str | None,
    user: str | None,
    rooms: tuple[str, ...],
    namespace: str,
    polling: bool,
    as_json: bool,
    count: int | None,
) -> int:
    """Print what arrives for a user, until Ctrl-C. Reconnects by itself."""
    if not namespace.startswith("/"):
        raise click.UsageError(f"--namespace: {namespace!r} does not begin with /: write /{namespace}.")
    if (token is None) == (user is None):
        raise click.UsageError("Give either --token (or NOTIFY_TOKEN) or --user.")
    if token is None and user is not None:
        token = minted(load_settings(), user, expires_in_s=86400, claims={"rooms": ["*"]})
    listener = Listener(token=str(token), rooms=rooms, namespace=namespace, as_json=as_json, count=count)
    return asyncio.run(listener.run(url, transports=["polling"] if polling else ["websocket"]))


class Listener:
    """One connection, and what it prints."""

    def __init__(
        self, *, token: str, rooms: tuple[str, ...], namespace: str, as_json: bool, count: int | None
    ) -> None:
        self._token = token
        self._rooms = rooms
        self._namespace = namespace
        self._as_json = as_json
        self._left = count
        self._over = asyncio.Event()
        self._failure: str | None = None
        self._unwritten: OSError | None = None
        self._client = socketio.AsyncClient(
            handle_sigint=False, reconnection_delay=0.5, reconnection_delay_max=5
        )
        self._client.on("connect", self._connected, namespace=namespace)
        self._client.on("connect_error", self._refused, namespace=namespace)
        self._client.on("disconnect", self._lost, namespace=namespace)
        self._client.on("*", self._arrived, namespace=namespace)

    async def run(self, url: str, *, transports: list[str]) -> int:
        """Run until it is over; returns the exit code."""
        # Without recovery: this client hands every argument to handlers, and has no offset to send back.
        auth = {"token": self._token, "recovery": False}
        streams.when_unread(self._over.set)
        try:
            await self._client.connect(
                url, auth=auth, namespaces=[self._namespace], transports=transports, wait_timeout=10
            )
            await self._over.wait()
        except (RefusedError, aiohttp.ClientError, ValueError) as error:
            self._failure = self._failure or (
                f"{url} could not be reached: {error}. Is --url the public port of a node?"
            )
        finally:
            await self._client.disconnect()
        if self._unwritten is not None:
            raise self._unwritten
        if self._failure is not None:
            raise click.ClickException(self._failure)
        return 0

    async def _connected(self) -> None:
        self._note(f"connected in {self._namespace}")
        for room in self._rooms:
            answer = await self._client.call(
                "room:join", {"room": room}, namespace=self._namespace, timeout=10
            )
            if not answer.get("ok"):
                error = answer.get("error") or {}
                self._note(f"room {room} was not joined: {error.get('detail')} ({error.get('code')})")

    async def _refused(self, reason: Any) -> None:
        reason = reason if isinstance(reason, dict) else {"message": str(reason)}
        data = reason.get("data") or {}
        code = data.get("code") if isinstance(data, dict) else None
        self._note(f"not let in: {reason.get('message')}" + (f" ({code})" if code else ""))
        if reason.get("message") == "Invalid namespace":
            self._failure = (
                f"The node has no namespace {self._namespace}: give another --namespace, or add it to "
                "NOTIFY_NAMESPACES on all nodes."
            )
            self._over.set()
        if str(code).startswith(HOPELESS):
            self._failure = str((isinstance(data, dict) and data.get("detail")) or reason.get("message"))
            self._over.set()

    async def _lost(self, reason: str | None = None) -> None:
        self._note(f"connection lost: {reason}")
        if reason == self._client.reason.SERVER_DISCONNECT:  # then this client does not come back by itself
            self._failure = self._failure or "The server ended the session."
            self._over.set()

    async def _arrived(self, event: str, *arguments: Any) -> None:
        if self._over.is_set():
            return
        try:
            if self._as_json:
                click.echo(json.dumps({"event": event, "args": arguments}, ensure_ascii=False))
            else:
                click.echo(line(event, arguments))
        except OSError as error:  # raised here, it would only be logged by the client, and we would go on
            self._unwritten = error
            self._over.set()
            return
        if self._left is not None and not event.startswith("session:"):
            self._left -= 1
            if self._left == 0:
                self._over.set()

    def _note(self, text: str) -> None:
        click.echo(f"-- {plain(text)}", err=True)


def line(event: str, arguments: tuple[Any, ...]) -> str:
    """An event on one line, for a person."""
    first = arguments[0] if arguments else None
    words = [f"{datetime.now():%H:%M:%S}", event]
    if isinstance(first, dict):
        title, body, data = first.get("title"), first.get("body"), first.get("data")
        words += [str(each) for each in (title, body) if each]
        if data is not None or not (title or body):
            words.append(json.dumps(first if data is None else data, ensure_ascii=False))
    else:
        words += [json.dumps(each, ensure_ascii=False) for each in arguments]
    return plain("  ".join(words))


def plain(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
