"""The terminal's process: becomes ttyd, or serves a page that says what is missing until it is there.

    python -m jupyterhub_agents.server.terminal.launch --folder FOLDER [--claude PATH] [--notice TEXT] [--door FILE]

Listens on FOLDER/ttyd.sock, mode 0600. jupyter-server-proxy keeps the process it started, so this one looks again
at each request for the page and turns into ttyd by exec when it can.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import shlex
import shutil
import socket
import socketserver
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NoReturn

from .. import ttyd
from ..mcp_server import mcp_server
from . import first_start

HERE = Path(__file__).parent
LISTEN_LIMIT_S = 10.0
REQUEST_LIMIT_S = 5.0
PING_S = 30
"""Seconds between pings on a quiet connection: proxies in between cut one that is quiet for a minute."""
THEME = {"background": "#1a1a19", "foreground": "#e8e6df", "cursor": "#d97757", "selectionBackground": "#4a4a46"}
CLIENT_OPTIONS = {
    "titleFixed": "Claude Code",
    "disableLeaveAlert": "true",  # leaving ends nothing: tmux keeps the session
    "disableResizeOverlay": "true",
    "fontSize": "14",
    "theme": json.dumps(THEME),
}

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Claude Code</title>{refresh}<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }}
pre {{ background: #f3f2ee; color: #1a1a19; padding: .75rem 1rem; overflow-x: auto }}</style></head><body>
{body}</body></html>"""


class Missing(Exception):
    """What the terminal needs is not there: `what` and why, and the `command` that gets it."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(what)
        self.what = what
        self.command = command


def find_programs() -> Path:
    """ttyd, when tmux is there too. Raises Missing."""
    try:
        program = ttyd.find()
    except ttyd.Unavailable as error:
        install = shlex.join([sys.executable, "-m", "jupyterhub_agents.server.ttyd", "install"])
        raise Missing(str(error), install) from error
    if shutil.which("tmux") is None:
        raise Missing("tmux is not installed here.", "sudo apt-get install tmux")
    return program


def keep_private(path: Path) -> None:
    """Take the group's access to a socket away as soon as ttyd listens on it: libwebsockets gives mode 0660 to a socket
    that it has bound, whatever the umask. This needs a process beside ttyd; being orphaned, it is left to the reaper.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        if os.fork() == 0:
            deadline = time.monotonic() + LISTEN_LIMIT_S
            while time.monotonic() < deadline:
                with suppress(OSError), socket.socket(socket.AF_UNIX) as attempt:
                    attempt.connect(str(path))
                    path.chmod(0o600)
                    break
                time.sleep(0.01)
    finally:
        os._exit(0)


def become_ttyd(program: Path, folder: Path) -> NoReturn:
    keep_private(folder / "ttyd.sock")
    arguments = ["-i", str(folder / "ttyd.sock"), "--writable", "--url-arg", "--ping-interval", str(PING_S)]
    arguments += ["--debug", "3"]  # libwebsockets' errors and warnings; its notices would fill the server's log
    arguments += ["--cwd", str(Path.home())]
    for name, value in CLIENT_OPTIONS.items():
        arguments += ["--client-option", f"{name}={value}"]
    arguments += ["/bin/sh", str(HERE / "attach.sh")]
    os.execv(program, [str(program), *arguments])  # noqa: S606 - no shell is the point


def set_environment(folder: Path, claude: str | None, notice: str) -> None:
    """What attach.sh and session.sh find in the environment, besides the person's own."""
    tools = folder / "bin"
    tools.mkdir(mode=0o700, exist_ok=True)
    if claude:
        with suppress(FileExistsError):
            (tools / "claude").symlink_to(claude)
    os.environ["PATH"] = os.pathsep.join([str(tools), os.environ.get("PATH", os.defpath)])
    os.environ["AGENTS_TERMINAL_FOLDER"] = str(folder)
    os.environ["AGENTS_TERMINAL_NOTICE"] = notice
    os.environ["AGENTS_TERMINAL_UMASK"] = f"{os.umask(0o077):04o}"  # what is made from here on is private
    # The browser's terminal and tmux.conf both have all colours; Claude Code keeps to 256 in a tmux unless told.
    os.environ["COLORTERM"] = "truecolor"
    os.environ.setdefault("CLAUDE_CODE_TMUX_TRUECOLOR", "1")
    # The copy in use comes with this project's dependencies and is updated with them.
    os.environ.setdefault("DISABLE_AUTOUPDATER", "1")
    if not any(os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")):
        os.environ["LANG"] = "C.UTF-8"


class PageServer(socketserver.UnixStreamServer):
    """Serves the page; `found` is ttyd, once a request found it."""

    found: Path | None = None


class Page(BaseHTTPRequestHandler):
    """Answers every request with what is missing, or, when nothing is any more, with a page that loads again."""

    server: PageServer
    timeout = REQUEST_LIMIT_S

    def do_GET(self) -> None:
        try:
            self.server.found = find_programs()
        except Missing as error:
            body = f"<h1>The terminal cannot be opened yet</h1><p>{html.escape(error.what)}</p>"
            body += f"<p>Install it and reload this page:</p><pre>{html.escape(error.command)}</pre>"
            body += "<p>Agents, notebooks and everything else work without it.</p>"
            self.answer(503, PAGE.format(refresh="", body=body))
        else:
            self.answer(200, PAGE.format(refresh='<meta http-equiv="refresh" content="1">', body="<p>Starting...</p>"))

    def answer(self, status: int, page: str) -> None:
        content = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """The Jupyter server logs the request already."""


def serve_page_until_found(folder: Path) -> Path:
    with PageServer(str(folder / "ttyd.sock"), Page) as server:
        while server.found is None:
            server.handle_request()
    (folder / "ttyd.sock").unlink()
    return server.found


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(description="Serve the Claude Code terminal on a unix socket.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--claude")
    parser.add_argument("--notice", default="")
    parser.add_argument("--door", type=Path, help="the file that says where the agents API's socket is")
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(mode=0o700, exist_ok=True)
    (chosen.folder / "ttyd.sock").unlink(missing_ok=True)
    set_environment(chosen.folder, chosen.claude, chosen.notice)
    if chosen.door is not None:
        os.environ["AGENTS_DOOR"] = str(chosen.door)  # for `jupyter agents`, see client/discovery.py
    first_start.prepare(Path.home(), os.environ, mcp_server(chosen.door) if chosen.door is not None else None)
    try:
        program = find_programs()
    except Missing:
        program = serve_page_until_found(chosen.folder)
    become_ttyd(program, chosen.folder)


if __name__ == "__main__":
    main()
