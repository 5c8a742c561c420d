"""Coding agents for the people of a JupyterHub."""

from __future__ import annotations

from typing import Any

from ._version import __version__

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds the extension of the workspace."""
    from .server.app import AgentsApp

    return [{"module": "jupyterhub_agents", "app": AgentsApp}]
