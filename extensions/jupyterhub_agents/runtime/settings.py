"""What a site chooses about the runs of its workspaces."""

from __future__ import annotations

import json
import os
from typing import Any

from traitlets import Any as AnyValue
from traitlets import Dict, Float, Int, List, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from .cli import find_cli


class RunSettings(LoggingConfigurable):
    """The traits of `RunManager`."""

    max_running = Int(
        4, min=1, help="How many runs may work at once in a workspace; each is a CLI process of its own. "
        "More are queued."
    ).tag(config=True)  # fmt: skip
    max_queued = Int(200, min=0, help="How many runs may wait in the queue. More are refused with status 429.").tag(
        config=True
    )
    default_timeout_s = Float(
        3600.0, min=1, help="Seconds by the wall clock that a run may take when its agent sets no timeout_s."
    ).tag(config=True)
    stuck_after_s = Float(
        900.0, min=0, help="Seconds after which a run is ended as stuck, when Claude Code says nothing, has no tool or "
        "task at work and waits for no one; 0 is never. Claude Code itself is silent for up to 6 minutes while an API "
        "call gets no answer (10 where API_TIMEOUT_MS counts), and then tries again: a shorter time ends such runs."
    ).tag(config=True)  # fmt: skip
    setting_sources = List(
        Unicode(),
        help="Which of Claude Code's settings on disk count in runs: any of `user`, `project`, `local`. None by "
        "default: a project's settings can run programs (hooks) and loosen permissions. With `project` a folder's "
        "CLAUDE.md is read as well.",
    ).tag(config=True)
    environment = Dict(
        value_trait=Unicode(), key_trait=Unicode(),
        help="Variables to set for the CLI, over those of the Jupyter server. Values that begin with a secret's name "
        "do not belong here: everything the agent runs can read them.",
    ).tag(config=True)  # fmt: skip
    cli_path = Unicode(
        help="The Claude Code executable. By default the one that claude-agent-sdk brings along, else `claude` on PATH."
    ).tag(config=True)
    managed_settings = Dict(
        key_trait=Unicode(), value_trait=AnyValue(),
        help="Claude Code's managed settings for runs, the site's policy: no agent, no project file and no person's "
        "`always` loosens them. With {'permissions': {'ask': ['Bash(git push:*)'], 'deny': ['WebFetch'], "
        "'disableBypassPermissionsMode': 'disable'}} each push is asked about, nothing is fetched, and no agent goes "
        "without asking. By default what the hub gives in JUPYTERHUB_AGENTS_MANAGED_SETTINGS, as JSON.",
    ).tag(config=True)  # fmt: skip
    rest_after_s = Float(
        900.0, min=0,
        help="Seconds after which a run that does nothing but wait for a person gives up its process and its place "
        "among max_running (and no longer keeps the workspace from being culled). It goes on by itself when the person "
        "has decided. 0 keeps the process for as long as it takes.",
    ).tag(config=True)  # fmt: skip
    functions_away_s = Float(
        20.0, min=0.1, help="Seconds after which a run's call of a notebook's function fails, when the notebook has "
        "ceased to ask for calls: its kernel was stopped, or its connection is lost."
    ).tag(config=True)  # fmt: skip
    kill_grace_s = Float(
        0.5,
        min=0,
        max=10,
        help="Seconds between asking a CLI to end (SIGTERM) and killing it with all it started.",
    ).tag(config=True)
    notice = Unicode(
        help="A sentence that each run shows its readers, such as that a demo model answers instead of an AI."
    ).tag(config=True)

    @default("environment")
    def _default_environment(self) -> dict[str, str]:
        # The CLI is one pinned version, and a workspace reports to its own hub alone.
        return {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}

    @default("managed_settings")
    def _default_managed_settings(self) -> dict[str, Any]:
        given = os.environ.get("JUPYTERHUB_AGENTS_MANAGED_SETTINGS") or "{}"
        try:
            settings = json.loads(given)
        except ValueError as error:
            raise ValueError(f"JUPYTERHUB_AGENTS_MANAGED_SETTINGS is not JSON: {error}") from error
        if not isinstance(settings, dict):
            raise ValueError("JUPYTERHUB_AGENTS_MANAGED_SETTINGS must be a JSON object, as in a settings file.")
        return settings

    @default("cli_path")
    def _default_cli_path(self) -> str:
        return str(find_cli())

    @validate("setting_sources")
    def _known_sources(self, proposal: Any) -> list[str]:
        sources: list[str] = proposal["value"]
        if unknown := set(sources) - {"user", "project", "local"}:
            raise ValueError(f"setting_sources: {sorted(unknown)} is none of user, project, local")
        return sources
