"""Which options of `engineio.AsyncServer` can be had here."""

from __future__ import annotations

from collections.abc import Iterable

_STOCK_OPTIONS = frozenset(
    (
        "ping_interval",
        "ping_timeout",
        "max_http_buffer_size",
        "allow_upgrades",
        "http_compression",
        "compression_threshold",
        "cookie",
        "logger",
        "json",
        "async_handlers",
        "transports",
    )
)


def check_options(*, async_mode: str | None, monitor_clients: bool | None, others: Iterable[str]) -> None:
    """Raises ValueError for an option that cannot be had here, TypeError for an unknown one."""
    if async_mode not in (None, "aiohttp"):
        raise ValueError(
            f"async_mode={async_mode!r}: this server takes websockets over from aiohttp, so it runs on "
            "aiohttp only"
        )
    if monitor_clients is False:
        raise ValueError(
            "monitor_clients=False: silent clients are always closed; there is no monitoring task to save"
        )
    unknown = set(others) - _STOCK_OPTIONS
    if unknown:
        raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
