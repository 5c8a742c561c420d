"""Agents in a notebook: `%load_ext jupyterhub_agents` brings `%agents` and `%%agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .magics import AgentMagics

_loaded: dict[int, AgentMagics] = {}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext jupyterhub_agents`."""
    from .magics import AgentMagics

    magics = AgentMagics(shell)
    _loaded[id(shell)] = magics
    shell.register_magics(magics)
    for command in ("%agents", "%%agents", "%agent", "%%agent"):
        shell.set_hook("complete_command", lambda _, event: magics.completions(event), str_key=command)  # type: ignore[no-untyped-call]  # IPython's


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext jupyterhub_agents`: connections are closed, runs go on."""
    magics = _loaded.pop(id(shell), None)
    if magics is not None:
        magics.close()
    for kind in ("line", "cell"):
        for name in ("agents", "agent"):
            shell.magics_manager.magics[kind].pop(name, None)
    for command in ("%agents", "%%agents", "%agent", "%%agent"):
        shell.strdispatchers["complete_command"].strs.pop(command, None)
