"""Who may sign in."""

from __future__ import annotations

from traitlets.config import Config

from .hub import USERNAME_PATTERN, AgentHub


def configure(c: Config, hub: AgentHub) -> None:
    """One password for all the people, another for the one admin."""
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = hub.user_password
    c.SharedPasswordAuthenticator.admin_password = hub.admin_password
    c.Authenticator.admin_users = {hub.admin_user}
    c.Authenticator.allow_all = True
    c.Authenticator.username_pattern = USERNAME_PATTERN
