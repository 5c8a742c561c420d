"""People sign in to the pages through the hub: OAuth's code flow with PKCE, nothing kept here but two cookies.

Workspaces share the pages' origin, so a script there could ask for a page as its reader. It gets nothing: a page is
given only to a browser that goes to it as a page (Fetch Metadata), everything else takes the page's own XSRF token, and
no page may be framed, or reached by the window that opened it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import jwt
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from ...errors import NotAllowed, NotSignedIn
from ..hub import HubAPI
from ..identity import Identities, Person

TOKEN_COOKIE = "agents-token"  # noqa: S105 - a name
STATE_COOKIE = "agents-sign-in-"
STATE_AUDIENCE = "agents-pages-sign-in"
ASKED_COOKIE = "agents-asked"
"""Says that this sign-in asked for more, whatever the hub gave: so that it is not asked for again and again."""
MORE = "access:servers"
"""What an administrator's page asks for besides: to cancel a run in somebody's workspace. The hub gives as much of it
as the person has themselves (its documentation, "Scopes", and `oauth_client_allowed_scopes` of services)."""
STATE_S = 600
"""Seconds that somebody may take to sign in; as long as JupyterHub's own services give."""
XSRF_HEADER = "x-xsrftoken"
"""The header that Jupyter's own pages use."""


class MustSignIn(NotSignedIn):
    """Nobody is signed in, or not any more. A browser is sent to the hub."""


class MustAskForMore(MustSignIn):
    """An administrator signed in to a page that takes no more than who they are."""


@dataclass(frozen=True)
class Reader:
    """Who reads a page, the token that their page's own requests carry, and the hub's token that they signed in
    with."""

    person: Person
    xsrf: str
    token: str = field(repr=False)


def navigates(request: Request) -> bool:
    """Whether a browser goes to this address as to a page. One that says nothing (over plain HTTP they do not) may."""
    return (
        request.method == "GET"
        and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
        and request.headers.get("sec-fetch-dest", "document") == "document"
    )


class SignIn:
    """`authorize_url` is where the hub asks who somebody is; `prefix` the path that all pages are under."""

    def __init__(
        self, *, authorize_url: str, client_id: str, redirect_uri: str, prefix: str, secret: bytes, service: str
    ) -> None:
        self._authorize_url = authorize_url
        self._client_id = client_id
        self._redirect_uri = redirect_uri
        self._prefix = prefix
        self._service = service
        # Of the service's one secret, a key of its own for each use.
        self._state_key = hmac.digest(secret, b"pages sign-in", "sha256")
        self._xsrf_key = hmac.digest(secret, b"pages xsrf", "sha256")

    async def reader(self, request: Request, identities: Identities) -> Reader:
        """Who asks. Raises MustSignIn, NotAllowed, HubUnavailable."""
        token = request.cookies.get(TOKEN_COOKIE)
        if not token:
            raise MustSignIn("You are not signed in. Open the page again to sign in.")
        xsrf = hmac.new(self._xsrf_key, token.encode(), hashlib.sha256).hexdigest()
        sent = request.headers.get(XSRF_HEADER, "")
        if not navigates(request) and not hmac.compare_digest(sent.encode(), xsrf.encode()):
            raise NotAllowed("This did not come from a page of yours. Open the page again.")
        try:
            person = await identities.of_token(token)
        except NotSignedIn as error:
            raise MustSignIn("You are not signed in any more. Open the page again to sign in.") from error
        if person.kind != "user":
            raise NotAllowed("A workspace's token opens no pages.")
        return Reader(person, xsrf, token)

    def check_asked(self, request: Request, reader: Reader) -> None:
        """Raises MustAskForMore when a browser comes to the page of administrators with a token for no more than who
        they are."""
        if navigates(request) and MORE not in reader.person.scopes and not request.cookies.get(ASKED_COOKIE):
            raise MustAskForMore("You are signed in for less than this page can do. Open it again.")

    def begin(self, request: Request, *, more: bool = False, address: str | None = None) -> Response:
        """Send the browser to the hub, to come back to this address. `more`: with the right to act in workspaces, as
        far as the person has it."""
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
        address = address or request.url.path + (f"?{request.url.query}" if request.url.query else "")
        said = {"state": state, "verifier": verifier, "next": address, "more": more}
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": self._client_id, "redirect_uri": self._redirect_uri, "response_type": "code", "state": state,
            "code_challenge": challenge, "code_challenge_method": "S256",
            "scope": " ".join([f"access:services!service={self._service}", *([MORE] if more else [])]),
        }  # fmt: skip
        answer = RedirectResponse(f"{self._authorize_url}?{urlencode(query)}", 302)
        cookie = jwt.encode(said | {"aud": STATE_AUDIENCE}, self._state_key, "HS256")
        self._set(request, answer, STATE_COOKIE + state[:8], cookie, STATE_S)
        return answer

    async def finish(self, request: Request, hub: HubAPI) -> Response:
        """The browser comes back from the hub. Raises NotAllowed, HubUnavailable."""
        state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
        name = STATE_COOKIE + state[:8]
        try:
            said = jwt.decode(request.cookies.get(name, ""), self._state_key, ["HS256"], audience=STATE_AUDIENCE)
        except jwt.InvalidTokenError:
            said = {}
        known = bool(said) and hmac.compare_digest(str(said["state"]).encode(), state.encode())
        if known and said["more"] and request.query_params.get("error") == "invalid_scope":
            # The site has not let the service ask for it (`oauth_client_allowed_scopes`): then without.
            answer = self.begin(request, address=str(said["next"]))
            self._set(request, answer, ASKED_COOKIE, "1", None)
            return answer
        if not code or not known:
            raise NotAllowed("This sign-in was not begun here, or took too long. Open the page again.")
        token = await hub.token_for_code(
            code, client_id=self._client_id, redirect_uri=self._redirect_uri, verifier=str(said["verifier"])
        )
        if token is None:
            raise NotAllowed("JupyterHub did not accept this sign-in. Open the page again.")
        answer = RedirectResponse(self._within(str(said["next"])), 302)
        answer.delete_cookie(name, path=self._prefix)
        self._set(request, answer, TOKEN_COOKIE, token, None)
        if said["more"]:
            self._set(request, answer, ASKED_COOKIE, "1", None)
        return answer

    def _within(self, address: str) -> str:
        """`address` when it is one of the pages', else the first page."""
        parts = urlsplit(address)
        ours = not parts.scheme and not parts.netloc and parts.path.startswith(self._prefix)
        return address if ours else self._prefix

    def _set(self, request: Request, answer: Response, name: str, value: str, seconds: int | None) -> None:
        protocol = request.headers.get("x-forwarded-proto", request.url.scheme).partition(",")[0].strip()
        answer.set_cookie(
            name, value, max_age=seconds, path=self._prefix, httponly=True, samesite="lax", secure=protocol == "https"
        )
