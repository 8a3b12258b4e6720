"""Why a port cannot be opened, as a sentence that names the setting."""

from __future__ import annotations

import errno


class CannotListen(Exception):
    """A port or address cannot be listened on. The message says which setting to change."""


def cannot_listen(error: OSError, *, host: str, port: int, prefix: str) -> CannotListen:
    """What the system refused. `prefix` is the first half of the settings' names: NOTIFY_INTERNAL_."""
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            f"{prefix}PORT: port {port} on {host} is taken by another process. Set another port, or stop "
            "that process."
        )
    if error.errno == errno.EACCES:
        return CannotListen(f"{prefix}PORT: this user may not listen on port {port}. Set one above 1023.")
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(f"{prefix}HOST: {host} is not an address of this machine.")
    return CannotListen(f"{prefix}HOST, {prefix}PORT: {host}:{port} cannot be listened on: {error}.")
