"""A provider of identities on loopback: OpenID Connect by Authlib, with a sign-in form, PKCE and signed ID tokens. It
also answers where Google's and GitHub's own addresses are, in their shapes.

    with identity_provider() as provider:
        provider.people["ana"] = {"email": "ana@example.org", "email_verified": True}
        provider.audience = "another-hub"        # what comes next has that ID token
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from flask import Flask, Response, jsonify, request
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT_ID = "the-hub"
CLIENT_SECRET = "provider-secret-5d1c0f7be24a"
FORM = '<form method="post">Who are you? <input name="who"> <button>Sign in</button></form>'


class Client(ClientMixin):
    """The hub, as the provider knows it."""

    def __init__(self, redirect_uris: list[str]) -> None:
        self._redirect_uris = redirect_uris

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self._redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_post"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):
    who: str
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str
    ends: float

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> None:
        return None

    def get_auth_time(self) -> None:
        return None

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Provider:
    """What is set here holds for the next sign-in."""

    url: str = ""
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is said of each: the claims, and for GitHub `organizations` and `teams`."""
    audience: str = CLIENT_ID
    issuer: str = ""
    code_lifetime_s: float = 60.0
    redirect_uris: list[str] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    id_tokens: list[str] = field(default_factory=list)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048))


def application(provider: Provider) -> Flask:
    app = Flask(__name__)

    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]  # publishes no types
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)

        def save_authorization_code(self, code: str, asked: Any) -> None:
            data = asked.payload.data
            provider.codes[code] = Code(
                asked.user, data["redirect_uri"], data.get("scope", ""), data["code_challenge"],
                data["code_challenge_method"], time.time() + provider.code_lifetime_s,
            )  # fmt: skip

        def query_authorization_code(self, code: str, _client: Client) -> Code | None:
            known = provider.codes.get(code)
            return known if known is not None and known.ends > time.time() else None

        def delete_authorization_code(self, known: Code) -> None:
            for text, value in list(provider.codes.items()):
                if value is known:
                    del provider.codes[text]

        def authenticate_user(self, known: Code) -> str:
            return known.who

    class IDToken(OpenIDCode):  # type: ignore[misc]  # publishes no types
        def exists_nonce(self, _nonce: str, _asked: Any) -> bool:
            return False

        def resolve_client_private_key(self, _client: Client) -> RSAKey:
            return provider.key

        def get_client_claims(self, _client: Client) -> dict[str, Any]:
            return {"iss": provider.issuer, "aud": provider.audience}

        def get_encode_header(self, _client: Client) -> dict[str, Any]:
            return {"alg": "RS256"}

        def get_client_algorithm(self, _client: Client) -> str:
            return "RS256"

        def generate_user_info(self, who: str, _scope: str) -> dict[str, Any]:
            return {"sub": f"person-{who}", **provider.people[who]}

        def encode_id_token(self, token: Any, asked: Any) -> str:
            text: str = super().encode_id_token(token, asked)
            provider.id_tokens.append(text)
            return text

    def save_token(token: dict[str, Any], asked: Any) -> None:
        provider.tokens[token["access_token"]] = asked.user

    server = AuthorizationServer(
        app,
        query_client=lambda name: Client(provider.redirect_uris) if name == CLIENT_ID else None,
        save_token=save_token,
    )
    server.register_grant(Grant, [IDToken(), CodeChallenge(required=True)])

    def authorize() -> Any:
        who = request.form.get("who")
        if who not in provider.people:
            server.get_consent_grant(end_user=None)
            return FORM
        return server.create_authorization_response(grant_user=who, grant=server.get_consent_grant(end_user=who))

    def token() -> Any:
        return server.create_token_response()

    for path in ("/authorize", "/o/oauth2/v2/auth", "/login/oauth/authorize"):
        app.add_url_rule(path, path, authorize, methods=["GET", "POST"])
    for path in ("/token", "/oauth2/v4/token", "/login/oauth/access_token"):
        app.add_url_rule(path, path, token, methods=["POST"])

    def caller() -> str:
        return provider.tokens[request.headers["Authorization"].split()[1]]

    @app.get("/oauth2/v1/userinfo")
    def google_userinfo() -> Any:
        claims = provider.people[caller()]
        return jsonify({"id": caller(), "verified_email": claims["email_verified"], **claims})

    @app.get("/api/v3/user")
    def github_user() -> Any:
        return jsonify({"login": provider.people[caller()].get("login", caller()), "email": "somebody@example.org"})

    @app.get("/api/v3/user/teams")
    def github_user_teams() -> Any:
        teams = [text.split(":") for text in provider.people[caller()].get("teams", ())]
        return jsonify([{"slug": team, "organization": {"login": name}} for name, team in teams])

    @app.get("/api/v3/orgs/<name>/members/<login>")
    def github_member(name: str, login: str) -> Response:
        known = provider.people.get(login, {})
        return Response(status=204 if name in known.get("organizations", ()) else 404)

    return app


@contextmanager
def identity_provider() -> Iterator[Provider]:
    provider = Provider()
    server = make_server("127.0.0.1", 0, application(provider), threaded=True)
    provider.url = provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="identity provider")
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
        assert not thread.is_alive()
