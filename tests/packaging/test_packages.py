"""What is in the packages: all of it, nothing else, under the names and versions that belong together."""

from __future__ import annotations

import email
import re
import tarfile
import zipfile
from pathlib import Path

import notify
import notify_client
from tests import pythons
from tests.k8s import toolbox

VERSION = notify.__version__
PAGE = "notify/cli/devserver/page/"
REFERENCE = "notify/ingest/static/scalar.js.gz"


def wheel(dist: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(dist / f"notify_socketio-{VERSION}-py3-none-any.whl")


def archive(path: Path) -> dict[str, bytes]:
    """The files of a tar archive by their path below its one folder."""
    with tarfile.open(path) as opened:
        members = [member for member in opened.getmembers() if member.isfile()]
        return {
            member.name.partition("/")[2]: opened.extractfile(member).read()  # type: ignore[union-attr]
            for member in members
        }


def sources(folder: str = "notify") -> set[str]:
    """The files of a folder as they lie in the repository."""
    found = (toolbox.ROOT / folder).rglob("*")
    return {
        str(path.relative_to(toolbox.ROOT))
        for path in found
        if path.is_file() and not {"__pycache__", "notify_socketio_client.egg-info"} & set(path.parts)
    }


def test_the_wheel_has_every_file_of_the_package_and_no_other(dist: Path) -> None:
    names = {name for name in wheel(dist).namelist() if ".dist-info/" not in name}
    page = {name for name in names if name.startswith(PAGE)}
    bell = {f"notify/gateway/http/client/{name}" for name in ("inbox.js", "element.js")}
    assert names - page - {REFERENCE} == sources() | bell


def test_the_wheel_has_what_shows_the_api_reference(dist: Path) -> None:
    fetched = (toolbox.ROOT / "docs" / "reference" / "dist" / "scalar.js.gz").read_bytes()
    assert wheel(dist).read(REFERENCE) == fetched


def test_the_wheel_has_the_page_of_notify_dev_and_its_client_and_nothing_else_of_the_clients(
    dist: Path,
) -> None:
    names = {name.removeprefix(PAGE) for name in wheel(dist).namelist() if name.startswith(PAGE)}
    served = sources("client-demo/page") | sources("client-demo/style") | sources("client-demo/inbox")
    wanted = {path.removeprefix("client-demo/") for path in served if path.endswith((".js", ".css"))}
    client = {f"vendor/socket.io.{kind}min.js{more}" for kind in ("", "esm.") for more in ("", ".map")}
    assert names == wanted | client | {"index.html"}


def test_the_python_client_is_built_too(dist: Path) -> None:
    with zipfile.ZipFile(
        dist / f"notify_socketio_client-{notify_client.__version__}-py3-none-any.whl"
    ) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
        (place,) = [name for name in opened.namelist() if name.endswith("METADATA")]
        metadata = email.message_from_bytes(opened.read(place))
    source = "client-demo/python/src/"
    assert names == {path.removeprefix(source) for path in sources(source)}
    assert "notify_client/py.typed" in names
    assert metadata["Name"] == "notify-socketio-client"
    needs = metadata.get_all("Requires-Dist", [])
    assert [each for each in needs if "extra" not in each] == ["httpx<1,>=0.28"]
    files = set(archive(dist / f"notify_socketio_client-{notify_client.__version__}.tar.gz"))
    assert {"pyproject.toml", "README.md", "LICENSE", "src/notify_client/py.typed"} <= files


def test_the_sdist_builds_the_same_and_brings_no_tests(dist: Path) -> None:
    files = set(archive(dist / f"notify_socketio-{VERSION}.tar.gz"))
    assert {"pyproject.toml", "README.md", "LICENSE"} <= files
    assert {path for path in files if path.startswith("notify/")} == sources()
    assert {
        "setup.py",
        "client-demo/index.html",
        "node_modules/socket.io-client/dist/socket.io.min.js",
        "docs/reference/dist/scalar.js.gz",
    } <= files
    assert not [path for path in files if path.startswith(("client-demo/python", "client-demo/example"))]
    reference = {f"docs/reference/{name}" for name in ("package.json", "fetch.mjs", "dist/scalar.js.gz")}
    assert not [path for path in files - reference if path.startswith(("tests/", "docs/", "k8s/"))]


def test_the_wheel_says_what_it_is(dist: Path) -> None:
    text = wheel(dist).read(f"notify_socketio-{VERSION}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    assert (metadata["Name"], metadata["Version"]) == ("notify-socketio", VERSION)
    assert metadata["Requires-Python"] == ">=3.11"
    assert "embedded" in metadata.get_all("Provides-Extra", [])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert pythons.supported()[0] == "3.11", "the classifiers begin where Requires-Python does"


def test_the_chart_is_packaged_with_its_readme_and_the_repositorys_address(dist: Path) -> None:
    files = archive(dist / f"notify-{VERSION}.tgz")
    assert {"Chart.yaml", "README.md", "values.yaml", "values.schema.json"} <= set(files)
    assert not [path for path in files if path.startswith("ci/")]
    description = files["Chart.yaml"].decode()
    assert "home: https://git.example.org/team/notify\n" in description
    assert "example.com" not in description
    assert "\n  repository: images.example.org/team/notify\n" in files["values.yaml"].decode()
    assert re.search(rf'^appVersion: "?{re.escape(VERSION)}"?$', description, re.MULTILINE)
