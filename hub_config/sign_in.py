"""SignIn: the choices of who may sign in, and by whom they are known."""

from __future__ import annotations

import os
from typing import Any, TypedDict
from urllib.parse import urlsplit

from traitlets import Enum, List, TraitError, Unicode, default, validate
from traitlets.config import Configurable

from .names import is_username

WAYS = ("shared-password", "google", "github", "oidc")


class _Proposal(TypedDict):
    value: Any


class SignIn(Configurable):
    """How people sign in. A part of AgentHub."""

    sign_in = Enum(
        WAYS,
        help="""
        How people sign in: `shared-password` (for trying things out), `google`, `github`, or `oidc`: any provider that
        speaks OpenID Connect.

        All but the first need `sign_in_client_id` and `sign_in_client_secret`, which the provider gives the hub, and a
        list of who may come in. Default: the environment variable JUPYTERHUB_AGENTS_SIGN_IN, else
        `shared-password`.
        """,
    ).tag(config=True)

    sign_in_client_id = Unicode(
        help="""
        The name by which the provider knows the hub. Default: the environment variable
        JUPYTERHUB_AGENTS_SIGN_IN_CLIENT_ID.
        """
    ).tag(config=True)

    sign_in_client_secret = Unicode(
        help="""
        The password by which the provider knows the hub. Default: the environment variable
        JUPYTERHUB_AGENTS_SIGN_IN_CLIENT_SECRET; better there than in a file.
        """
    ).tag(config=True)

    sign_in_callback_url = Unicode(
        help="""
        Where the provider sends people back to, as it is registered there: `https://HUB/hub/oauth_callback`.

        Without one the hub goes by the address that the browser asked for, which is wrong behind a proxy that speaks
        HTTPS for it.
        """
    ).tag(config=True)

    allowed_domains = List(
        Unicode(),
        help="""
        The domains whose people may sign in, such as `example.org`; with `google` those of the organisation's account
        (the claim `hd`), with `oidc` those of verified e-mail addresses.

        With one domain and `google`, names are without it: ana@example.org is `ana`. Everyone of these domains comes
        in, unless `allowed_users` or `allowed_groups` says who. With `oidc`, `["*"]` takes everyone whom the provider
        knows.
        """,
    ).tag(config=True)

    allowed_organizations = List(
        Unicode(),
        help="""
        The GitHub organisations whose members may sign in, or teams of them: `our-company`, `our-company:data-team`.
        """,
    ).tag(config=True)

    allowed_users = List(
        Unicode(),
        help="""
        The names of people who may sign in, as the hub has them: GitHub's logins in lower case, e-mail addresses.
        """,
    ).tag(config=True)

    allowed_groups = List(
        Unicode(),
        help="""
        The groups whose members may sign in. With `google` the part of the group's address before the `@`, with
        `github` ORGANISATION:TEAM, with `oidc` what the claim `oidc_groups_claim` lists.
        """,
    ).tag(config=True)

    admin_groups = List(
        Unicode(),
        help="""
        The groups whose members are administrators, named as in `allowed_groups`. Who leaves them is none any more from
        the next sign-in on.
        """,
    ).tag(config=True)

    admin_users = List(
        Unicode(),
        help="""
        The names of people who are administrators, besides the members of `admin_groups`. Not with `shared-password`,
        which has `admin_user`.
        """,
    ).tag(config=True)

    google_service_account_file = Unicode(
        help="""
        The key file of a Google service account that may read the organisation's groups, by domain-wide delegation of
        https://www.googleapis.com/auth/admin.directory.group.readonly. Needed for groups with `google`.
        """
    ).tag(config=True)

    google_workspace_admin = Unicode(
        help="""
        The administrator of Google Workspace, without `@` and domain, for whom that service account reads the groups.
        Needed for groups with `google`.
        """
    ).tag(config=True)

    github_url = Unicode(
        "https://github.com",
        help="""
        Where GitHub is: another address for GitHub Enterprise Server.
        """,
    ).tag(config=True)

    oidc_name = Unicode(
        "Single sign-on",
        help="""
        What the sign-in button says: "Sign in with ...".
        """,
    ).tag(config=True)

    oidc_issuer = Unicode(
        help="""
        The provider's name for itself, `issuer` in its /.well-known/openid-configuration. An ID token of another is
        refused.
        """
    ).tag(config=True)

    oidc_authorize_url = Unicode(
        help="""
        Where people sign in, `authorization_endpoint` in the provider's /.well-known/openid-configuration.
        """
    ).tag(config=True)

    oidc_token_url = Unicode(
        help="""
        Where the hub asks who signed in, `token_endpoint` in the provider's /.well-known/openid-configuration.

        It has to be https: that it is the provider who answers is what the ID token is trusted for.
        """
    ).tag(config=True)

    oidc_scopes = List(
        Unicode(),
        default_value=["openid", "email", "profile"],
        help="""
        What the provider is asked for. `openid` has to be among it; for groups many want one more.
        """,
    ).tag(config=True)

    oidc_username_claim = Unicode(
        "email",
        help="""
        The claim of the ID token that becomes a person's name in the hub.

        It has to stay the same, and be nobody else's: OpenID Connect promises that of `sub` alone. An e-mail address
        counts only when the provider says that it is verified.
        """,
    ).tag(config=True)

    oidc_groups_claim = Unicode(
        "groups",
        help="""
        The claim of the ID token that lists a person's groups. They become the hub's groups, for which budgets can be
        set.
        """,
    ).tag(config=True)

    # What comes from the environment is read here and nowhere else.

    @default("sign_in")
    def _sign_in_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_SIGN_IN") or "shared-password"

    @default("sign_in_client_id")
    def _sign_in_client_id_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_SIGN_IN_CLIENT_ID", "")

    @default("sign_in_client_secret")
    def _sign_in_client_secret_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_SIGN_IN_CLIENT_SECRET", "")

    @validate("allowed_users", "admin_users")
    def _names_that_can_be(self, proposal: _Proposal) -> list[str]:
        names = [str(name).lower() for name in proposal["value"]]
        for name in names:
            if not is_username(name):
                raise TraitError(
                    f"{name!r} is in AgentHub.allowed_users or admin_users, and nobody can be called that."
                )
        return names

    @validate("allowed_domains")
    def _domains_in_lower_case(self, proposal: _Proposal) -> list[str]:
        return [str(domain).lower().removeprefix("@") for domain in proposal["value"]]

    @property
    def by_provider(self) -> bool:
        """Whether somebody else says who people are."""
        return self.sign_in != "shared-password"

    def check_sign_in(self) -> None:
        """What involves more than one choice. Raises TraitError."""
        if not self.by_provider:
            return
        for name in ("sign_in_client_id", "sign_in_client_secret"):
            if not getattr(self, name):
                variable = f"JUPYTERHUB_AGENTS_{name.upper()}"
                raise TraitError(
                    f"AgentHub.sign_in is {self.sign_in!r}, and AgentHub.{name} is not set, nor is {variable}."
                )
        lists = {
            "google": ("allowed_domains", "allowed_users", "allowed_groups", "admin_groups", "admin_users"),
            "github": ("allowed_organizations", "allowed_users", "allowed_groups", "admin_groups", "admin_users"),
            "oidc": ("allowed_domains", "allowed_users", "allowed_groups", "admin_groups", "admin_users"),
        }[self.sign_in]
        if not any(getattr(self, name) for name in lists):
            raise TraitError(
                f"Nobody may sign in by {self.sign_in}: set one of {', '.join(f'AgentHub.{n}' for n in lists)}."
            )
        for name in {"allowed_domains", "allowed_organizations"} - set(lists):
            if getattr(self, name):
                raise TraitError(f"AgentHub.{name} is set, and sign_in is {self.sign_in!r}, which has none.")
        if self.sign_in == "google":
            self._check_google()
        if self.sign_in == "oidc":
            self._check_oidc()

    def _check_google(self) -> None:
        if "*" in self.allowed_domains:
            raise TraitError(
                "AgentHub.allowed_domains has '*': with google everybody on earth could sign in. Name domains."
            )
        if not (self.allowed_groups or self.admin_groups):
            return
        if not self.allowed_domains or not self.google_service_account_file or not self.google_workspace_admin:
            raise TraitError(
                "Google's groups need AgentHub.allowed_domains, google_service_account_file and google_workspace_admin:"
                " an organisation tells its groups only to an account that may read them."
            )

    def _check_oidc(self) -> None:
        for name in ("oidc_issuer", "oidc_authorize_url", "oidc_token_url"):
            address = urlsplit(getattr(self, name))
            if not address.hostname:
                raise TraitError(
                    f"AgentHub.{name} is {getattr(self, name)!r}: copy it from the provider's"
                    " /.well-known/openid-configuration."
                )
            if address.scheme != "https" and address.hostname not in ("127.0.0.1", "::1", "localhost"):
                raise TraitError(f"AgentHub.{name} is {getattr(self, name)!r}: it has to be https.")
        if "openid" not in self.oidc_scopes:
            raise TraitError("AgentHub.oidc_scopes has no 'openid', without which there is no ID token.")
