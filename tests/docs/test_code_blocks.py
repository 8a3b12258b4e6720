"""The code blocks of README.md and docs/ do what they say, against a running `notify dev`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.demo.service import Demo, running_demo
from tests.docs.blocks import ROOT, Block, blocks

BLOCKS = blocks()
WAIT_S = 30
RUN_BY_CLIENT_DEMO = {"client", "react", "vue"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("documents")) as demo:
        yield demo


def marked(mark: str) -> list[Block]:
    return [block for block in BLOCKS if block.mark == mark and block.language != "json"]


def command(block: Block, demo: Demo) -> list[str]:
    """How the block is run, with the ports that this demo happens to have in place of the usual ones."""
    code = block.code.replace("http://localhost:8080", demo.node_of("ada")["url"])
    code = code.replace("http://localhost:8081", demo.config["api"]["url"])
    return {
        "bash": ["bash", "-euo", "pipefail", "-c", code],
        "python": [sys.executable, "-W", "error", "-c", code],
        "js": ["node", "--input-type=module", "-e", code],
    }[block.language]


def environment(demo: Demo) -> dict[str, str]:
    return {
        **os.environ,
        "NOTIFY_API_KEY": demo.secrets["api_key"],
        "NOTIFY_JWT_SECRET": demo.secrets["jwt_secret"],
        "NOTIFY_URL": demo.config["api"]["url"],
        "NOTIFY_DATA_DIR": str(demo.directory),  # for commands that work on Redis, as they find a `make dev`
        "TOKEN": demo.person("ada")["token"],
    }


@pytest.mark.parametrize("block", marked("run"), ids=str)
def test_it_runs(block: Block, demo: Demo) -> None:
    done = subprocess.run(
        command(block, demo),
        cwd=ROOT,
        env=environment(demo),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip(), "it printed nothing"
    assert '"rejected":1' not in done.stdout


@pytest.mark.parametrize("block", marked("listen"), ids=str)
def test_it_listens(block: Block, demo: Demo) -> None:
    title = f"For {block}"
    lines: list[str] = []
    with subprocess.Popen(
        command(block, demo),
        cwd=ROOT,
        env=environment(demo),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or []), daemon=True)
        reader.start()
        try:
            until = time.monotonic() + WAIT_S
            while not any(title in line for line in lines):
                assert time.monotonic() < until, lines
                assert process.poll() is None, lines
                demo.post({"to": {"user": "ada"}, "title": title, "ttl": 0})
                reader.join(0.2)
        finally:
            process.terminate()
            process.wait(WAIT_S)
            reader.join(WAIT_S)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_it_is_json(block: Block) -> None:
    json.loads(block.code)


@pytest.mark.parametrize("block", marked("shown"), ids=str)
def test_what_it_names_exists(block: Block) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"^make (\w+)", block.code, re.MULTILINE):
        assert target in targets
    for name in re.findall(r"\bNOTIFY_\w+", block.code):
        assert f"`{name}`" in (ROOT / "docs" / "settings.md").read_text()
    for path in re.findall(r"\bk8s/[\w./@*{},-]+", block.code):
        pattern = re.sub(r"\{[^}]*\}", "*", path).rstrip(".,")
        assert list(ROOT.glob(pattern.rstrip("/"))), path
    for words in re.findall(r"^notify (\w+)(.*)$", block.code, re.MULTILINE):
        shown = subprocess.run(
            [sys.executable, "-m", "notify", words[0], "--help"], capture_output=True, text=True, check=True
        ).stdout
        for option in re.findall(r"--[\w-]+", words[1]):
            assert option in shown


def test_every_block_is_marked() -> None:
    known = {"run", "listen", "shown", *RUN_BY_CLIENT_DEMO}
    code = [block for block in BLOCKS if block.language in ("bash", "js", "jsx", "vue", "python", "sh")]
    assert [str(block) for block in code if block.mark not in known] == []
    assert len(marked("run")) > 10
    assert len(marked("listen")) > 4
