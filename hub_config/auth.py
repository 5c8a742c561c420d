"""Who may sign in."""

from __future__ import annotations

from traitlets.config import Config

from .hub import AgentHub
from .names import USERNAME_PATTERN


def configure(c: Config, hub: AgentHub) -> None:
    """The way that the site has chosen, and who comes in by it."""
    c.Authenticator.username_pattern = USERNAME_PATTERN
    if not hub.by_provider:
        _one_password_for_all(c, hub)
        return
    c.OAuthenticator.client_id = hub.sign_in_client_id
    c.OAuthenticator.client_secret = hub.sign_in_client_secret
    if hub.sign_in_callback_url:
        c.OAuthenticator.oauth_callback_url = hub.sign_in_callback_url
    c.Authenticator.admin_users = set(hub.admin_users)
    c.Authenticator.allowed_users = set(hub.allowed_users)
    # Who may come in is in the lists above, today's: somebody who was taken off must not come in by an old account.
    c.OAuthenticator.allow_existing_users = False
    # A domain keeps others out; whom of its people it lets in is for the other lists, where there are any.
    c.Authenticator.allow_all = bool(hub.allowed_domains) and not (hub.allowed_users or hub.allowed_groups)
    {"google": _google, "github": _github, "oidc": _oidc}[hub.sign_in](c, hub)


def _one_password_for_all(c: Config, hub: AgentHub) -> None:
    """One password for all the people, another for the one admin."""
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = hub.user_password
    c.SharedPasswordAuthenticator.admin_password = hub.admin_password
    c.Authenticator.admin_users = {hub.admin_user}
    c.Authenticator.allow_all = True


def _google(c: Config, hub: AgentHub) -> None:
    c.JupyterHub.authenticator_class = "hub_config.providers.GoogleSignIn"
    c.GoogleOAuthenticator.hosted_domain = hub.allowed_domains
    if not (hub.allowed_groups or hub.admin_groups):
        return
    domains = hub.allowed_domains
    c.GoogleOAuthenticator.google_service_account_keys = dict.fromkeys(domains, hub.google_service_account_file)
    c.GoogleOAuthenticator.gsuite_administrator = dict.fromkeys(domains, hub.google_workspace_admin)
    c.GoogleOAuthenticator.allowed_google_groups = {domain: set(hub.allowed_groups) for domain in domains}
    if hub.admin_groups:
        c.GoogleOAuthenticator.admin_google_groups = {domain: set(hub.admin_groups) for domain in domains}
    c.Authenticator.manage_groups = True
    c.GoogleOAuthenticator.auth_state_groups_key = "google_user.google_groups"


def _github(c: Config, hub: AgentHub) -> None:
    c.JupyterHub.authenticator_class = "hub_config.providers.GitHubSignIn"
    c.GitHubOAuthenticator.github_url = hub.github_url
    c.GitHubOAuthenticator.allowed_organizations = set(hub.allowed_organizations)
    # Without it only memberships that people have made public can be seen.
    c.GitHubOAuthenticator.scope = ["read:org"]
    if hub.allowed_groups or hub.admin_groups:
        from .providers import github_teams

        c.GitHubOAuthenticator.populate_teams_in_auth_state = True
        _groups(c, hub, github_teams)


def _oidc(c: Config, hub: AgentHub) -> None:
    c.JupyterHub.authenticator_class = "hub_config.providers.OIDCSignIn"
    c.OIDCSignIn.issuer = hub.oidc_issuer
    c.OIDCSignIn.allowed_domains = hub.allowed_domains
    c.OIDCSignIn.login_service = hub.oidc_name
    c.OIDCSignIn.authorize_url = hub.oidc_authorize_url
    c.OIDCSignIn.token_url = hub.oidc_token_url
    c.OIDCSignIn.userdata_from_id_token = True
    c.OIDCSignIn.scope = hub.oidc_scopes
    c.OIDCSignIn.username_claim = hub.oidc_username_claim
    _groups(c, hub, f"oauth_user.{hub.oidc_groups_claim}")


def _groups(c: Config, hub: AgentHub, where: object) -> None:
    """A person's groups become the hub's, at each sign-in. `where` says where OAuthenticator finds them."""
    c.Authenticator.manage_groups = True
    c.OAuthenticator.auth_state_groups_key = where
    c.OAuthenticator.allowed_groups = set(hub.allowed_groups)
    c.OAuthenticator.admin_groups = set(hub.admin_groups)
