"""The Claude Code CLI: where it is, what it may see of the environment, what it keeps of a session's usage."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import RuntimeUnavailable

LAUNCHER = Path(__file__).parent / "launch"
REAPER = Path(__file__).parent / "reaper.py"

HIDDEN_PREFIXES = ("JUPYTERHUB_", "JPY_", "CONFIGPROXY_", "JUPYTER_TOKEN", "JUPYTER_PASSWORD")
"""Variables of the hub and of the server: none is for the CLI and what it runs, and some are credentials."""

# Where the SDK's own environment marks a process as started by Claude Code; a server that was itself started
# from within one would pass them on.
INHERITED = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION_ID")


class SessionEnded(Exception):
    """The CLI ended without the result that every run ends with. The message says what it left behind."""


def find_cli() -> Path:
    """The CLI that the SDK brings along, else the `claude` on PATH. Raises RuntimeUnavailable."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "_bundled" / "claude"
        if bundled.is_file():
            return bundled
    if found := shutil.which("claude"):
        return Path(found)
    raise RuntimeUnavailable(
        "Claude Code was not found. Install it with `pip install claude-agent-sdk` (its wheels for Linux and "
        "macOS bring it along), or put `claude` on the PATH of the Jupyter server."
    )


def is_hidden(name: str) -> bool:
    """Whether a variable of this name is kept from the CLI."""
    return name.startswith(HIDDEN_PREFIXES) or name in INHERITED


def cli_environment(
    extra: Mapping[str, str], *, cli: Path, grace_s: float, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What to set for `launch`, over the environment it inherits.

    The SDK can set variables but not remove them: hidden ones are set to nothing here, and the reaper removes
    them before the CLI starts.
    """
    environ = os.environ if environ is None else environ
    hidden = sorted(name for name in environ if is_hidden(name))
    return {
        **{name: "" for name in hidden},
        **extra,
        "JUPYTERHUB_AGENTS_REAPER_PYTHON": sys.executable,
        "JUPYTERHUB_AGENTS_REAPER_PROGRAM": str(cli),
        "JUPYTERHUB_AGENTS_REAPER_PARENT": str(os.getpid()),
        "JUPYTERHUB_AGENTS_REAPER_GRACE": str(grace_s),
        "JUPYTERHUB_AGENTS_REAPER_DROP": " ".join(hidden),
    }


def kept_usage(config: Path, session_id: str) -> dict[str, Any]:
    """The `modelUsage` that the CLI begins to count from when it resumes a session; empty when it begins at zero.

    When the CLI leaves in order it writes what the session used into the session's transcript, as an entry of the
    type `cost-state`, and takes up the last of these when it resumes (seen with 2.1.329). `config` is its
    configuration folder.
    """
    kept: dict[str, Any] = {}
    for transcript in config.glob(f"projects/*/{session_id}.jsonl"):
        with suppress(OSError, ValueError), transcript.open("rb") as lines:
            for line in lines:
                if b'"cost-state"' in line:
                    entry = json.loads(line)
                    if entry.get("type") == "cost-state":
                        kept = dict(entry.get("modelUsage") or {})
    return kept


def has_session(config: Path, session_id: str) -> bool:
    """Whether the CLI has something to resume. A run that was stopped early may not have got to its first words; what
    little it left then is removed, because the CLI takes no session id that it has a file of."""
    for transcript in config.glob(f"projects/*/{session_id}.jsonl"):
        with suppress(OSError), transcript.open("rb") as lines:
            if any(b'"type":"user"' in line for line in lines):
                return True
        with suppress(OSError):
            transcript.unlink()
    return False


def config_folder(environment: Mapping[str, str]) -> Path:
    """The CLI's configuration folder, for the environment it is given."""
    if folder := environment.get("CLAUDE_CONFIG_DIR"):
        return Path(folder)
    return Path(environment.get("HOME") or Path.home()) / ".claude"
