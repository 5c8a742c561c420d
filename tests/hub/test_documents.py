"""Both OpenAPI documents, walked: nobody gets at another's things, and no request makes a server fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate

from tests.hub.people import Person, RunningHub

EXAMPLES = 15
"""Requests made up for each operation."""
OWNER = "olympia"
OPEN = ("/health", "/health/ready")
"""What needs no token, and is nobody's."""
PREFIX = "/services/agents"


@pytest.fixture(scope="module")
def owner(hub: RunningHub) -> Person:
    """Somebody who has what others would like to see."""
    person = hub.person(OWNER).spawn()
    spec = {"id": "secretive", "name": "secretive", "instructions": "Nobody may know."}
    assert person.workspace.post("api/agents", json=spec).status_code in (201, 409)
    return person


@pytest.fixture(scope="module")
def run_id(owner: Person) -> str:
    answer = owner.workspace.post("api/agents/secretive/runs", json={"prompt": "secretive"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="module")
def service_document(hub: RunningHub) -> dict[str, Any]:
    document = httpx.get(f"{hub.url}{PREFIX}/openapi.json", trust_env=False).json()
    validate(document)
    return dict(document)


@pytest.fixture(scope="module")
def workspace_document(owner: Person) -> dict[str, Any]:
    return dict(owner.workspace.get("api/agents-openapi.json").json())


@pytest.fixture(scope="module")
def strangers(hub: RunningHub, owner: Person) -> dict[str, dict[str, str]]:
    """The headers of those who may not."""
    tokens = {
        "another person": hub.person("stranger").token,
        "a token that may only say whose it is": owner.new_token(scopes=["read:users:name!user"]),
        "a token for another service": owner.new_token(scopes=["read:users!user", "read:servers!user"]),
        "a made-up token": "0" * 32,
    }
    return {who: {"Authorization": f"Bearer {token}"} for who, token in tokens.items()} | {"nobody": {}}


def operations(document: dict[str, Any], run_id: str) -> Iterator[tuple[str, str]]:
    """Each method and path, with the owner's things filled in."""
    for path, found in document["paths"].items():
        thing = run_id if "/runs/" in path else "secretive"
        filled = path.replace("{id}", thing).replace("{number}", "1").replace("{kind}", "person")
        # What else a path is made of is a name, or stands for something of the owner's.
        filled = re.sub(r"\{(?!user|name)\w+\}", thing, re.sub(r"\{(user|name|person|owner)\}", OWNER, filled))
        assert "{" not in filled, f"{path}: say here what stands for its part"
        for method in sorted(found.keys() - {"parameters"}):
            yield method, filled


def test_no_operation_of_either_document_gives_another_persons_things(
    hub: RunningHub,
    owner: Person,
    run_id: str,
    service_document: dict[str, Any],
    workspace_document: dict[str, Any],
    strangers: dict[str, dict[str, str]],
) -> None:
    below = list(operations(workspace_document, run_id))
    walked = [
        *operations(service_document, run_id),
        *((method, f"/user/{OWNER}{path}") for method, path in below),
        *((method, f"{PREFIX}/workspace/{OWNER}{path}") for method, path in below),
    ]
    assert len(walked) > 40
    with httpx.Client(base_url=hub.url, trust_env=False, timeout=30) as http:
        for who, headers in strangers.items():
            for method, path in walked:
                answer = http.request(method, path, headers=headers, json={} if method != "get" else None)
                if 200 <= answer.status_code < 300 and path.removeprefix(PREFIX) not in OPEN:
                    # The stranger's own, or what everyone may know: with nothing of the owner's in it.
                    assert who == "another person" and OWNER not in path + answer.text, (who, method, path, answer.text)
                assert answer.status_code < 500, (who, method, path, answer.text)
                assert "Nobody may know" not in answer.text, (who, method, path)
    assert owner.workspace.get("api/agents/secretive").json()["revision"] == 1


def make_up_requests(document: dict[str, Any], base_url: str, token: str) -> None:
    """Requests of all kinds, right and wrong, to each operation: none makes the server fail."""
    schema = schemathesis.openapi.from_dict(document)
    failures: list[str] = []
    with httpx.Client(trust_env=False, timeout=60, headers={"Authorization": f"token {token}"}) as http:
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=EXAMPLES, deadline=None, database=None, phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck), derandomize=True,
            )  # fmt: skip
            @given(case=operation.as_strategy())
            def send(case: schemathesis.Case) -> None:
                sent = case.as_transport_kwargs(base_url=base_url)
                given_headers = {k: v for k, v in (sent.get("headers") or {}).items() if k.lower() != "authorization"}
                body = {name: sent[name] for name in ("json", "data") if sent.get(name) is not None}
                if "data" in body:
                    body["content"] = body.pop("data")
                answer = http.request(
                    sent["method"], sent["url"], params=sent.get("params"), headers=given_headers, **body
                )
                if answer.status_code >= 500:
                    failures.append(f"{sent['method']} {answer.url} {body}: {answer.status_code} {answer.text[:200]}")

            send()
    assert not failures, "\n".join(failures[:20])


@pytest.mark.timeout(900)
def test_no_made_up_request_makes_the_service_fail(hub: RunningHub, service_document: dict[str, Any]) -> None:
    make_up_requests(service_document, hub.url, hub.person("admin").token)


@pytest.mark.timeout(900)
def test_no_made_up_request_makes_a_workspace_fail(owner: Person, workspace_document: dict[str, Any]) -> None:
    make_up_requests(workspace_document, owner.base_url, owner.token)


@pytest.mark.timeout(900)
def test_nor_does_one_that_comes_through_the_front_door(
    hub: RunningHub, owner: Person, workspace_document: dict[str, Any]
) -> None:
    make_up_requests(workspace_document, f"{hub.url}{PREFIX}/workspace/{OWNER}/", owner.token)
