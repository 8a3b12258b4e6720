"""The nodes of `notify dev`: started, watched, started again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import aiohttp

from notify.embedded.child import with_parent_death_signal

NodeState = Literal["starting", "ready", "draining", "down"]

READY_WITHIN_S = 30.0
RESTART_S = 3.0
"""How long a killed node stays away: long enough to see in the demo that its clients go to another one."""
POLL_S = 0.05
TAIL_LINES = 20


class StartFailed(Exception):
    """A node did not become ready. The message holds the end of its log."""


class DevNode:
    """One `notify serve` in a process of its own, which comes back when it ends."""

    def __init__(
        self,
        name: str,
        *,
        port: int,
        internal_port: int,
        environ: Mapping[str, str],
        log: Path,
        say: Callable[[str], None],
        restart_s: float = RESTART_S,
    ) -> None:
        """`environ` is its environment but for name and ports; `say` tells the person at the terminal."""
        self.name = name
        self.port = port
        self.internal_port = internal_port
        self.state: NodeState = "down"
        self.restarts = 0
        self._environ = {
            **environ,
            "NOTIFY_NODE_ID": name,
            "NOTIFY_PORT": str(port),
            "NOTIFY_INTERNAL_PORT": str(internal_port),
        }
        self._log = log
        self._log_start = 0
        self._say = say
        self._restart_s = restart_s
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://localhost:{self.port}"

    @property
    def internal_url(self) -> str:
        """Where backends post."""
        return f"http://localhost:{self.internal_port}"

    @property
    def alive(self) -> bool:
        """True while it takes clients and requests."""
        return self.state == "ready"

    @property
    def pid(self) -> int | None:
        """Number of its process, while there is one."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process, and return when it is ready. Raises StartFailed."""
        self.state = "starting"
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *with_parent_death_signal([sys.executable, "-m", "notify", "serve"], by=signal.SIGKILL),
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the supervisor, which then ends the nodes in order
            )
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._until_ready()
        except TimeoutError:
            raise StartFailed(
                f"{self.name} was not ready within {READY_WITHIN_S:g} s.{self._tail()}"
            ) from None
        self.state = "ready"

    async def keep(self) -> None:
        """Run until cancelled: whenever the process ends, say so and start it again."""
        while True:
            assert self._process is not None  # noqa: S101 - start went before
            code = await self._process.wait()
            drained = code == 0
            self.state = "down"
            if drained:
                self._say(f"{self.name} has drained and stopped; restarting it.")
            else:
                how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with {code}"
                tail = self._tail() if code > 0 else ""
                self._say(f"{self.name} {how}; restarting it in {self._restart_s:g} s.{tail}")
                await asyncio.sleep(self._restart_s)
            self.restarts += 1
            try:
                await self.start()
            except StartFailed as error:
                self._say(str(error))
                self.kill()
            else:
                self._say(f"{self.name} is back.")

    def kill(self) -> bool:
        """SIGKILL; False when there is no process."""
        killed = self._signal(signal.SIGKILL)
        self.state = "down"
        return killed

    def drain(self) -> bool:
        """SIGTERM; False when there is no process."""
        if self.alive:
            self.state = "draining"
        return self._signal(signal.SIGTERM)

    async def end(self, within_s: float = 5.0) -> None:
        """Drain it, and kill it when that takes too long."""
        if self._process is None:
            return
        self.drain()
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        finally:
            self.kill()  # also when somebody is in a hurry and cancels this
        self.state = "down"

    def _signal(self, sign: signal.Signals) -> bool:
        if self.pid is None or self._process is None:
            return False
        try:
            self._process.send_signal(sign)
        except ProcessLookupError:
            return False
        return True

    async def _until_ready(self) -> None:
        timeout = aiohttp.ClientTimeout(total=1)
        url = f"http://127.0.0.1:{self.internal_port}/readyz"
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    async with session.get(url) as response:
                        if response.status == 200 and self.pid is not None:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass  # not yet
                if self.pid is None:
                    raise StartFailed(f"{self.name} exited during its start.{self._tail()}")
                await asyncio.sleep(POLL_S)

    def _tail(self) -> str:
        """The end of the log of the latest start, to be put after a sentence."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        except OSError:
            lines = []
        return "".join(f"\n    {line}" for line in (f"Its log, {self._log}:", *(lines or ["(empty)"])))


class Supervisor:
    """All nodes. Start them, `keep` them, and in any case `end` them."""

    def __init__(self, nodes: Sequence[DevNode]) -> None:
        self.nodes = tuple(nodes)
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all nodes at once and keep them running. Raises StartFailed if one does not become ready."""
        try:
            async with asyncio.TaskGroup() as group:
                for node in self.nodes:
                    group.create_task(node.start())
        except* StartFailed as failed:
            raise StartFailed("\n".join(map(str, failed.exceptions))) from None
        self._keepers = [asyncio.create_task(node.keep(), name=f"keep-{node.name}") for node in self.nodes]

    async def end(self) -> None:
        """End all nodes; none comes back."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(node.end() for node in self.nodes))

    def find(self, name: str) -> DevNode | None:
        """The node of that name."""
        return next((node for node in self.nodes if node.name == name), None)
