"""Takes the pictures of runs in docs/panel.md: `python -m tests.browser.panel.run_pictures [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.replies import Reply, say, think, use
from tests.browser.conftest import sign_in, start
from tests.browser.panel.conftest import CONFIG, make_agent, run_command, show_panel, start_run
from tests.hub.people import running_hub

PICTURES = {"run-light": ("JupyterLab Light", ""), "run-dark": ("JupyterLab Dark", ""), "run-ko": ("", "ko_KR")}
PROMPT = "Why does fib return too much? Mend it."
MENDED = """The recursion never ended for `n = 1`: now it does.

| n | before | after |
|---|---|---|
| 1 | 2 | 1 |
| 5 | 16 | 5 |

```python
assert [fib(n) for n in range(6)] == [0, 1, 1, 2, 3, 5]
```
"""


def script(home: str) -> dict[str, list[Reply]]:
    file = f"{home}/desk/fib.py"
    before = "    return fib(n - 1) + fib(n - 1)\n"
    after = "    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n"
    return {
        PROMPT: [
            think("Look at the file first.") + say("I look at it and run it.")
            + use("Bash", {"command": "cat fib.py", "description": "Show the file"}),
            use("Read", {"file_path": file}),
            use("Edit", {"file_path": file, "old_string": before, "new_string": after}),
            say(MENDED) + use("Bash", {"command": "git commit -am 'Mend fib'", "description": "Keep the change"}),
        ]
    }  # fmt: skip


def main() -> None:
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    with tempfile.TemporaryDirectory() as name, ScriptedModel() as model:
        folder = Path(name)
        config = folder / "jupyterhub_config.py"
        config.write_text(CONFIG)
        with running_hub(folder / "state", config=config, environment=model.env()) as hub:
            ada = hub.person("ada").spawn()
            model.script = script(str(ada.home))
            desk = ada.home / "desk"
            desk.mkdir()
            (desk / "fib.py").write_text("def fib(n):\n    return fib(n - 1) + fib(n - 1)\n")
            make_agent(ada, "Mender", directory="desk", allowed_tools=["Bash(cat:*)", "Edit", "Read"])
            news = "lab/api/settings/@jupyterlab/apputils-extension:notification"
            ada.workspace.put(news, json={"raw": '{"fetchNews": "false"}'})
            run = start_run(ada, "mender", PROMPT)
            with sync_playwright() as playwright, start(playwright) as browser:
                for picture, (theme, locale) in PICTURES.items():
                    ada.workspace.put(
                        "lab/api/settings/@jupyterlab/translation-extension:plugin",
                        json={"raw": f'{{"locale": "{locale or "en"}"}}'},
                    )
                    context = browser.new_context(base_url=hub.url, viewport={"width": 1180, "height": 900})
                    page = context.new_page()
                    page.goto("/hub/login?next=/user/ada/lab%3Freset")
                    sign_in(page, hub, "ada")
                    show_panel(page)
                    run_command(page, "apputils:change-theme", theme=theme or "JupyterLab Light")
                    run_command(page, "agents:open-run", runId=run)
                    page.locator(".jp-AgentsRun [data-decision=once]").wait_for(timeout=60_000)
                    page.wait_for_timeout(1_500)  # fonts and colours of code come late
                    page.screenshot(path=into / f"{picture}.png")
                    context.close()


if __name__ == "__main__":
    main()
