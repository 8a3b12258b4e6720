"""The repository's own nginx configuration, run on loopback: only addresses and paths are replaced."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from notify.embedded.child import with_parent_death_signal
from tests.k8s import toolbox
from tests.support import debian
from tests.support.ports import free_port

CONFIGURATION = toolbox.ROOT / "k8s" / "nginx" / "notify.conf"
AFFINITY = CONFIGURATION.with_name("notify-affinity.conf")
ROUND_ROBIN = CONFIGURATION.with_name("notify-round-robin.conf")

AROUND = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/conf.d/*.conf;
}}
"""


class Nginx:
    """nginx before nodes at these (public, internal) ports; clients use `url`, backends `internal_url`."""

    def __init__(
        self,
        directory: Path,
        nodes: Sequence[tuple[int, int]],
        *,
        spread: Path = AFFINITY,
        certificate: Path | None = None,
    ) -> None:
        """`spread` is how clients are spread over the nodes: `AFFINITY` or `ROUND_ROBIN`.

        `certificate`, a file with its key in it, has clients served over TLS.
        """
        (directory / "conf.d").mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.public_port, self.internal_port = free_port(), free_port()
        text = CONFIGURATION.read_text()
        listen = f"listen 127.0.0.1:{self.public_port};"
        if certificate is not None:
            keys = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
            listen = f"listen 127.0.0.1:{self.public_port} ssl; {keys}"
        self.scheme = "http" if certificate is None else "https"
        text = text.replace("listen 80;", listen)
        text = text.replace("listen 127.0.0.1:8090;", f"listen 127.0.0.1:{self.internal_port};")
        text = text.replace("/var/log/nginx", str(directory))
        text = _servers(text, "notify_internal", [internal for _, internal in nodes])
        (directory / "conf.d" / CONFIGURATION.name).write_text(text)
        public = _servers(spread.read_text(), "notify_public", [public for public, _ in nodes])
        (directory / "conf.d" / spread.name).write_text(public)
        (directory / "nginx.conf").write_text(AROUND.format(directory=directory))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{self.scheme}://127.0.0.1:{self.public_port}"

    @property
    def internal_url(self) -> str:
        """Where backends post."""
        return f"http://127.0.0.1:{self.internal_port}"

    @property
    def command(self) -> list[str]:
        """How it is run."""
        program = debian.program("nginx", "nginx-light")
        return [program, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]

    def check(self) -> str:
        """What `nginx -t` says. Raises when it does not like the configuration."""
        finished = subprocess.run([*self.command, "-t"], capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        return finished.stderr

    @property
    def errors(self) -> str:
        """Its error log."""
        path = self.directory / "error.log"
        return path.read_text() if path.exists() else ""

    def __enter__(self) -> Self:
        self.check()
        self._process = subprocess.Popen(with_parent_death_signal(self.command), stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=10)


def _servers(text: str, upstream: str, ports: Sequence[int]) -> str:
    """The configuration with these ports in the place of an upstream's servers."""
    begin = text.index(f"upstream {upstream} {{")
    end = text.index("}", begin)
    lines = text[begin:end].splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if line.lstrip().startswith("server ")]
    like = lines[places[0]]
    lines[places[0] : places[-1] + 1] = [re.sub(r":\d+", f":{port}", like, count=1) for port in ports]
    return text[:begin] + "".join(lines) + text[end:]
