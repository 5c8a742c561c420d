"""A real browser before a real hub: Chromium from the system's packages, driven by Playwright.

def test_something(hub, visit):
    page = visit("ada", "/services/agents/")   # in a browser of her own, with the cookies of hub.person("ada")
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.history import write
from tests.hub.people import RunningHub
from tests.service.conftest import hub_with_service

FEATURES = (
    # Each context would load two pages of Chromium's own, for an address bar that nobody sees.
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup",
    # Playwright's own choice, which a second switch of this name takes the place of.
    "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled",
    "PreconnectToSearch",
)  # fmt: skip
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", f"--disable-features={','.join(FEATURES)}",
]  # fmt: skip
"""A browser that asks no other host for anything, and also runs as root and where there is no GPU."""
SHORT = "--js-flags=--no-opt"
"""For pages that are left soon: what the slowest of V8's compilers takes is not won back there."""
MINE = "/services/agents/"
ADMIN = "/services/agents/admin"

expect.set_options(timeout=60_000)
"""Milliseconds. Playwright's own 5 s are short for a machine that has other tests to run."""

Visit = Callable[..., Page]


def start(playwright: Any, *more: str) -> Browser:
    """The system's Chromium, with `more` flags."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("these tests need Chromium: apt-get install chromium")
    return playwright.chromium.launch(executable_path=path, args=[*FLAGS, *more])  # type: ignore[no-any-return]  # Playwright's own type


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
def browser(hub: RunningHub) -> Iterator[Browser]:
    """For one module, and after its hub: Playwright's own event loop must not be there for anything else."""
    with sync_playwright() as playwright, start(playwright, SHORT) as running:
        yield running


def new_context(browser: Browser, hub: RunningHub, name: str, **wishes: Any) -> BrowserContext:
    """A browser in which somebody is signed in, by the cookies of `hub.person(name)`. Nothing in it moves for show."""
    calm = {"base_url": hub.url, "locale": "en-US", "reduced_motion": "reduce"}
    context = browser.new_context(**{**calm, **wishes})
    context.set_default_timeout(60_000)
    context.add_cookies(
        [
            {"name": one.name, "value": one.value or "", "domain": "127.0.0.1", "path": one.path}
            for one in hub.person(name).browser.cookies.jar
        ]
    )
    return context


@pytest.fixture(scope="module")
def kept() -> dict[str, list[Any]]:
    """The cookies that the first browser of each person had after its first page: they are signed in there too."""
    return {}


@pytest.fixture
def visit(hub: RunningHub, browser: Browser, kept: dict[str, list[Any]]) -> Iterator[Visit]:
    """Opens an address as somebody, in a browser of their own."""
    contexts = []

    def open_(name: str, path: str, **wishes: Any) -> Page:
        context = new_context(browser, hub, name, **wishes)
        contexts.append(context)
        context.add_cookies(kept.get(name, []))
        page = context.new_page()
        page.goto(path)
        kept.setdefault(name, context.cookies())
        return page

    yield open_
    for context in contexts:
        context.close()
