"""The store's API lets each person at their own things only, and takes nothing that is too much or not meant."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from jupyterhub_agents.errors import NotFound
from jupyterhub_agents.ids import new_id
from jupyterhub_agents.models import ShareAccess, ShareKind
from jupyterhub_agents.service.bodies import MAX_BODY
from jupyterhub_agents.service.store_api import store_app
from jupyterhub_agents.store import AgentStore
from jupyterhub_agents.store.remote import RemoteStore
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.samples import (
    OTHERS_GROUPS,
    make_approval,
    make_events,
    make_run,
    spec,
    transcript_key,
)

from .store_service import Service, authenticate, remote_store

pytestmark = pytest.mark.anyio

PATHS: dict[str, dict[str, Any]] = store_app(SQLiteStore.__new__(SQLiteStore), authenticate).openapi()["paths"]
OPERATIONS = [(method, path) for path, methods in PATHS.items() for method in methods]
OWNED = [operation for operation in OPERATIONS if "{owner}" in operation[1]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(service: Service) -> str:
    return service.url(new_id())


@pytest.fixture
async def ada(url: str) -> AsyncIterator[RemoteStore]:
    async with remote_store(url) as store:
        yield store


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, headers={"authorization": "Bearer token-of-ada"}) as client:
        yield client


@pytest.fixture(scope="module")
def refused(service: Service) -> Iterator[httpx.Client]:
    """For requests that store nothing: one client, and one store, for all of them."""
    headers = {"authorization": "Bearer token-of-ada"}
    with httpx.Client(base_url=service.url(new_id()), timeout=60, headers=headers) as client:
        yield client


def filled(path: str, owner: str) -> str:
    return re.sub(r"{[a-z_]+}", new_id(), path.replace("{owner}", owner))


def test_the_document_has_a_path_for_every_call() -> None:
    assert len(OPERATIONS) == len(AgentStore.__abstractmethods__ - {"open", "close"})
    assert len(OWNED) == len(OPERATIONS) - len({"check", "owners"})


@pytest.mark.parametrize(("method", "path"), OWNED)
def test_another_persons_things_are_refused_on_every_path(refused: httpx.Client, method: str, path: str) -> None:
    answer = refused.request(method, filled(path, "grace"), content=b"x" * 100)
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == "not_allowed"
    assert answer.json()["reason"] == "Forbidden"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Bearer token-of-run-ada"])
def test_no_token_a_wrong_one_and_a_runs_key_open_nothing(
    refused: httpx.Client, method: str, path: str, token: str
) -> None:
    answer = refused.request(method, filled(path, "ada"), headers={"authorization": token})
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == "not_allowed"


async def test_the_owner_in_a_body_must_be_the_one_in_the_path(ada: RemoteStore, http: httpx.Client) -> None:
    run = make_run("ada")
    await ada.create_run(run)
    theirs = run.model_copy(update={"owner": "grace"})
    approval = make_approval(theirs)
    agent = (await ada.create_agent("ada", "reviewer", spec())).model_copy(update={"owner": "grace", "revision": 2})
    for path, body in (
        ("runs", theirs.model_dump(mode="json")),
        ("approvals", approval.model_dump(mode="json")),
        ("imported-approvals", approval.model_dump(mode="json")),
        ("imported-revisions", {"agent": agent.model_dump(mode="json")}),
    ):
        answer = await asyncio.to_thread(http.post, f"store/ada/{path}", json=body)
        assert answer.status_code == 400, answer.text
        assert "owner is 'grace'" in answer.json()["message"]
    assert await ada.owners() == ["ada"]


async def test_who_is_no_admin_sees_only_themselves_among_the_owners(ada: RemoteStore, http: httpx.Client) -> None:
    for owner in ("ada", "grace"):
        await ada.create_run(make_run(owner))
    assert await ada.owners() == ["ada", "grace"]
    assert (await asyncio.to_thread(http.get, "store/owners")).json() == ["ada"]


def test_unknown_fields_and_parameters_are_refused(http: httpx.Client) -> None:
    for answer in (
        http.get("store/ada/runs?colour=red"),
        http.post("store/ada/agents", json={"id": "a", "spec": {"name": "A"}, "colour": "red"}),
        http.post("store/ada/agents", json={"id": "a", "spec": {"name": "A", "colour": "red"}}),
        http.get("store/ada/runs?limit=many"),
        http.post("store/ada/agents", content=b"{", headers={"content-type": "application/json"}),
        http.post("store/ada/agents", content=b"", headers={"content-type": "application/json"}),
        http.get("store/ada/runs?status=sleeping"),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == "invalid_input"
        assert len(answer.json()["message"]) < 500


def test_what_is_too_large_is_refused_also_when_it_is_packed(http: httpx.Client) -> None:
    large = b'{"id": "' + b"a" * MAX_BODY + b'"}'
    packed = gzip.compress(large, 1)
    assert len(packed) < 1_000_000
    for body, headers in ((packed, {"content-encoding": "gzip"}), (large, {})):
        answer = http.post("store/ada/agents", content=body, headers={"content-type": "application/json", **headers})
        assert answer.status_code == 413, answer.text
        assert answer.json()["code"] == "too_large"


def test_a_body_that_is_not_what_its_encoding_says_is_refused(http: httpx.Client) -> None:
    packed = gzip.compress(b'{"id": "a", "spec": {"name": "A"}}')
    for body, encoding in ((b"{}", "gzip"), (packed[:-3], "gzip"), (packed + b"x", "gzip"), (packed, "br")):
        headers = {"content-type": "application/json", "content-encoding": encoding}
        answer = http.post("store/ada/agents", content=body, headers=headers)
        assert answer.status_code == 400, answer.text
        assert "gzip" in answer.json()["message"]
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert http.post("store/ada/agents", content=packed, headers=headers).status_code == 201


async def test_50000_events_come_whole_and_packed(ada: RemoteStore, http: httpx.Client) -> None:
    run = make_run("ada")
    await ada.create_run(run)
    text = "the same words again and again " * 10
    for first in range(1, 50_001, 5_000):
        await ada.append_events("ada", run.id, make_events(run, first, first + 4_999, text=text))
    seen = 0
    while page := await ada.list_events("ada", run.id, after=seen, limit=1_000):
        assert [event.seq for event in page] == list(range(seen + 1, seen + 1_001))
        seen += len(page)
    assert seen == 50_000
    answer = await asyncio.to_thread(http.get, f"store/ada/runs/{run.id}/events?limit=1000")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.num_bytes_downloaded < len(answer.content) / 5
    last = json.loads(answer.content.split(b"\n")[-2])
    assert last == {"next": 1_000}


async def test_a_page_of_large_events_comes_whole(ada: RemoteStore) -> None:
    run = make_run("ada")
    await ada.create_run(run)
    for first in range(1, 41, 10):
        await ada.append_events("ada", run.id, make_events(run, first, first + 9, text="x\u2028" * 300_000))
    events = await ada.list_events("ada", run.id)
    assert [event.seq for event in events] == list(range(1, 41))
    assert all(event.payload["text"] == "x\u2028" * 300_000 for event in events)


async def test_a_long_transcript_comes_whole(ada: RemoteStore) -> None:
    entries = [{"n": n, "text": "x" * 2_000} for n in range(8_000)]
    for first in range(0, 8_000, 4_000):
        await ada.append_transcript("ada", transcript_key(), entries[first : first + 4_000])
    assert await ada.load_transcript("ada", transcript_key()) == entries


async def test_the_groups_that_count_are_those_that_the_hub_has_the_caller_in(url: str, ada: RemoteStore) -> None:
    async with remote_store(url) as grace, remote_store(url) as alan:
        await ada.create_agent("ada", "reviewer", spec())
        await ada.share_agent("ada", "reviewer", ShareKind.GROUP, OTHERS_GROUPS[0], ShareAccess.USE)
        # What a workspace says of its groups, right or wrong, changes nothing.
        assert [each.agent.id for each in (await grace.list_shared("grace", [])).items] == ["reviewer"]
        assert (await grace.get_shared_agent("grace", [], "ada", "reviewer")).agent.id == "reviewer"
        assert (await alan.list_shared("alan", OTHERS_GROUPS)).items == []
        with pytest.raises(NotFound):
            await alan.get_shared_agent("alan", OTHERS_GROUPS, "ada", "reviewer")


@pytest.mark.parametrize("path", ["shared?", "shared-agent?of=ada&id=reviewer&"])
def test_no_request_can_say_which_groups_its_caller_is_in(http: httpx.Client, path: str) -> None:
    answer = http.get(f"/store/ada/{path}groups={OTHERS_GROUPS[0]}")
    assert answer.status_code == 400, answer.text
    assert "groups" in answer.json()["message"]
