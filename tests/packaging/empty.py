"""An environment with nothing in it, for what a person installs."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.k8s import toolbox


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment. `bin` has its programs."""

    place: Path

    @classmethod
    def made(cls, place: Path, *, python: str) -> Environment:
        """Make it with this interpreter. It holds no package, not even pip."""
        environment = cls(place)
        environment.uv("venv", "--no-project", "--python", python, str(place))
        return environment

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.place / "bin"

    def uv(self, *arguments: str) -> str:
        """What uv prints. Raises AssertionError with its words when it fails."""
        done = subprocess.run(
            [str(toolbox.bin_dir() / "uv"), *arguments],
            cwd=self.place.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, *wanted: str) -> None:
        """Install as `pip install` would. Of what is needed, the versions that the project has pinned."""
        pins = str(toolbox.ROOT / "requirements-dev.txt")
        self.uv("pip", "install", "--python", str(self.bin / "python"), "--constraint", pins, *wanted)
        self.uv("pip", "check", "--python", str(self.bin / "python"))

    def packages(self) -> set[str]:
        """The names of what is installed."""
        listed = json.loads(self.uv("pip", "list", "--python", str(self.bin / "python"), "--format", "json"))
        return {each["name"] for each in listed}

    def environ(self, **more: str) -> dict[str, str]:
        """Variables for its programs: nothing of the tests', and above all no path into the repository."""
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), **more}
