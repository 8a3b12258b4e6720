"""The command line: what it prints, what it says when used wrongly, how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest

from notify.cli import main
from notify.settings import Settings
from tests.ports import free_port
from tests.tokens import JWT_SECRET

QUIET = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFY_")}


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def notify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command, in this process, with these settings (without their prefix)."""

    def run(*arguments: str, **environ: str) -> Done:
        for name in [name for name in os.environ if name.startswith("NOTIFY_")]:
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(f"NOTIFY_{name}", value)
        monkeypatch.setattr("sys.argv", ["notify", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        return Done(int(exited.value.code or 0), *capsys.readouterr())

    return run


def test_version_and_help(notify):
    assert notify("--version").stdout == "notify, version 0.1.0\n"
    shown = notify("--help").stdout
    for command in ("dev", "keys", "listen", "send", "serve", "settings", "token"):
        assert command in shown


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["sevre"], {}, "No such command 'sevre'"),
        (["serve", "--embeded"], {}, "--embedded"),
        (["serve"], {}, "NOTIFY_JWT_SECRET: Set this"),
        (["serve"], {}, "NOTIFY_REDIS_URL: Set this"),
        (["serve", "--embedded"], {}, "NOTIFY_JWT_SECRET: Set this"),
        (["serve"], {"PROT": "1"}, "Did you mean NOTIFY_PORT?"),
        (["settings"], {"PORT": "x"}, "NOTIFY_PORT: Not a valid integer."),
        (["token", "42"], {}, "NOTIFY_JWT_SECRET"),
        (["token", ""], {"JWT_SECRET": JWT_SECRET}, "1 to 256 characters"),
        (["token", "42", "--join", "@x"], {"JWT_SECRET": JWT_SECRET}, "must not begin with `@`"),
        (["token", "42", "--send", "@x"], {"JWT_SECRET": JWT_SECRET}, "must not begin with `@`"),
        (["token", "42", "--expires", "2y"], {"JWT_SECRET": JWT_SECRET}, "write 90s, 15m, 1h or 7d"),
        (["send", "--title", "x"], {"API_KEY": "k"}, "Say whom it is for"),
        (["send", "--user", "42"], {}, "NOTIFY_API_KEY"),
        (["send", "--user", "42", "--data", "[1]"], {"API_KEY": "k"}, "must be a JSON object"),
        (["send", "--user", "42", "--data", "{"], {"API_KEY": "k"}, "not JSON"),
        (["send", "--user", "42", "--ttl", "-1"], {"API_KEY": "k"}, "--ttl"),
        (["listen"], {}, "--token"),
        (["listen", "--token", "x", "--user", "y"], {}, "one of them"),
        (["keys", "list"], {"DATA_DIR": "/nowhere"}, "NOTIFY_REDIS_URL"),
        (["dev", "--nodes", "0"], {}, "--nodes"),
    ],
)
def test_used_wrongly_it_says_so_and_exits_with_2(
    notify, arguments: list[str], environ: Mapping[str, str], says: str
):
    done = notify(*arguments, **environ)
    assert says in done.stderr
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_settings_are_shown_without_secrets_in_every_format(notify):
    environ = {"JWT_SECRET": JWT_SECRET, "PORT": "9000", "REDIS_URL": "redis://:hunter22@localhost/0"}
    shown = {
        form: notify("settings", "--format", form, **environ).stdout
        for form in ("text", "json", "env", "markdown")
    }
    for text in shown.values():
        assert JWT_SECRET not in text
        assert "hunter22" not in text
        assert text.count("NOTIFY_PORT") >= 1
    assert "NOTIFY_PORT = 9000  (default: 8080)" in shown["text"]
    values = {line["name"]: line["value"] for line in json.loads(shown["json"])}
    assert (values["NOTIFY_JWT_SECRET"], values["NOTIFY_API_KEYS"]) == ("set", "not set")
    assert "\nNOTIFY_PORT=9000\n" in shown["env"]
    assert "\n#NOTIFY_JWT_SECRET=\n" in shown["env"]
    assert "| `NOTIFY_PORT` | `8080` |" in shown["markdown"]


def test_the_env_file_of_the_defaults_sets_nothing(notify):
    lines = notify("settings", "--format", "env").stdout.splitlines()
    assert len(lines) > len(Settings().describe())
    assert all(line.startswith("#") for line in lines)


def test_the_settings_are_documented_as_they_are(notify):
    documented = Path(__file__).parents[2].joinpath("docs", "settings.md").read_text(encoding="utf-8")
    assert notify("settings", "--format", "markdown").stdout in documented


def test_a_token_carries_what_was_asked_for(notify):
    done = notify(
        "token", "42", "--join", "lobby", "--room", "project:*", "--send", "user:*", "--expires", "2h",
        JWT_SECRET=JWT_SECRET, JWT_ISSUER="us", JWT_AUDIENCE="notify",
    )  # fmt: skip
    claims = jwt.decode(done.stdout.strip(), JWT_SECRET, ["HS256"], audience="notify", issuer="us")
    assert claims["exp"] - claims["iat"] == 7200
    assert (claims["sub"], claims["join"], claims["rooms"], claims["send"]) == (
        "42", ["lobby"], ["project:*"], ["user:*"],
    )  # fmt: skip


def test_nobody_at_the_other_end_is_told_in_a_sentence(notify):
    url = f"http://127.0.0.1:{free_port()}"
    sent = notify("send", "--user", "42", "--url", url, API_KEY="k")
    assert (sent.returncode, sent.stdout) == (1, "")
    assert f"{url}/v1/notifications did not answer" in sent.stderr
    listening = notify("listen", "--token", "x", "--url", url)
    assert (listening.returncode, listening.stdout) == (1, "")
    assert f"{url} could not be reached" in listening.stderr
    for done in (sent, listening):
        assert "Traceback" not in done.stderr


def test_a_reader_that_has_had_enough_is_no_error():
    shell = f"{sys.executable} -m notify settings | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], env=QUIET, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("NOTIFY_REDIS_URL")


def test_an_output_that_is_full_is_told():
    command = f"{sys.executable} -m notify settings > /dev/full"
    done = subprocess.run(
        ["bash", "-c", command], env=QUIET, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")


def test_serve_tells_why_it_cannot_start_and_exits_with_1():
    port = free_port()
    environ = {
        "NOTIFY_JWT_SECRET": JWT_SECRET,
        "NOTIFY_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "NOTIFY_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "notify", "serve"]
    done = subprocess.run(
        command, env={**QUIET, **environ}, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    line = json.loads(done.stderr.splitlines()[-1])
    assert line["event"] == "start_failed"
    assert str(port) in line["reason"]
