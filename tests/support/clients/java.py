"""The stock Java client, `io.socket:socket.io-client` from Maven Central, in a process of its own.

    async with JavaClient(url, transport="websocket", token=token) as client:
        await client.wait("connect")

Maven fetches its jars once, into `.java` beside the tests' other environments; their digests are pinned in
`java/jars.sha256`. It needs a JDK and Maven: where they are missing the test is skipped, and says so.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import shutil
import subprocess
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Self

from tests.support.debian import Missing

HERE = Path(__file__).with_name("java")
PLACE = Path(__file__).parents[3] / ".java"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
PATIENCE_S = 60.0


def _pinned() -> dict[str, str]:
    """Jar to SHA-256."""
    lines = (HERE / "jars.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _found(place: Path) -> dict[str, str]:
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in place.glob("*.jar")}


def class_path() -> Path:
    """The compiled client and its jars; made when they are missing. Raises `Missing` without a JDK."""
    for program in ("javac", "mvn"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is missing: apt-get install default-jdk-headless maven")
    PLACE.mkdir(exist_ok=True)
    with (PLACE / ".making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _found(PLACE) != _pinned():
            for jar in PLACE.glob("*.jar"):
                jar.unlink()
            fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), COPY, f"-DoutputDirectory={PLACE}"]
            subprocess.run(fetch, check=True, capture_output=True, timeout=300)
            assert _found(PLACE) == _pinned(), "Maven has brought other jars than those that are pinned"
        compiled, source = PLACE / "Client.class", HERE / "Client.java"
        if not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime:
            command = ["javac", "-d", str(PLACE), "-cp", f"{PLACE}/*", str(source)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
    return PLACE


class JavaClient:
    """One client. What has happened to it is in `log`, in order."""

    def __init__(self, url: str, *, transport: str, token: str = "") -> None:
        self._arguments = (url, transport, token)
        self.log: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        place = await asyncio.to_thread(class_path)
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{place}:{place}/*", "Client", *self._arguments]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reader

    async def wait(self, kind: str, *, after: int = 0, **fields: Any) -> dict[str, Any]:
        """The first line of a type, with the given fields, past position `after` of the log."""
        wanted = {"type": kind, **fields}
        try:
            async with asyncio.timeout(PATIENCE_S), self._changed:
                while True:
                    for line in self.log[after:]:
                        if wanted.items() <= line.items():
                            return line
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"no {wanted} in {PATIENCE_S} s; log: {self.log[-20:]}") from None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while text := await self._process.stdout.readline():
            async with self._changed:
                self.log.append({**json.loads(text), "at": time.monotonic()})
                self._changed.notify_all()
