"""The documents say what the code does: links, settings, fields, errors, events."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notify.domain import errors
from notify.domain.notifications.notification import RESERVED_EVENTS
from notify.ingest.openapi.document import document
from tests.docs.blocks import DOCUMENTS, ROOT

DOCS = ROOT / "docs"


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_its_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (file.parent / path).resolve() if path else file
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found.read_text()), target


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_it_names_settings_that_exist(file: Path) -> None:
    known = set(re.findall(r"^\| `(NOTIFY_\w+)`", (DOCS / "settings.md").read_text(), re.MULTILINE))
    known |= {"NOTIFY_API_KEY", "NOTIFY_TOKEN", "NOTIFY_URL", "NOTIFY_"}
    named = set(re.findall(r"\bNOTIFY_[A-Z_]*", file.read_text()))
    assert {name.removesuffix("_FILE") for name in named} <= known


def test_every_call_and_every_field_of_the_api_is_described() -> None:
    text = (DOCS / "http.md").read_text()
    described = document(max_payload=65536)
    for path, operations in described["paths"].items():
        for method in operations.keys() & {"get", "post", "put", "delete"}:
            assert f"`{method.upper()} {path}`" in text, f"{method.upper()} {path}"
    for name in ("Notification", "Target"):
        schema = described["components"]["schemas"][name]
        for field in schema["properties"]:
            assert f"| `{field}` |" in text, f"{name}.{field}"


def test_every_error_is_described() -> None:
    texts = {name: (DOCS / name).read_text() for name in ("http.md", "events.md")}

    def below(error: type[errors.NotifyError]) -> list[type[errors.NotifyError]]:
        return [error, *(deeper for lower in error.__subclasses__() for deeper in below(lower))]

    tree = [error for error in below(errors.NotifyError)[1:] if error.__module__ == errors.__name__]
    for error in tree:
        place = "events.md" if error.code.startswith("token_") else "http.md"
        assert f"`{error.code}`" in texts[place], error.code


def test_every_reserved_name_is_listed() -> None:
    text = (DOCS / "events.md").read_text()
    assert [name for name in sorted(RESERVED_EVENTS) if f"`{name}`" not in text] == []


def test_pictures_have_words_for_those_who_do_not_see_them() -> None:
    for file in DOCUMENTS:
        assert "![](" not in file.read_text()
    for diagram in ("way.svg", "house.svg"):
        text = (DOCS / diagram).read_text()
        assert "<desc" in text
        assert "<script" not in text


def test_the_architecture_names_every_package_and_only_files_that_exist() -> None:
    text = (DOCS / "architecture.md").read_text()
    home = ROOT / "notify"
    for package in sorted(file.parent.relative_to(home) for file in home.rglob("__init__.py")):
        if (package.parts and package.parts[0] != "ingest") or package.parts == ("ingest",):
            assert f"`{package}`" in text, package
    files = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|lua))`", text))
    assert files
    assert [name for name in sorted(files) if not (home / name).exists()] == []
