"""Notifications in a terminal, on the stock python-socketio client.

    python client-demo/listen.py --url http://localhost:8080 --token "$TOKEN"

Needs `pip install "python-socketio[asyncio_client]"` and nothing of notify's.

This client knows no connection state recovery and hands every argument of an event to the handler, so it
says `recovery: False`: then no offset follows the notification.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import unicodedata
from typing import Any

import socketio


def plain(text: str) -> str:
    """Without control characters: what someone posts must not be able to steer this terminal."""
    return "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)


async def listen(url: str, token: str) -> None:
    """Connects and prints until it is cancelled or the server refuses."""
    client = socketio.AsyncClient(handle_sigint=False)  # asyncio.run does, and ends in order

    @client.on("session:ready")
    async def ready(session: dict[str, Any]) -> None:
        print(f"# {session['user']} on {session['node']}", file=sys.stderr, flush=True)

    @client.on("notification")
    async def notification(notification: dict[str, Any]) -> None:
        parts = [notification.get(name) for name in ("title", "body", "url")]
        print(plain("  ".join(part for part in parts if part)), flush=True)

    await client.connect(url, auth=lambda: {"token": token, "recovery": False}, retry=True)
    try:
        await client.wait()
    finally:
        await client.disconnect()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Print notifications as they come.")
    parser.add_argument("--url", default=os.environ.get("NOTIFY_URL", "http://localhost:8080"))
    parser.add_argument("--token", default=os.environ.get("NOTIFY_TOKEN"))
    arguments = parser.parse_args()
    if not arguments.token:
        parser.error("a token is needed: --token or NOTIFY_TOKEN. `notify token --user ada` makes one.")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(listen(arguments.url, arguments.token))


if __name__ == "__main__":
    main()
