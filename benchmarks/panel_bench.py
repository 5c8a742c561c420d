"""How quickly JupyterLab shows a run of 10,000 events, and how long the browser's frames get while it is scrolled.

The real panel in the system's Chromium, without a window and without a GPU, before a real hub. Milliseconds: medians
over the rounds of the time from the command to the last words on the page, and of a scroll's longest frame and its 99th
percentile.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import sign_in, start
from tests.browser.panel.conftest import CONFIG, close_documents, run_command, show_panel
from tests.browser.panel.long_run import LAST_WORDS, make_long_run
from tests.hub.people import running_hub

ROUNDS = 7

OPEN = """
async ([runId, words]) => {
  const began = performance.now();
  const seen = new Promise(resolve => {
    const look = () => document.querySelector('.jp-AgentsRun-log')?.innerText.includes(words)
      ? resolve(performance.now() - began) : requestAnimationFrame(look);
    look();
  });
  await window.jupyterapp.commands.execute('agents:open-run', { runId });
  return await seen;
}
"""
SCROLL = """
async () => {
  const log = document.querySelector('.jp-AgentsRun-log');
  const frames = [];
  let before = await new Promise(requestAnimationFrame);
  for (let step = 0; step < 240; step += 1) {
    // A wheel that is turned fast, and now and then a jump by the scroll bar.
    log.scrollTop -= step % 60 === 59 ? log.scrollHeight / 6 : 180;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before);
    before = now;
  }
  return frames;
}
"""


class NoBrowser(Exception):
    """There is no Chromium here."""


def run() -> dict[str, float]:
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        raise NoBrowser("It needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        config = Path(place) / "jupyterhub_config.py"
        config.write_text(CONFIG)
        with running_hub(Path(place) / "state", config=config) as hub, start(playwright) as browser:
            ada = hub.person("ada").spawn()
            run_id = make_long_run(ada)
            page = browser.new_page(base_url=hub.url, viewport={"width": 1280, "height": 860})
            page.goto("/hub/login?next=/user/ada/lab")
            sign_in(page, hub, "ada")
            show_panel(page)
            return {**opening(page, run_id), **scrolling(page, run_id)}


def opening(page: Page, run_id: str) -> dict[str, float]:
    took = []
    for _ in range(ROUNDS):
        took.append(page.evaluate(OPEN, [run_id, LAST_WORDS]))
        page.locator(".jp-AgentsRun progress").wait_for(state="detached")
        close_documents(page)
    return {"panel.10000_events.opens_ms": median(took)}


def scrolling(page: Page, run_id: str) -> dict[str, float]:
    run_command(page, "agents:open-run", runId=run_id)
    log = page.get_by_role("log")
    log.get_by_text(LAST_WORDS).wait_for()
    page.locator(".jp-AgentsRun progress").wait_for(state="detached")
    longest, high = [], []
    for _ in range(ROUNDS):
        log.evaluate("log => { log.scrollTop = log.scrollHeight; }")
        page.wait_for_function("() => new Promise(done => requestIdleCallback(() => done(true)))")
        frames = page.evaluate(SCROLL)
        longest.append(max(frames))
        high.append(quantiles(frames, n=100)[98])
    return {
        "panel.10000_events.longest_frame_ms": median(longest),
        "panel.10000_events.p99_frame_ms": median(high),
    }
