"""The command line: what it prints, what it says when used wrongly, how it exits."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest

from notify.cli import Commands, main
from notify.settings.settings import Settings
from tests.operators.servers import Server
from tests.support.ports import free_port
from tests.support.tokens import JWT_SECRET
from tests.support.valkey import Valkey

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
    assert notify("--version").stdout == notify("-V").stdout == "notify, version 0.1.0\n"
    shown = notify("--help").stdout
    for command in Commands.by_name:
        assert re.search(rf"^  {command} +\w.+\.$", shown, re.MULTILINE)
    assert set(Commands.by_name) == {
        "cluster", "completion", "dev", "doctor", "inbox", "keys", "listen", "retract", "send", "serve",
        "settings", "show", "token",
    }  # fmt: skip


@pytest.mark.parametrize("group", [[], ["cluster"], ["keys"]])
def test_the_sentences_of_commands_are_not_cut(notify, group: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = notify(*group, "--help").stdout
    assert not re.search(r"\w\.\.\.$", shown, re.MULTILINE)
    assert shown.rstrip().endswith(".")


def test_help_and_completion_import_no_command():
    """Pressing tab must not wait for aiohttp."""
    code = "import sys; from notify.cli import main\ntry: main()\nfinally: print(sorted(sys.modules))"
    for environ, arguments in (
        ({}, ["--help"]),
        ({"_NOTIFY_COMPLETE": "bash_complete", "COMP_WORDS": "x se", "COMP_CWORD": "1"}, []),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**QUIET, **environ},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "notify.cli" in done.stdout
        assert "aiohttp" not in done.stdout
        assert "notify.cli.send" not in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="NO BASH: completion was NOT tested")
def test_bash_completes_commands_and_options(tmp_path: Path):
    (tmp_path / "notify").write_text(f'#!/bin/sh\nexec {sys.executable} -m notify "$@"\n')
    (tmp_path / "notify").chmod(0o755)
    script = """
        source <(notify completion bash)
        COMP_WORDS=($1); COMP_CWORD=$2; COMPREPLY=()
        $(complete -p notify | sed 's/.*-F \\([^ ]*\\).*/\\1/') notify
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    environ = {**QUIET, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for words, place, wanted in (
        ("notify se", 1, ["send", "serve", "settings"]),
        ("notify keys ", 2, ["create", "list", "revoke"]),
        ("notify cluster ", 2, ["rotate-secret"]),
        ("notify send --idem", 2, ["--idempotency-key"]),
    ):
        done = subprocess.run(
            ["bash", "-c", script, "bash", words, str(place)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert sorted(done.stdout.split()) == wanted, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(notify, shell: str):
    done = notify("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_NOTIFY_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["sevre"], {}, "No such command 'sevre'. Did you mean 'serve'?"),
        (["setings"], {}, "'settings'"),
        (["keys", "crate"], {}, "Did you mean 'create'?"),
        (["xyz"], {}, "No such command 'xyz'."),
        (["completion", "csh"], {}, "bash"),
        (["listen", "--token", "x", "--url", "localhost:8080"], {}, "write http://localhost:8080"),
        (["listen", "--token", "x", "--namespace", "chat"], {}, "--namespace: 'chat' does not begin with /"),
        (["send", "--user", "1", "--url", "localhost:1"], {"API_KEY": "k"}, "--url"),
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
        (["send", "--title", "x"], {"API_KEY": "k"}, "Say who it is for"),
        (["send", "--user", "42"], {}, "NOTIFY_API_KEY"),
        (["send", "--user", "42", "--data", "[1]"], {"API_KEY": "k"}, "must be a JSON object"),
        (["send", "--user", "42", "--data", "{"], {"API_KEY": "k"}, "not JSON"),
        (["send", "--user", "42", "--ttl", "-1"], {"API_KEY": "k"}, "--ttl"),
        (["listen"], {}, "--token"),
        (["listen", "--token", "x", "--user", "y"], {}, "either --token"),
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
    assert "NOTIFY_PING_INTERVAL = 25 seconds\n" in shown["text"]
    assert "NOTIFY_MAX_PAYLOAD = 65536 bytes\n" in shown["text"]
    assert "| `NOTIFY_PING_INTERVAL` | `25` seconds |" in shown["markdown"]
    assert "In seconds." in shown["env"]
    assert {line["unit"] for line in json.loads(shown["json"])} == {"", "seconds", "bytes"}
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


@pytest.mark.parametrize("arguments", ["settings", "token 42", "--help", "completion zsh"])
def test_a_closed_output_is_told_in_a_sentence(arguments: str):
    command = f"{sys.executable} -m notify {arguments} >&-"
    environ = {**QUIET, "NOTIFY_JWT_SECRET": JWT_SECRET}
    done = subprocess.run(
        ["bash", "-c", command], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (1, "Error: standard output is closed.\n")


def test_with_everything_closed_it_still_ends_in_order():
    command = f"{sys.executable} -m notify settings <&- >&- 2>&-"
    done = subprocess.run(["bash", "-c", command], env=QUIET, timeout=30, check=False)
    assert done.returncode == 1


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
        "NOTIFY_REDIS_START_TIMEOUT": "0.5",
        "NOTIFY_PORT": str(free_port()),
        "NOTIFY_INTERNAL_PORT": str(free_port()),
    }
    command = [sys.executable, "-m", "notify", "serve"]
    done = subprocess.run(
        command, env={**QUIET, **environ}, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    line = json.loads(done.stderr.splitlines()[-1])
    assert line["event"] == "start_failed"
    assert str(port) in line["reason"]


@pytest.mark.parametrize(
    ("taken", "setting"), [("NOTIFY_PORT", "NOTIFY_PORT"), ("NOTIFY_INTERNAL_PORT", "NOTIFY_INTERNAL_PORT")]
)
def test_a_taken_port_is_told_by_its_setting(valkey: Valkey, taken: str, setting: str):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        environ = {
            "NOTIFY_JWT_SECRET": JWT_SECRET,
            "NOTIFY_REDIS_URL": valkey.url,
            "NOTIFY_HOST": "127.0.0.1",
            "NOTIFY_PORT": str(free_port()),
            "NOTIFY_INTERNAL_PORT": str(free_port()),
            taken: str(port),
        }
        done = subprocess.run(
            [sys.executable, "-m", "notify", "serve"],
            env={**QUIET, **environ},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    line = json.loads(done.stderr.splitlines()[-1])
    assert line["event"] == "start_failed"
    assert line["reason"].startswith(f"{setting}: port {port} on 127.0.0.1 is taken")


@pytest.mark.parametrize("password", [":wrong-password@", ""], ids=["wrong", "missing"])
def test_a_wrong_password_is_told_by_its_setting(tmp_path: Path, password: str):
    with Server(tmp_path / "redis", "requirepass right-password", password="right-password") as server:
        environ = {
            **QUIET,
            "NOTIFY_JWT_SECRET": JWT_SECRET,
            "NOTIFY_REDIS_URL": f"redis://{password}127.0.0.1:{server.port}/0",
            "NOTIFY_PORT": str(free_port()),
            "NOTIFY_INTERNAL_PORT": str(free_port()),
        }
        for arguments in (["keys", "list"], ["serve"]):
            done = subprocess.run(
                [sys.executable, "-m", "notify", *arguments],
                env=environ,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.returncode == 1
            assert "refused us" in done.stderr
            assert "the user, password and database in NOTIFY_REDIS_URL" in done.stderr
            assert "Traceback" not in done.stderr
            assert "wrong-password" not in done.stderr
