"""Writes docs/configuration.md from the help of every trait: `python tools/traits.py` (with `--check` to compare)."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from traitlets import TraitType, Undefined
from traitlets.config import Configurable
from traitlets.traitlets import DefaultHandler

from hub_config.hub import AgentHub
from jupyterhub_agents.runtime.keys import RunKeys
from jupyterhub_agents.runtime.manager import RunManager
from jupyterhub_agents.runtime.pool import WarmPool
from jupyterhub_agents.server.app import AgentsApp
from jupyterhub_agents.service.app import AgentsService
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.front_door.config import FrontDoor
from jupyterhub_agents.service.gateway.config import Gateway
from jupyterhub_agents.service.keeping import Keeping

TARGET = Path(__file__).parent.parent / "docs" / "configuration.md"

HEAD = """\
# Configuration

Every choice is a [trait](https://traitlets.readthedocs.io/en/stable/config.html). The hub's are set in
`jupyterhub_config.py` before `configure(c)`; those of a workspace in `jupyter_server_config.py`, or by the hub for
everyone.

```python
from hub_config import configure

c.AgentHub.port = 8080
configure(c)
```

This page is made of the traits' own help by `python tools/traits.py`.
"""

SECTIONS: tuple[tuple[str, str, type[Configurable]], ...] = (
    ("The hub", "jupyterhub_config.py", AgentHub),
    ("The hub's service", "the file that `jupyterhub-agents-service --config` names", AgentsService),
    ("The gateway to Claude", "the file that `jupyterhub-agents-service --config` names", Gateway),
    ("Budgets", "the file that `jupyterhub-agents-service --config` names", Budgets),
    ("Where everything is kept", "the file that `jupyterhub-agents-service --config` names", Keeping),
    ("The front door", "the file that `jupyterhub-agents-service --config` names", FrontDoor),
    ("A workspace", "jupyter_server_config.py", AgentsApp),
    ("Runs of a workspace", "jupyter_server_config.py", RunManager),
    ("Processes that wait for a run", "jupyter_server_config.py", WarmPool),
    ("Keys of runs", "jupyter_server_config.py", RunKeys),
)


def text() -> str:
    """The page."""
    parts = [HEAD]
    for title, file, cls in SECTIONS:
        parts.append(f"\n## {title}\n\n`c.{cls.__name__}` in {file if ' ' in file else f'`{file}`'}\n")
        for name, trait in sorted(traits_of(cls).items()):
            parts.append(f"\n### `{name}`\n\n{type(trait).__name__}, {default_of(cls, name, trait)}.\n")
            parts.append(f"\n{help_of(trait)}\n")
    return "".join(parts)


def traits_of(cls: type[Configurable]) -> dict[str, TraitType[object, object]]:
    """The class's own traits; and those of its parts, where the project has split it."""
    found = cls.class_own_traits(config=True)
    for base in cls.__bases__:
        if base.__module__.partition(".")[0] in ("hub_config", "jupyterhub_agents"):
            found |= base.class_own_traits(config=True)
    return found


def help_of(trait: TraitType[object, object]) -> str:
    """A trait's help, as paragraphs."""
    paragraphs = inspect.cleandoc(trait.help or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def default_of(cls: type[Configurable], name: str, trait: TraitType[object, object]) -> str:
    """The default in words: many are found out at the start, and these say so in their help."""
    members = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    if f"_default_{name}" in members or any(
        isinstance(value, DefaultHandler) and value.trait_name == name for value in members.values()
    ):
        return "found out at the start"
    value = trait.default()
    return "no default" if value is Undefined else f"default `{value!r}`"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text() else f"{TARGET.name} is old: run tools/traits.py")
    TARGET.write_text(text(), encoding="utf-8")
