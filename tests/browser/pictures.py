"""Takes the pictures of docs/dashboard.md: `python -m tests.browser.pictures [FOLDER]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser.conftest import ADMIN, MINE, sign_in, start
from tests.browser.history import TEAM, write, write_runs
from tests.browser.runs import begin, sleeping_run, status
from tests.hub.people import RunningHub, eventually
from tests.service.conftest import hub_with_service

PICTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "usage-light": ("ada", MINE, {}),
    "usage-dark-ko": ("ada", MINE, {"color_scheme": "dark", "locale": "ko-KR"}),
    "admin-light": ("admin", ADMIN, {}),
    "admin-budgets": ("admin", ADMIN, {"section": "budgets-title"}),
    "admin-phone-ko": ("admin", ADMIN, {"viewport": {"width": 360, "height": 780}, "locale": "ko-KR"}),
}
TALL = 1_400
GROUPS = """
from collections import defaultdict
groups = defaultdict(list)
for name, names in {team!r}.items():
    for group in names:
        groups[group].append(name)
c.JupyterHub.load_groups = {{group: {{"users": users}} for group, users in groups.items()}}
"""


def take(hub: RunningHub, folder: Path) -> None:
    with sync_playwright() as playwright, start(playwright) as browser:
        for name, (who, path, wishes) in PICTURES.items():
            section = wishes.pop("section", None)
            size = {"width": 1200, "height": 900}
            context = browser.new_context(base_url=hub.url, **{"viewport": size, "locale": "en-US", **wishes})
            page = context.new_page()
            page.goto(path)
            sign_in(page, hub, who)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(600)  # the charts' first drawing moves
            picture = folder / f"{name}.png"
            if section:
                page.locator(f"section[aria-labelledby={section}]").screenshot(path=picture)
            else:
                page.set_viewport_size({"width": wishes.get("viewport", size)["width"], "height": TALL})
                page.wait_for_timeout(600)
                page.screenshot(path=picture)
            context.close()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        asyncio.run(write(state / "state" / "service" / "service.db"))
        asyncio.run(write_runs(state / "state" / "service" / "agents.db"))
        with hub_with_service(state, environment={}, more=GROUPS.format(team=TEAM)) as hub:
            grace, ada = hub.person("grace"), hub.person("ada")
            sleeping_run(grace, "nightly-check")
            waits = begin(ada, "Write summary.md.", "paper-reader")
            eventually(lambda: status(ada, waits) == "waiting", within=60, what="it asks")
            take(hub, folder)


if __name__ == "__main__":
    main()
