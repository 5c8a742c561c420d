"""firestore.indexes.json has the indexes that the queries need, and no other; firestore.rules keep every client out."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from google.cloud.firestore_v1.types import StructuredQuery

from jupyterhub_agents.models import AgentSpec, Decision, RunChanges, RunStatus, ShareAccess, ShareKind
from jupyterhub_agents.store.firestore import FirestoreStore, connect
from jupyterhub_agents.store.firestore.connection import disconnect
from jupyterhub_agents.testing.store_contract.samples import (
    make_approval,
    make_entries,
    make_events,
    make_run,
    transcript_key,
)

from .firestore_emulator import RULES, Emulator
from .firestore_traffic import Traffic

pytestmark = pytest.mark.anyio

OWNER = "ada"
INDEXES: dict[str, list[dict[str, Any]]] = json.loads(RULES.with_name("firestore.indexes.json").read_text())

Order = tuple[str, str]
"""A field, and ASCENDING or DESCENDING."""
Index = tuple[str, str, tuple[Order, ...]]
"""The collections' name, whether one of them is meant or all (COLLECTION_GROUP), and the fields in their order."""


@pytest.fixture
async def traffic(project: str) -> Traffic:
    """All that the store asks and writes."""
    traffic = Traffic()
    client = await connect(project, interceptors=traffic.interceptors)
    async with FirestoreStore(project, client=client) as store:
        await _ask_everything(store)
    await disconnect(client)
    return traffic


async def _ask_everything(store: FirestoreStore) -> None:
    for name in ("one", "two"):
        await store.create_agent(OWNER, name, AgentSpec(name=name))
    page = await store.list_agents(OWNER, limit=1)
    await store.list_agents(OWNER, limit=1, after=page.next)
    await store.list_agents(OWNER, deleted=True)
    await store.list_revisions(OWNER, "one")
    await store.list_revisions(OWNER, "one", before="2")

    for kind, name in ((ShareKind.PERSON, "grace"), (ShareKind.GROUP, "readers"), (ShareKind.GROUP, "team")):
        await store.share_agent(OWNER, "one", kind, name, ShareAccess.USE)
        await store.share_agent(OWNER, "two", kind, name, ShareAccess.USE)
    await store.unshare_agent(OWNER, "one", ShareKind.GROUP, "team")
    await store.list_shares(OWNER, "one")
    page = await store.list_shared("grace", ["readers", "team"], limit=1)
    await store.list_shared("grace", ["readers", "team"], limit=1, after=page.next)
    await store.get_shared_agent("grace", ["readers"], OWNER, "one", 1)
    await store.delete_agent(OWNER, "two", revision=1)

    runs = [make_run(OWNER, number) for number in range(2)]
    for run in runs:
        await store.create_run(run)
    await store.append_events(OWNER, runs[0].id, make_events(runs[0], 1, 2), RunChanges(status=RunStatus.RUNNING))
    await store.get_run(OWNER, runs[0].id)
    await store.list_events(OWNER, runs[0].id, after=1)
    cursor = (await store.list_runs(OWNER, limit=1)).next
    for agent, conversation, statuses, before in itertools.product(
        (None, "reviewer"), (None, runs[0].id), (None, list(RunStatus)[:1], list(RunStatus)), (None, cursor)
    ):
        await store.list_runs(OWNER, agent_id=agent, conversation_id=conversation, statuses=statuses, before=before)

    approvals = [make_approval(runs[0], number) for number in range(2)]
    for approval in approvals:
        await store.create_approval(approval)
    cursor = (await store.list_approvals(OWNER, limit=1)).next
    for run_id, waiting, before in itertools.product((None, runs[0].id), (None, True, False), (None, cursor)):
        await store.list_approvals(OWNER, run_id=run_id, waiting=waiting, before=before)
    await store.decide_approval(OWNER, approvals[0].id, Decision.ONCE, by=OWNER)
    await store.close_approvals(OWNER, runs[0].id)

    for key in (transcript_key(), transcript_key(subpath="subagents/one")):
        await store.append_transcript(OWNER, key, make_entries(1, 2))
        await store.load_transcript(OWNER, key)
    await store.list_transcripts(OWNER, transcript_key().project_key)
    await store.list_transcript_subpaths(OWNER, transcript_key().project_key, transcript_key().session_id)
    await store.list_transcript_keys(OWNER)
    await store.delete_transcript(OWNER, transcript_key())
    await store.check()
    await store.owners()
    await store.live_runs(10)
    await store.waiting_calls(10)
    await store.known_agents()
    await store.run_outcomes(runs[0].created_at, runs[1].created_at)


async def test_every_query_has_its_indexes_and_every_index_its_query(traffic: Traffic) -> None:
    used = set()
    for request in traffic.queries:
        used |= _composite_indexes_of(request.structured_query)
    assert used == set(_composites())


def _composite_indexes_of(query: StructuredQuery) -> set[Index]:
    """The composite indexes that serve the query, by Firestore's documentation ("Index types", "Index merging"): one
    whose fields are some of the query's equalities and then its order, or several that together have all equalities.
    Fails when there are none and the query needs them."""
    group = query.from_[0].collection_id
    scope = "COLLECTION_GROUP" if query.from_[0].all_descendants else "COLLECTION"
    equal, unequal = _filters(query.where)
    order = [
        (item.field.field_path, item.direction.name) for item in query.order_by if item.field.field_path != "__name__"
    ]
    assert unequal <= {field for field, _ in order}, query
    exempt = {item["fieldPath"] for item in INDEXES["fieldOverrides"] if item["collectionGroup"] == group}
    assert not exempt & (equal | {field for field, _ in order}), query
    if scope == "COLLECTION_GROUP":
        # Of single fields, only those are indexed over all collections that it is said of; all documents need none.
        assert bool(order) == bool(equal), query
    if not order or not equal:
        assert len(order) <= 1, "several orders need a composite index, which this test does not know"
        return set()
    found = set()
    for index in _composites():
        fields = list(index[2])
        prefix = {field for field, _ in fields[: -len(order)]}
        if index[:2] == (group, scope) and fields[-len(order) :] == order and prefix <= equal:
            found.add(index)
            equal = equal - prefix
    assert not equal, f"no index for {equal}, then {order}, of {group}"
    return found


def _filters(where: StructuredQuery.Filter) -> tuple[set[str], set[str]]:
    """The fields that must be equal to something, and those that must be less or more."""
    operator = StructuredQuery.FieldFilter.Operator
    filters = list(where.composite_filter.filters) or [where]
    equal, unequal = set(), set()
    for item in filters:
        if name := item.field_filter.field.field_path:
            is_equality = item.field_filter.op in (operator.EQUAL, operator.IN)
            (equal if is_equality else unequal).add(name)
    return equal, unequal


def _composites() -> list[Index]:
    return [
        (
            index["collectionGroup"],
            index["queryScope"],
            tuple((field["fieldPath"], field["order"]) for field in index["fields"]),
        )
        for index in INDEXES["indexes"]
    ]


async def test_a_field_is_indexed_when_a_query_asks_for_it_and_only_then(traffic: Traffic) -> None:
    """An index entry costs storage and time with every write. Without a word Firestore indexes every field."""
    asked = set()
    for request in traffic.queries:
        query = request.structured_query
        equal, unequal = _filters(query.where)
        names = equal | unequal | {item.field.field_path for item in query.order_by}
        asked |= {(query.from_[0].collection_id, name) for name in names - {"__name__"}}
    written = {(write.document.split("/")[-2], name) for write in traffic.sent for name in write.fields}
    # The ledger of the hub's service has a test of its own.
    overrides = [item for item in INDEXES["fieldOverrides"] if not item["collectionGroup"].startswith("ledger_")]
    exempt = {(item["collectionGroup"], item["fieldPath"]) for item in overrides}
    parts = {("parts", "text"), ("parts", "token")}  # Only long texts have parts.
    assert written - asked == exempt - parts
    assert all(item["indexes"] == [] for item in INDEXES["fieldOverrides"])


async def test_the_rules_let_no_client_read_or_write(project: str, emulator: Emulator) -> None:
    async with FirestoreStore(project) as store:
        await store.create_agent(OWNER, "one", AgentSpec(name="one"))
    url = f"http://{emulator.address}/v1/projects/{project}/databases/(default)/documents/owners/u:{OWNER}/agents"
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(url)).status_code == 403
        assert (await browser.get(f"{url}/one")).status_code == 403
        assert (await browser.post(url, json={"fields": {}})).status_code == 403
        assert (await browser.delete(f"{url}/one")).status_code == 403
        # The emulator's name for an identity that IAM lets in: the documents are there.
        seen = await browser.get(url, headers={"Authorization": "Bearer owner"})
        assert [document["name"].rpartition("/")[2] for document in seen.json()["documents"]] == ["one"]
