"""`notify dev`: everything on this machine, to try out and to develop against."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from aiohttp import web

from notify.cli.devserver.demo import LOOPBACK_ORIGINS, STOCK_CLIENT, Demo
from notify.cli.devserver.page import Page
from notify.cli.devserver.ports import Ports, is_free, one_at_a_time
from notify.cli.devserver.supervisor import DevNode, StartFailed, Supervisor
from notify.cli.terminal.environment import load_settings
from notify.cli.token import minted
from notify.embedded.server import DirectoryInUse, EmbeddedError, EmbeddedServer
from notify.settings.settings import Secret, Settings

MOST_NODES = 8
DEMO_PORT = 8000
MOST_DIRECTORIES = 20
TOKEN_S = 3600
CLAIMS = {"join": ["lobby"], "rooms": ["*"], "send": ["user:*", "room:*"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    nodes: int
    port: int | None
    data_dir: Path | None
    demo: bool


@click.command()
@click.option(
    "--nodes", type=click.IntRange(1, MOST_NODES), default=2, show_default=True, help="How many nodes."
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Port of the demo.  [default: 8000, or the next free port]",
)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Where data, secrets and logs are kept.  [default: .notify/dev, or the next free one]",
)  # fmt: skip
@click.option("--no-demo", is_flag=True, help="Run the nodes only, without the demo page.")
def dev(nodes: int, port: int | None, data_dir: Path | None, no_demo: bool) -> int:
    """Run everything on this machine: a Valkey, two nodes, and a page that shows what they do.

    Secrets are generated once and kept in the data directory, so programs that use them keep working.
    Ctrl-C stops everything. Other NOTIFY_* variables are passed on to the nodes.
    """
    options = Options(nodes=nodes, port=port, data_dir=data_dir, demo=not no_demo)
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    loop = asyncio.get_running_loop()
    told_to_end = asyncio.Event()
    running = asyncio.create_task(_everything(options, told_to_end))

    def end() -> None:
        if told_to_end.is_set():
            running.cancel()  # a second signal: without waiting for anybody
        told_to_end.set()

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sign, end)
    try:
        await running
    except asyncio.CancelledError:
        return 130
    except (EmbeddedError, StartFailed, OSError) as error:
        raise click.ClickException(str(error)) from error
    return 0


async def _everything(options: Options, told_to_end: asyncio.Event) -> None:
    """Start it all, say so, wait, and end it all in the reverse order."""
    began = time.monotonic()
    settings = load_settings()
    async with AsyncExitStack() as stack:
        server = await _embedded(options.data_dir)
        stack.push_async_callback(server.astop)
        guard = asyncio.create_task(server.guard())
        stack.push_async_callback(_cancelled, guard)
        kept = DevSecrets.kept_in(server.directory, settings)
        environ = _environ(settings, kept, redis_url=server.url)
        mint = partial(minted, replace(settings, jwt_secret=Secret(kept.jwt_secret)), claims=CLAIMS)
        page = None
        async with one_at_a_time():
            ports = Ports()
            demo_port = _demo_port(ports, options) if options.demo else 0
            supervisor = Supervisor(
                [
                    DevNode(
                        f"node-{number}",
                        port=ports.take(8078 + 2 * number),
                        internal_port=ports.take(8079 + 2 * number),
                        environ=environ,
                        log=server.directory / f"node-{number}.log",
                        say=_say,
                    )
                    for number in range(1, options.nodes + 1)
                ]
            )
            stack.push_async_callback(supervisor.end)
            if not await _unless(told_to_end, supervisor.start()):
                return
            if options.demo:
                page = Page.found()
                app = _demo(supervisor, demo_port, page, kept, partial(mint, expires_in_s=TOKEN_S))
                runner = web.AppRunner(app, access_log=None)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.TCPSite(runner, "127.0.0.1", demo_port, shutdown_timeout=1).start()
        click.echo(
            banner(
                supervisor,
                kept,
                token=mint("ada", expires_in_s=24 * TOKEN_S),
                demo_port=demo_port if page else 0,
                directory=server.directory,
                took_s=time.monotonic() - began,
            )
        )
        await told_to_end.wait()
        _say("stopping ...")


def _demo_port(ports: Ports, options: Options) -> int:
    """The port asked for and no other; else the usual one, or one after it."""
    if options.port is None:
        return ports.take(DEMO_PORT)
    if not is_free(options.port):
        raise click.ClickException(f"Port {options.port} is taken: choose another with --port.")
    return ports.take(options.port)


async def _embedded(asked_for: Path | None) -> EmbeddedServer:
    """The server in the directory asked for, else in the first one that no other `notify dev` uses."""
    if asked_for is not None:
        server = EmbeddedServer(asked_for)
        await server.astart()
        return server
    for number in range(1, MOST_DIRECTORIES + 1):
        server = EmbeddedServer(Path(".notify") / ("dev" if number == 1 else f"dev-{number}"))
        try:
            await server.astart()
        except DirectoryInUse:
            continue
        return server
    raise DirectoryInUse(
        f"{MOST_DIRECTORIES} instances of `notify dev` are running here already: stop one, or pass "
        "--data-dir."
    )


@dataclass(frozen=True, slots=True)
class DevSecrets:
    """What the nodes, the page and the person at the terminal share. Made once, then kept in a file."""

    jwt_secret: str
    api_key: str

    @classmethod
    def kept_in(cls, directory: Path, settings: Settings) -> DevSecrets:
        """The secrets of an earlier run, else new ones. NOTIFY_JWT_SECRET takes precedence."""
        file = directory / "dev-secrets.json"
        try:
            kept = cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            kept = cls(jwt_secret=secrets.token_hex(32), api_key=f"dev-{secrets.token_hex(16)}")
            new = file.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(
                json.dumps({"jwt_secret": kept.jwt_secret, "api_key": kept.api_key}), encoding="utf-8"
            )
            new.replace(file)
        return kept if settings.jwt_secret is None else replace(kept, jwt_secret=settings.jwt_secret.reveal())


def _environ(settings: Settings, kept: DevSecrets, *, redis_url: str) -> dict[str, str]:
    """The environment of the nodes: our own, with the variables that must match set here."""
    keys = (kept.api_key, *(key.reveal() for key in settings.api_keys))
    ours = {
        "REDIS_URL": redis_url,
        "JWT_SECRET": kept.jwt_secret,
        "API_KEYS": ",".join(keys),
        "CORS_ORIGINS": ",".join(dict.fromkeys((*LOOPBACK_ORIGINS, *settings.cors_origins))),
        "HOST": "127.0.0.1",
        "INTERNAL_HOST": "127.0.0.1",
        "DRAIN_DELAY": "0",
        "DRAIN_SECONDS": "1",
        "LOG_FORMAT": "console",
    }
    if "*" in settings.cors_origins:
        ours["CORS_ORIGINS"] = "*"
    left_out = ("JWT_PUBLIC_KEY", "JWT_JWKS_URL", "JWT_ALGORITHMS", "DATA_DIR", *ours)
    without = {f"NOTIFY_{name}{suffix}" for name in left_out for suffix in ("", "_FILE")}
    given = {name: value for name, value in os.environ.items() if name not in without}
    return {**given, **{f"NOTIFY_{name}": value for name, value in ours.items()}}


def _demo(
    supervisor: Supervisor, port: int, page: Page | None, kept: DevSecrets, token: Callable[[str], str]
) -> web.Application:
    return Demo(
        supervisor=supervisor,
        port=port,
        page=page,
        api_key=kept.api_key,
        token=token,
    ).application()


def banner(
    supervisor: Supervisor, kept: DevSecrets, *, token: str, demo_port: int, directory: Path, took_s: float
) -> str:
    """What is printed for the person at the terminal, with lines to copy."""
    first = supervisor.nodes[0]
    lines = [f"notify dev: {len(supervisor.nodes)} nodes on one Valkey, up in {took_s:.1f} s", ""]
    if demo_port:
        lines.append(f"  demo      http://localhost:{demo_port}/demo/   two people, on two nodes")
    lines += [f"  {node.name:<9} {node.url}   its API: {node.internal_url}/docs" for node in supervisor.nodes]
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    lines += [
        f"  kept in   {shown}   data, logs, secrets",
        "",
        "Send a notification to Ada:" if demo_port else "Send a notification to a user:",
        "",
        f"  curl -sS {first.internal_url}/v1/notifications \\",
        f"    -H 'Authorization: Bearer {kept.api_key}' \\",
        "    -H 'Content-Type: application/json' \\",
        """    -d '{"to": {"user": "ada"}, "title": "Hello Ada", "body": "This came by curl."}'""",
        "",
        *(_page_of_ones_own(first.url, demo_port, token) if demo_port else []),
        "Then:",
        *(["  - cut a connection, kill or drain a node in the demo: nothing is lost"] if demo_port else []),
        "  - listen in another terminal: "
        f"{_command()} listen --url {supervisor.nodes[-1].url} --token {token}",
        f"  - read the API: {first.internal_url}/docs",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _page_of_ones_own(node: str, demo_port: int, token: str) -> list[str]:
    """The bell for a page that is being developed elsewhere on this machine."""
    return [
        "Ada's bell on a page of your own, on any port of localhost:",
        "",
        "  <notify-inbox></notify-inbox>",
        '  <script type="module">',
        f'    import {{ io }} from "http://localhost:{demo_port}{STOCK_CLIENT}";',
        f'    import {{ Inbox }} from "{node}/client/inbox.js";',
        f'    import "{node}/client/element.js";',
        f'    const token = "{token}";',
        f'    const socket = io("{node}", {{ auth: {{ token }} }});',
        '    document.querySelector("notify-inbox").inbox = new Inbox(socket);',
        "  </script>",
        "",
    ]


def _command() -> str:
    """How this command is called in the terminal we run in."""
    called = Path(sys.argv[0])
    return "notify" if shutil.which("notify") else str(called)


def _say(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {text}", err=True)


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, and return True. If the event comes first, cancel the work and return False."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
        return working.done()
    finally:
        for task in (working, waiting):
            await _cancelled(task)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
