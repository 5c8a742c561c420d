"""Two replicas of the service, with no disk in common: Firestore is all that they share, and the secret of the keys."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
import pytest

from hub_config.ports import free_ports
from tests.hub.people import Person, RunningHub, eventually
from tests.service.conftest import ORGANISATION_KEY, hub_with_service, server_token, service_process, service_url
from tests.service.wire import Answer, RawUpstream
from tests.store.firestore_emulator import Emulator

CACHE_S = 2
SOON_S = 30.0
LIMIT = Decimal("0.10")
ASKED, USED = 1000, 900
BODY = b'{"model":"claude-haiku-4-5","max_tokens":%d,"messages":[]}' % ASKED
ANSWER = Answer(body=b'{"id":"m","usage":{"input_tokens":0,"output_tokens":%d}}' % USED)
COST = Decimal(USED) * 5 / 1_000_000
STOP_S = 20


@pytest.fixture(scope="module")
def arguments(emulator: Emulator) -> list[str]:
    return [
        f"--Keeping.firestore_project={emulator.new_project()}", f"--AgentsService.run_key_secret={'5e' * 32}",
        f"--AgentsService.identity_cache_s={CACHE_S}", "--Budgets.lease_usd=0.02", "--Budgets.lease_s=6",
        "--Budgets.default_budgets={'person': {'month': 50}}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def hub(
    tmp_path_factory: pytest.TempPathFactory, upstream: RawUpstream, emulator: Emulator, arguments: list[str]
) -> Iterator[RunningHub]:
    environment = {
        "ANTHROPIC_API_KEY": ORGANISATION_KEY, "ANTHROPIC_BASE_URL": upstream.url,
        "FIRESTORE_EMULATOR_HOST": emulator.address,
    }  # fmt: skip
    more = 'c.AgentHub.environment_keep = ["FIRESTORE_EMULATOR_HOST"]'
    with hub_with_service(tmp_path_factory.mktemp("hub"), *arguments, environment=environment, more=more) as running:
        yield running


@pytest.fixture(scope="module")
def first(hub: RunningHub) -> Iterator[httpx.Client]:
    """The replica that the hub started."""
    with httpx.Client(base_url=service_url(hub), trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def second_process(
    hub: RunningHub, arguments: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """One more of it, as another pod would be, with a folder of its own; and its address."""
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("second")
    environment = service_process(hub).environ() | {
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}", "JUPYTERHUB_AGENTS_SERVICE_STATE": str(folder),
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterhub_agents.service.app", *arguments]
    with (folder / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            yield process, f"http://127.0.0.1:{port}/services/agents/"
        finally:
            process.terminate()
            process.wait(STOP_S)


@pytest.fixture(scope="module")
def second(second_process: tuple[subprocess.Popen[bytes], str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=second_process[1], trust_env=False, timeout=60) as client:

        def answers() -> bool:
            try:
                return client.get("health").status_code == 200
            except httpx.TransportError:
                return False

        eventually(answers, within=60, what="the second replica answers")
        yield client


@pytest.fixture(autouse=True)
def upstream_says_yes(upstream: RawUpstream) -> None:
    upstream.answer = lambda _: ANSWER


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def call(replica: httpx.Client, token: str) -> httpx.Response:
    return replica.post("anthropic/v1/messages", content=BODY, headers=bearer(token))


def holds_something(emulator: Emulator, arguments: list[str], name: str) -> bool:
    """Whether something of the person's budget is leased, as the documents have it."""
    project = arguments[0].partition("=")[2]
    url = f"http://{emulator.address}/v1/projects/{project}/databases/(default)/documents/ledger_accounts"
    # The emulator's name for an identity that IAM lets in.
    found = httpx.get(url, headers={"Authorization": "Bearer owner"}, trust_env=False).json().get("documents", [])
    shares = [
        share["mapValue"]["fields"]["held"]["integerValue"]
        for document in found
        if document["fields"]["name"]["stringValue"] == name
        for share in document["fields"]["shares"]["mapValue"].get("fields", {}).values()
    ]
    return any(map(int, shares))


def spent(replica: httpx.Client, person: Person) -> tuple[int, Decimal]:
    """Calls that were answered, and what they cost."""
    answer = replica.get("api/usage/me", headers=bearer(person.token))
    assert answer.status_code == 200, answer.text
    rows = answer.json()["rows"]
    return sum(row["calls"] - row["failed"] for row in rows), sum((Decimal(row["cost_usd"]) for row in rows), Decimal())


def test_a_run_key_has_its_budget_ready_before_the_first_call(
    hub: RunningHub, first: httpx.Client, emulator: Emulator, arguments: list[str]
) -> None:
    bea = hub.person("bea").spawn()
    made = first.post("api/run-keys", json={"expires_s": 600}, headers=bearer(server_token(hub, bea)))
    assert made.status_code == 201, made.text
    # Nobody has made a call of hers.
    eventually(lambda: holds_something(emulator, arguments, "bea"), within=SOON_S, what="the budget is leased")


def test_a_run_key_of_one_replica_opens_the_other_and_stops_with_its_server(
    hub: RunningHub, first: httpx.Client, second: httpx.Client
) -> None:
    bea = hub.person("bea").spawn()
    token = server_token(hub, bea)
    made = first.post("api/run-keys", json={"expires_s": 600, "run_id": "run-1"}, headers=bearer(token))
    key = made.json()["key"]
    assert call(second, key).status_code == 200
    assert call(first, key).status_code == 200
    bea.stop()
    for replica in (first, second):
        eventually(lambda one=replica: call(one, key).status_code == 401, within=SOON_S, what="the key is refused")


def test_a_revoked_token_stops_working_at_every_replica(
    hub: RunningHub, first: httpx.Client, second: httpx.Client
) -> None:
    dora = hub.person("dora")
    made = dora.api("POST", "users/dora/tokens", json={"note": "to be revoked"}).json()
    for replica in (first, second):
        assert call(replica, made["token"]).status_code == 200
    assert dora.api("DELETE", f"users/dora/tokens/{made['id']}").status_code == 204
    for replica in (first, second):
        eventually(lambda one=replica: call(one, made["token"]).status_code == 401, within=SOON_S, what="refused")


def test_two_hundred_calls_at_once_at_two_replicas_do_not_overspend_and_a_killed_one_loses_none(
    hub: RunningHub,
    first: httpx.Client,
    second: httpx.Client,
    second_process: tuple[subprocess.Popen[bytes], str],
) -> None:
    ada, admin = hub.person("ada"), hub.person("admin")
    limit = {"day_usd": str(LIMIT), "month_usd": None}
    first.put("api/budgets/person/ada", json=limit, headers=bearer(admin.token)).raise_for_status()
    shown = "api/budgets/person/ada"
    eventually(
        lambda: second.get(shown, headers=bearer(admin.token)).json()["periods"][0]["limit_usd"] == "0.10",
        within=SOON_S, what="the other replica knows of the budget",
    )  # fmt: skip
    token = ada.token
    with ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(call, (first, second)[number % 2], token) for number in range(200)]
        statuses = [answer.result(120).status_code for answer in answers]
    good = statuses.count(200)
    assert good * COST <= LIMIT
    assert good >= 10
    assert {*statuses} <= {200, 429, 503}
    for replica in (first, second):
        eventually(lambda one=replica: spent(one, ada) == (good, good * COST), within=SOON_S, what="all are on record")
    second_process[0].kill()
    # What it held returns, what it spent does not: the budget is used to its end, and no further.
    assert spent(first, ada) == (good, good * COST)

    def used_up() -> bool:
        answer = call(first, token)
        return answer.status_code == 429 and answer.json()["error"]["type"] == "billing_error"

    eventually(used_up, within=60, what="the budget is used up")
    calls, cost = spent(first, ada)
    assert LIMIT - Decimal(ASKED) * 5 / 1_000_000 - COST <= cost <= LIMIT
    assert cost == calls * COST
    kept = {path.name for path in (hub.state / "service").iterdir()}
    assert not any(name.startswith(("service.db", "agents.db", "run-key")) for name in kept), kept
