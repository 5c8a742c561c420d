"""People sign in by somebody else who knows them: a real provider on loopback, real hubs, and a browser's requests."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from hub_config.ports import free_ports
from tests.hub.identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, identity_provider
from tests.hub.people import Person, RunningHub, running_hub

CONFIG = """
from hub_config import configure

c.AgentHub.sign_in = "{way}"
c.AgentHub.cull_timeout = 0
c.AgentHub.sign_in_callback_url = "{callback}"
{choices}
configure(c)
{addresses}
"""
CHOICES = {
    "oidc": """
c.AgentHub.oidc_issuer = "{url}"
c.AgentHub.oidc_authorize_url = "{url}/authorize"
c.AgentHub.oidc_token_url = "{url}/token"
c.AgentHub.allowed_domains = ["example.org"]
c.AgentHub.admin_groups = ["admins"]
""",
    "google": """c.AgentHub.allowed_domains = ["example.org"]""",
    "github": """
c.AgentHub.github_url = "{url}"
c.AgentHub.allowed_organizations = ["our-company"]
c.AgentHub.admin_groups = ["our-company:operators"]
""",
}
# Google has one address on earth.
ADDRESSES = {
    "google": """
c.GoogleOAuthenticator.authorize_url = "{url}/o/oauth2/v2/auth"
c.GoogleOAuthenticator.google_api_url = "{url}"
"""
}

Start = Callable[[str], tuple[RunningHub, Provider]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the hub for a way of signing in, once, and gives it with a provider as it was at the start."""
    with identity_provider() as provider, contextlib.ExitStack() as stack:
        hubs: dict[str, RunningHub] = {}

        def started(way: str) -> tuple[RunningHub, Provider]:
            if way not in hubs:
                folder = tmp_path_factory.mktemp(way)
                [port] = free_ports(1)
                callback = f"http://127.0.0.1:{port}/hub/oauth_callback"
                config = folder / "jupyterhub_config.py"
                config.write_text(
                    CONFIG.format(
                        way=way, callback=callback, choices=CHOICES[way].format(url=provider.url),
                        addresses=ADDRESSES.get(way, "").format(url=provider.url),
                    )
                )  # fmt: skip
                environment = {
                    "JUPYTERHUB_AGENTS_SIGN_IN_CLIENT_ID": CLIENT_ID,
                    "JUPYTERHUB_AGENTS_SIGN_IN_CLIENT_SECRET": CLIENT_SECRET,
                }
                hub = running_hub(folder / "state", port=port, config=config, environment=environment)
                hubs[way] = stack.enter_context(hub)
                provider.redirect_uris.append(callback)
            provider.people.clear()
            provider.audience, provider.issuer, provider.code_lifetime_s = CLIENT_ID, provider.url, 60.0
            return hubs[way], provider

        yield started


@pytest.fixture
def oidc(start: Start) -> tuple[RunningHub, Provider]:
    return start("oidc")


def claims(who: str, domain: str = "example.org", **more: object) -> dict[str, object]:
    return {"email": f"{who}@{domain}", "email_verified": True, **more}


def to_the_provider(browser: httpx.Client) -> httpx.URL:
    """Press the hub's button; where the provider's form is."""
    page = browser.get("/hub/oauth_login?next=/hub/home")
    assert page.status_code == 200 and "Who are you?" in page.text, page.text
    return page.url


def at_the_provider(browser: httpx.Client, who: str) -> str:
    """Press the hub's button and fill in the provider's form. Where the provider then sends the browser."""
    answer = browser.post(to_the_provider(browser), data={"who": who}, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def sign_in(person: Person, who: str | None = None) -> httpx.Response:
    """Sign in all the way. The answer is the last page."""
    return person.browser.get(at_the_provider(person.browser, who or person.name))


def is_signed_in(person: Person) -> bool:
    return person.browser.get("/hub/home").url.path == "/hub/home"


def of_hub(person: Person) -> dict[str, object]:
    """What the hub knows of a person who is signed in, by the token page's way."""
    return dict(person.api("GET", "user").json())


def changed(address: str, **parameters: str) -> str:
    """An address with other parameters."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | parameters
    return urlunsplit(parts._replace(query=urlencode(query)))


def log_of(hub: RunningHub) -> str:
    return (hub.state / "hub.log").read_text()


def test_a_person_of_the_domain_signs_in_and_has_their_groups(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    provider.people["ana"] = claims("ana", groups=["research", "data"])
    with Person(hub, "ana@example.org") as ana:
        assert sign_in(ana, "ana").url.path == "/hub/home"
        known = of_hub(ana)
        assert known["name"] == "ana@example.org"
        assert sorted(known["groups"]) == ["data", "research"]  # type: ignore[call-overload]  # a list of names
        assert known["admin"] is False
    assert "by Single sign-on" in hub.said
    # Neither the hub's log nor its page has what the provider sent.
    assert provider.id_tokens
    assert not any(text in log_of(hub) for text in [*provider.id_tokens, *provider.tokens, CLIENT_SECRET])


def test_a_member_of_the_administrators_group_is_one_until_they_leave_it(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    provider.people["olga"] = claims("olga", groups=["admins"])
    with Person(hub, "olga@example.org") as olga:
        sign_in(olga, "olga")
        assert of_hub(olga)["admin"] is True
    provider.people["olga"] = claims("olga", groups=["research"])
    with Person(hub, "olga@example.org") as olga:
        sign_in(olga, "olga")
        assert of_hub(olga)["admin"] is False


def test_somebody_called_like_the_admin_of_a_password_hub_is_none(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    provider.people["admin"] = claims("admin")
    with Person(hub, "admin@example.org") as person:
        sign_in(person, "admin")
        assert of_hub(person)["admin"] is False


def test_a_person_outside_the_domain_is_not_let_in(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    for who, domain in (("eve", "example.com"), ("mallory", "example.org.evil.test"), ("trudy", "notexample.org")):
        provider.people[who] = claims(who, domain)
        with Person(hub, f"{who}@{domain}") as person:
            answer = sign_in(person, who)
            assert answer.status_code == 403 and "not currently authorized" in answer.text
            assert not is_signed_in(person)


def test_an_address_that_nobody_verified_lets_nobody_in(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    for word in (False, "true", None):
        provider.people["eve"] = claims("eve", email_verified=word)
        with Person(hub, "eve@example.org") as eve:
            answer = sign_in(eve, "eve")
            assert answer.status_code == 403 and "has not verified your e-mail address" in answer.text
            assert not is_signed_in(eve)


def test_a_wrong_state_is_refused(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    provider.people["ana"] = claims("ana")
    wrong = base64.urlsafe_b64encode(json.dumps({"state_id": "0" * 32}).encode()).decode()
    with Person(hub, "ana@example.org") as ana:
        answer = ana.browser.get(changed(at_the_provider(ana.browser, "ana"), state=wrong))
        assert answer.status_code == 400 and "state mismatch" in answer.text
        assert not is_signed_in(ana)


def test_a_sign_in_that_somebody_else_began_is_refused(oidc: tuple[RunningHub, Provider]) -> None:
    """Else a person could be made to work, unawares, in another's name."""
    hub, provider = oidc
    provider.people |= {"ana": claims("ana"), "eve": claims("eve")}
    with Person(hub, "ana@example.org") as ana, Person(hub, "eve@example.org") as eve:
        of_eve = at_the_provider(eve.browser, "eve")
        assert ana.browser.get(of_eve).status_code == 400  # she has begun none
        at_the_provider(ana.browser, "ana")
        assert ana.browser.get(of_eve).status_code == 400  # she has begun another
        assert not is_signed_in(ana)


def test_a_stolen_code_is_of_no_use_without_its_verifier(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    provider.people |= {"ana": claims("ana"), "eve": claims("eve")}
    with Person(hub, "ana@example.org") as ana, Person(hub, "eve@example.org") as eve:
        [stolen] = parse_qs(urlsplit(at_the_provider(ana.browser, "ana")).query)["code"]
        answer = eve.browser.get(changed(at_the_provider(eve.browser, "eve"), code=stolen))
        assert answer.status_code == 403 and "took too long, or was used before" in answer.text
        assert not is_signed_in(eve)


def test_an_expired_code_is_refused_with_what_to_do(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    provider.people["ana"] = claims("ana")
    provider.code_lifetime_s = -1.0
    with Person(hub, "ana@example.org") as ana:
        answer = sign_in(ana, "ana")
        assert answer.status_code == 403 and "took too long" in answer.text and "Sign in once more" in answer.text
        assert not is_signed_in(ana)
        provider.code_lifetime_s = 60.0
        sign_in(ana, "ana")
        assert is_signed_in(ana)


def test_the_address_that_ends_a_sign_in_works_once(oidc: tuple[RunningHub, Provider]) -> None:
    hub, provider = oidc
    provider.people["ana"] = claims("ana")
    with Person(hub, "ana@example.org") as ana:
        address = at_the_provider(ana.browser, "ana")
        assert ana.browser.get(address).status_code == 200
        assert ana.browser.get(address).status_code == 400


@pytest.mark.parametrize("wrong", [{"audience": "another-hub"}, {"issuer": "https://accounts.evil.test"}], ids=str)
def test_an_id_token_for_or_by_somebody_else_is_refused(
    oidc: tuple[RunningHub, Provider], wrong: dict[str, str]
) -> None:
    hub, provider = oidc
    provider.people["ana"] = claims("ana")
    for name, value in wrong.items():
        setattr(provider, name, value)
    with Person(hub, "ana@example.org") as ana:
        answer = sign_in(ana, "ana")
        assert answer.status_code == 403 and "not meant for this hub" in answer.text
        assert not is_signed_in(ana)
        # OAuthenticator's own check would show and log the token.
        assert provider.id_tokens[-1] not in answer.text + log_of(hub)


def test_a_person_of_googles_organisation_signs_in_without_its_domain(start: Start) -> None:
    hub, provider = start("google")
    provider.people["ana"] = claims("ana", hd="example.org")
    with Person(hub, "ana") as ana:
        sign_in(ana)
        assert of_hub(ana)["name"] == "ana"


def test_an_address_of_the_domain_without_the_organisations_account_is_not_let_in(start: Start) -> None:
    """Anybody can have a Google account of their own for an address of a company's."""
    hub, provider = start("google")
    provider.people |= {"eve": claims("eve"), "mallory": claims("mallory", "example.com", hd="example.com")}
    for who in ("eve", "mallory"):
        with Person(hub, who) as person:
            assert sign_in(person).status_code == 403
            assert not is_signed_in(person)


def test_a_late_code_of_google_is_refused_with_what_to_do(start: Start) -> None:
    hub, provider = start("google")
    provider.people["ana"] = claims("ana", hd="example.org")
    provider.code_lifetime_s = -1.0
    with Person(hub, "ana") as ana:
        answer = sign_in(ana)
        assert answer.status_code == 403 and "Sign in once more" in answer.text


def test_a_member_of_the_organisation_on_github_signs_in_and_a_teams_are_administrators(start: Start) -> None:
    hub, provider = start("github")
    provider.people |= {
        "ana": {"organizations": ["our-company"]},
        "olga": {"organizations": ["our-company"], "teams": ["our-company:operators", "their-company:operators"]},
        "eve": {"organizations": ["their-company"], "teams": ["their-company:operators"]},
    }
    with Person(hub, "ana") as ana, Person(hub, "olga") as olga, Person(hub, "eve") as eve:
        sign_in(ana)
        assert of_hub(ana)["admin"] is False
        sign_in(olga)
        assert of_hub(olga)["admin"] is True
        assert sorted(of_hub(olga)["groups"]) == ["our-company:operators", "their-company:operators"]  # type: ignore[call-overload]  # a list of names
        assert sign_in(eve).status_code == 403
        assert not is_signed_in(eve)


def test_the_client_secret_is_in_no_file_of_the_hub(start: Start) -> None:
    hub, _ = start("oidc")
    found = [
        path for path in Path(hub.state).rglob("*") if path.is_file() and CLIENT_SECRET.encode() in path.read_bytes()
    ]
    assert found == []
