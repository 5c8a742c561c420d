"""A real browser before a real hub: Chromium from the system's packages, driven by Playwright.

def test_something(hub, visit):
    page = visit("ada", "/services/agents/")   # signed in through the hub's own form
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.history import write
from tests.hub.people import RunningHub
from tests.service.conftest import hub_with_service

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
"""A browser that asks no other host for anything, and also runs as root and where there is no GPU."""
MINE = "/services/agents/"
ADMIN = "/services/agents/admin"

expect.set_options(timeout=60_000)
"""Milliseconds. Playwright's own 5 s are short for a machine that has other tests to run."""

Visit = Callable[..., Page]


def start(playwright: Any) -> Browser:
    """The system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("these tests need Chromium: apt-get install chromium")
    return playwright.chromium.launch(executable_path=path, args=FLAGS)  # type: ignore[no-any-return]  # Playwright's own type


def sign_in(page: Page, hub: RunningHub, name: str) -> None:
    """Fill in the hub's sign-in form, which is before us, and wait until it has let us in."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(hub.admin_password if name == "admin" else hub.user_password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/hub/login" not in url)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub with people who have used it for a while; the demo model answers."""
    folder = tmp_path_factory.mktemp("browser")
    asyncio.run(write(folder / "state" / "service" / "service.db"))
    with hub_with_service(
        folder, "--AgentsService.refresh_s=1", "--AgentsService.identity_cache_s=3", environment={}
    ) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module: Playwright's own event loop must not be there for the tests after it."""
    with sync_playwright() as playwright, start(playwright) as running:
        yield running


@pytest.fixture
def visit(hub: RunningHub, browser: Browser) -> Iterator[Visit]:
    """Opens an address as somebody, in a browser of their own."""
    contexts = []

    def open_(name: str, path: str, **wishes: Any) -> Page:
        context = browser.new_context(base_url=hub.url, **{"locale": "en-US", **wishes})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(path)
        sign_in(page, hub, name)
        return page

    yield open_
    for context in contexts:
        context.close()
