"""Real nodes: `notify serve` in processes of their own, on one Valkey."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

from notify.embedded.child import with_parent_death_signal
from tests.support.ports import free_port
from tests.support.tokens import API_KEY, JWT_SECRET
from tests.support.valkey import Valkey

READY_S = 20.0


class Node:
    """One node. It keeps its ports over restarts, so that clients find it again."""

    arguments: tuple[str, ...] = ("serve",)

    def __init__(self, name: str, *, directory: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self.internal_port = free_port()
        self.log_path = directory / f"{name}.log"
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("NOTIFY_")},
            "PYTHONWARNINGS": "default",
            "NOTIFY_NODE_ID": name,
            "NOTIFY_HOST": "127.0.0.1",
            "NOTIFY_PORT": str(self.port),
            "NOTIFY_INTERNAL_PORT": str(self.internal_port),
            **environ,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal_url(self) -> str:
        """Where backends post."""
        return f"http://127.0.0.1:{self.environ['NOTIFY_INTERNAL_PORT']}"

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has written, over all its starts."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def spawn(self, *, stderr: int | None = None, shell: str | None = None) -> None:
        """Start the process; `ready` waits for it.

        `stderr` is a descriptor that gets what it logs instead of our file; `shell` a script that runs it as
        `"$@"`, for what only a shell can do.
        """
        command = [sys.executable, "-m", "notify", *self.arguments]
        if shell is not None:
            command = ["/bin/sh", "-c", shell, "sh", *command]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                with_parent_death_signal(command, by=signal.SIGKILL),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if stderr is None else stderr,
                start_new_session=True,
            )

    async def ready(self, *, within_s: float = READY_S) -> None:
        """Return when `/readyz` says so. Fails with the end of the log."""
        deadline = time.monotonic() + within_s
        while await self.status("/readyz") != 200:
            if not self.running or time.monotonic() > deadline:
                what = (
                    "is not ready"
                    if self.running
                    else f"ended with {self._process and self._process.returncode}"
                )
                raise AssertionError(f"{self.name} {what}:\n{self.log[-4000:]}")
            await asyncio.sleep(0.03)

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.spawn()
        await self.ready()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, sign: signal.Signals) -> None:
        """Send any signal, such as SIGTERM, SIGSTOP, SIGCONT."""
        assert self._process is not None
        self._process.send_signal(sign)

    async def ended(self, *, within_s: float = 30.0) -> int:
        """Wait until the process has ended; its exit code."""
        assert self._process is not None
        deadline = time.monotonic() + within_s
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not end within {within_s} s:\n{self.log[-4000:]}")
            await asyncio.sleep(0.03)
        return code

    async def terminate(self, *, within_s: float = 30.0) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(within_s=within_s)

    async def restart(self) -> None:
        """SIGTERM, and start it anew on the same ports."""
        if self.running:
            await self.terminate()
        await self.start()

    async def status(self, path: str) -> int | None:
        """HTTP status of a GET on the internal port, None when nobody answers."""
        try:
            async with _session() as session, session.get(self.internal_url + path) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = API_KEY,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of a call to the HTTP API."""
        every = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        async with (
            _session() as session,
            session.request(method, self.internal_url + path, headers=every, **kwargs) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text

    async def post(
        self,
        notification: Any,
        *,
        idempotency_key: str | None = None,
        key: str | None = API_KEY,
        batch: bool = False,
    ) -> tuple[int, Any]:
        """POST a notification (or a batch of them); status and answer."""
        return await self.request(
            "POST",
            "/v1/notifications/batch" if batch else "/v1/notifications",
            json={"notifications": notification} if batch else notification,
            key=key,
            headers={"Idempotency-Key": idempotency_key} if idempotency_key else None,
        )

    async def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of that name on `/metrics` that carry the labels."""
        async with _session() as session, session.get(self.internal_url + "/metrics") as response:
            text = await response.text()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith((name + " ", name + "{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))


class Cluster:
    """Nodes on one Valkey of their own. `async with Cluster(3, directory=tmp_path) as cluster: ...`"""

    def __init__(
        self,
        count: int = 3,
        *,
        directory: Path,
        valkey: Valkey | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`environ` are settings for all nodes; `valkey` is one that is run by somebody else."""
        self.valkey = valkey or Valkey(directory / "valkey")
        self._own_valkey = valkey is None
        self._directory = directory
        self._environ = {
            "NOTIFY_REDIS_URL": self.valkey.url,
            "NOTIFY_JWT_SECRET": JWT_SECRET,
            "NOTIFY_API_KEYS": API_KEY,
            "NOTIFY_NAMESPACES": "/chat",
            "NOTIFY_SEND_EVENTS": "message,typing,hello",
            "NOTIFY_DRAIN_DELAY": "0",
            "NOTIFY_DRAIN_SECONDS": "1",
            **(environ or {}),
        }
        self.nodes = [self._node(number) for number in range(1, count + 1)]

    def _node(self, number: int, **environ: str) -> Node:
        return Node(f"node-{number}", directory=self._directory, environ={**self._environ, **environ})

    def add(self, **environ: str) -> Node:
        """One more node, not started yet."""
        self.nodes.append(self._node(len(self.nodes) + 1, **environ))
        return self.nodes[-1]

    async def start(self) -> None:
        """Start everything that does not run, and wait until it is ready."""
        if self._own_valkey:
            await self.valkey.astart()
        for node in self.nodes:
            if not node.running:
                node.spawn()
        await asyncio.gather(*(node.ready() for node in self.nodes))

    async def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.kill()
        if self._own_valkey:
            await self.valkey.astop()

    async def post(self, notification: Any, **kwargs: Any) -> tuple[int, Any]:
        """POST to the first node that runs."""
        return await next(node for node in self.nodes if node.running).post(notification, **kwargs)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
