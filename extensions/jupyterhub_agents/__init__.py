"""Coding agents for the people of a JupyterHub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds the extension of the workspace."""
    from .server.app import AgentsApp

    return [{"module": "jupyterhub_agents", "app": AgentsApp}]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext jupyterhub_agents` in a notebook."""
    from .client import notebook

    notebook.load_ipython_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext jupyterhub_agents`."""
    from .client import notebook

    notebook.unload_ipython_extension(shell)
