"""The samples of the package's README, each in a browser, over the end of a token."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import jwt
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.inbox_element.service import ROOT, Service
from tests.inbox_element.web import web_server

TOKEN_S = 7  # a node warns five seconds before the end


@pytest.fixture(scope="module")
def built(service: Service) -> None:
    """The samples, built by a bundler."""
    environment = {**os.environ, "SAMPLE_SERVICE": service.url}
    subprocess.run(
        ["node", "tests/inbox_element/samples.mjs"], cwd=ROOT, env=environment, check=True, timeout=50
    )


@pytest.fixture
def tokens(service: Service, user: str) -> list[str]:
    """The tokens that the sample's own backend gave."""
    return []


@pytest.fixture
def shop(service: Service, user: str, tokens: list[str]) -> Iterator[str]:
    """The site of somebody who uses the sample: it answers `/notify-token`."""

    def token() -> str:
        tokens.append(service.token(user, seconds=TOKEN_S))
        return tokens[-1]

    with web_server(token=token) as address:
        yield address


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("refreshes", [True, False], ids=["refreshed in time", "slept through"])
@pytest.mark.parametrize("name", ["plain", "react", "vue", "svelte"])
def test_a_sample_goes_on_over_the_end_of_its_token(
    context: BrowserContext,
    service: Service,
    user: str,
    shop: str,
    tokens: list[str],
    name: str,
    refreshes: bool,
) -> None:
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    if not refreshes:
        # The page never hears that its token ends, as one that was frozen would not.
        page.add_init_script(
            """const {parse} = JSON; JSON.parse = (text, ...more) => {
              const value = parse(text, ...more);
              if (Array.isArray(value) && value[0] === "session:expiring") value[0] = "nothing";
              return value;
            };"""
        )
    page.goto(f"{shop}/build/{name}.html")
    badge = page.locator("notify-inbox [part~=badge]")
    service.post(user, "Before")
    expect(badge).to_have_text("1")
    ends = jwt.decode(tokens[0], options={"verify_signature": False})["exp"]
    page.wait_for_function("(end) => Date.now() > end", arg=ends * 1000)
    service.post(user, "After")
    expect(badge).to_have_text("2")
    page.locator("notify-inbox [part~=bell]").click()
    expect(page.locator("notify-inbox").get_by_role("article")).to_have_count(2)
    assert len(tokens) >= 2
    harmless = ("WebSocket connection to", "React DevTools", "development build of Vue", "[vite]")
    assert [line for line in said if not any(word in line for word in harmless)] == []
