"""Spares a newcomer Claude Code's first-start questions, by answering them in its configuration file.

As CLI 2.1.329 has it (seen): on the first interactive start it looks for api.anthropic.com and ends when that cannot
be reached, even where ANTHROPIC_BASE_URL names another endpoint; then it asks whether the folder is trusted, and
whether to use the key in ANTHROPIC_API_KEY, with "no" as the default of both. It skips what its file answers:

- `hasCompletedOnboarding`: true;
- `projects[FOLDER].hasTrustDialogAccepted`: true. It holds for folders below that are not in a git repository too;
  a repository is still asked about;
- `customApiKeyResponses.approved`: the last 20 characters of keys to use.

Only what is missing is set; an answer that a person gave stays. The same file has the MCP servers of every `claude` of
this person (`mcpServers`, the scope "user"): the one for agents is among them, see `with_agents`.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..mcp_server import SERVER, is_ours

LOCK_LIMIT_S = 2.0
KEY_END = 20
"""How many characters of a key, from its end, Claude Code remembers it by."""


def config_file(home: Path, environ: Mapping[str, str]) -> Path:
    """Where Claude Code keeps its configuration."""
    return Path(environ.get("CLAUDE_CONFIG_DIR") or home) / ".claude.json"


def answered(config: dict[str, Any], home: Path, api_key: str | None) -> dict[str, Any]:
    """`config` with the answers it lacks."""
    answers = {"hasCompletedOnboarding": True, **config}
    projects = dict(answers.get("projects") or {})
    # The CLI writes a false by itself when it notes anything else of a folder; a refusal it does not note.
    projects[str(home)] = {**projects.get(str(home), {}), "hasTrustDialogAccepted": True}
    answers["projects"] = projects
    if api_key:
        keys = dict(answers.get("customApiKeyResponses") or {})
        approved, rejected = keys.get("approved") or [], keys.get("rejected") or []
        end = api_key.strip()[-KEY_END:]
        if end not in approved and end not in rejected:
            answers["customApiKeyResponses"] = {**keys, "approved": [*approved, end], "rejected": rejected}
    return answers


def with_agents(config: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
    """`config` with the MCP server for agents. A server that the person named so stays; ours is known by the program
    that it starts, and is brought up to date, because the path of the Python may have changed."""
    servers = dict(config.get("mcpServers") or {})
    there = servers.get(SERVER)
    if there is not None and not is_ours(there):
        return config
    return {**config, "mcpServers": {**servers, SERVER: server}}


def prepare(home: Path, environ: Mapping[str, str], mcp_server: dict[str, Any] | None = None) -> None:
    """Answer the questions in the configuration file of this person, and note the MCP server for agents. A file that
    cannot be read or written is left alone: the questions are asked then."""
    path = config_file(home, environ)
    with suppress(OSError, ValueError, TypeError, AttributeError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock(path):
            text = path.read_text(encoding="utf-8") if path.exists() else "{}"
            before = json.loads(text)
            after = answered(before, home.resolve(), environ.get("ANTHROPIC_API_KEY"))
            if mcp_server is not None:
                after = with_agents(after, mcp_server)
            if after != before:
                replace(path, json.dumps(after, indent=2))


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """The lock that Claude Code takes for a change: a folder beside the file. One that stays is passed over."""
    folder = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + LOCK_LIMIT_S
    taken = False
    while not taken and time.monotonic() < deadline:
        try:
            folder.mkdir()
            taken = True
        except FileExistsError:
            time.sleep(0.05)
    try:
        yield
    finally:
        if taken:
            folder.rmdir()


def replace(path: Path, text: str) -> None:
    """Write the file whole or not at all; it may hold an account's details, so for the owner alone."""
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
