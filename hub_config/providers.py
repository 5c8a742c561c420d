"""The authenticators of people whom somebody else knows: OAuthenticator's, with words for the person when something
goes wrong, and an ID token that is looked at whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import jwt
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.github import GitHubOAuthenticator
from oauthenticator.google import GoogleOAuthenticator
from oauthenticator.oauth2 import OAuthenticator
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets import List, Unicode

LEEWAY_S = 60
"""How far the provider's clock may be from the hub's."""

AGAIN = "Sign in once more; when this comes again, tell the hub's administrators."


class SaysWhy(OAuthenticator):
    """Says what went wrong between hub and provider without what the provider sent, which may hold tokens."""

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> Any:
        """What the provider gives for the code. Raises HTTPError: 403 for a code that it does not take, 502 for what is
        wrong between hub and provider."""
        try:
            return await super().get_token_info(handler, params)  # type: ignore[no-untyped-call]  # publishes no types
        except HTTPClientError as error:
            if _error_of(error) == "invalid_grant":  # RFC 6749, section 5.2
                raise HTTPError(403, f"This sign-in took too long, or was used before. {AGAIN}") from error
            raise HTTPError(502, f"The provider does not answer the hub as it should. {AGAIN}") from error
        except OSError as error:
            raise HTTPError(502, f"The hub does not reach the provider. {AGAIN}") from error


class GoogleSignIn(SaysWhy, GoogleOAuthenticator):  # type: ignore[misc]  # as its base has it
    """Google, for the organisations of `hosted_domain`."""


class GitHubSignIn(SaysWhy, GitHubOAuthenticator):
    """GitHub, for members of organisations and teams."""


class OIDCSignIn(SaysWhy, GenericOAuthenticator):
    """OpenID Connect: who people are is in the ID token, which comes straight from the provider."""

    issuer = Unicode(help="The provider's name for itself; an ID token of another is refused.").tag(config=True)
    allowed_domains = List(Unicode(), help="The domains of e-mail addresses that come in; `*` is all.").tag(config=True)

    async def token_to_user(self, token_info: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of the ID token, checked as OpenID Connect Core 1.0, section 3.1.3.7, asks. Its signature is not:
        TLS with the token endpoint stands for it (step 6). Raises HTTPError 403."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token_info.get("id_token") or "",
                audience=self.client_id,
                issuer=self.issuer,
                leeway=LEEWAY_S,
                options={
                    "verify_signature": False, "verify_aud": True, "verify_iss": True, "verify_exp": True,
                    "verify_iat": True, "require": ["iss", "sub", "aud", "exp", "iat"],
                },
            )  # fmt: skip
        except jwt.InvalidTokenError as error:
            self.log.warning("An ID token was refused: %s", error)
            raise HTTPError(403, f"The provider's word on who you are is not meant for this hub. {AGAIN}") from error
        if claims.get("azp", self.client_id) != self.client_id:  # step 5
            self.log.warning("An ID token was refused: its azp is %r", claims["azp"])
            raise HTTPError(403, f"The provider's word on who you are is not meant for this hub. {AGAIN}")
        if (self._has_domains or self.username_claim == "email") and claims.get("email_verified") is not True:
            raise HTTPError(
                403, "The provider has not verified your e-mail address. Have that done, and sign in again."
            )
        return claims

    @property
    def _has_domains(self) -> bool:
        return bool(self.allowed_domains) and "*" not in self.allowed_domains

    def check_blocked_users(self, username: str, authentication: Mapping[str, Any] | None = None) -> bool:
        """Whether this person is of an allowed domain, and not blocked by name."""
        if authentication is not None and self._has_domains:
            address = str(authentication["auth_state"][self.user_auth_state_key].get("email") or "")
            if address.rpartition("@")[2].lower() not in self.allowed_domains:
                self.log.warning("%s was not let in: of none of the allowed domains", username)
                return False
        return bool(super().check_blocked_users(username, authentication))  # type: ignore[no-untyped-call]  # no types


def github_teams(auth_state: Mapping[str, Any]) -> set[str]:
    """A person's teams, as ORGANISATION:TEAM in GitHub's own spelling for addresses ("List teams for the authenticated
    user", REST API)."""
    return {f"{team['organization']['login']}:{team['slug']}" for team in auth_state.get("teams") or ()}


def _error_of(error: HTTPClientError) -> str:
    """The provider's own word for what is wrong; empty without one."""
    with suppress(ValueError, AttributeError):
        return str(json.loads(error.response.body if error.response else "").get("error"))
    return ""
