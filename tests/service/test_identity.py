"""Whose tokens and keys open what, and that they stop."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub_config.ports import free_ports
from jupyterhub_agents.service.run_keys import PREFIX
from tests.hub.people import RunningHub, eventually
from tests.service.conftest import ORGANISATION_KEY, hub_with_service, server_token, service_process, service_url
from tests.service.wire import RawUpstream

CACHE_S = 2
SOON_S = 15.0
"""What is remembered for CACHE_S seconds has surely been forgotten by then, also on a busy machine."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, upstream: RawUpstream) -> Iterator[RunningHub]:
    """A hub whose service remembers for a moment only."""
    environment = {"ANTHROPIC_API_KEY": ORGANISATION_KEY, "ANTHROPIC_BASE_URL": upstream.url}
    folder = tmp_path_factory.mktemp("identity")
    argument = f"--AgentsService.identity_cache_s={CACHE_S}"
    with hub_with_service(folder, argument, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def service(hub: RunningHub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service_url(hub), trust_env=False, timeout=30) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def call(service: httpx.Client, token: str) -> httpx.Response:
    """A call to the models."""
    return service.post("anthropic/v1/messages", content=b'{"model":"m","max_tokens":1}', headers=bearer(token))


def key_for(service: httpx.Client, token: str, **wishes: Any) -> str:
    answer = service.post("api/run-keys", json={"expires_s": 600, **wishes}, headers=bearer(token))
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["key"])


def claims(key: str) -> dict[str, Any]:
    part = key.removeprefix(PREFIX).split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def test_a_revoked_token_stops_working(hub: RunningHub, service: httpx.Client) -> None:
    ada = hub.person("ada")
    made = ada.api("POST", "users/ada/tokens", json={"note": "to be revoked"}).json()
    assert call(service, made["token"]).status_code == 200
    assert ada.api("DELETE", f"users/ada/tokens/{made['id']}").status_code == 204
    eventually(lambda: call(service, made["token"]).status_code == 401, within=SOON_S, what="the token is refused")


def test_a_run_key_names_person_and_run_and_stops_with_its_server(hub: RunningHub, service: httpx.Client) -> None:
    bea = hub.person("bea").spawn()
    key = key_for(service, server_token(hub, bea), run_id="run-1", agent_id="walker", session_id="session-1")
    said = claims(key)
    assert (said["sub"], said["run"], said["agent"], said["session"]) == ("bea", "run-1", "walker", "session-1")
    assert 500 < said["exp"] - time.time() <= 601
    assert call(service, key).status_code == 200
    bea.stop()
    eventually(lambda: call(service, key).status_code == 401, within=SOON_S, what="the key is refused")
    assert "was stopped" in call(service, key).json()["error"]["message"]
    bea.spawn()  # the old key is none of the new server's
    fresh = key_for(service, server_token(hub, bea))
    assert call(service, fresh).status_code == 200
    assert call(service, key).status_code == 401


def test_a_deleted_persons_keys_stop_working(hub: RunningHub, service: httpx.Client) -> None:
    cleo = hub.person("cleo").spawn()
    token = server_token(hub, cleo)
    key = key_for(service, token)
    assert call(service, key).status_code == call(service, token).status_code == 200
    cleo.stop()
    assert hub.person("admin").api("DELETE", "users/cleo").status_code == 204
    for credential in (key, token):
        eventually(lambda c=credential: call(service, c).status_code == 401, within=SOON_S, what="it is refused")  # type: ignore[misc]  # a lambda with a default


def test_a_run_key_opens_the_gateway_and_nothing_else(hub: RunningHub, service: httpx.Client) -> None:
    ada = hub.person("ada").spawn()
    key = key_for(service, server_token(hub, ada))
    paths = service.get("openapi.json").json()["paths"]
    tried = 0
    for path, operations in paths.items():
        if "/health" in path:
            continue
        for method in operations:
            answer = service.request(
                method, service.base_url.copy_with(path=path), headers=bearer(key), json={"expires_s": 5}
            )
            assert answer.status_code == 403, (method, path)
            tried += 1
    assert tried >= 2
    with httpx.Client(trust_env=False) as stranger:
        assert stranger.get(f"{hub.url}/hub/api/user", headers=bearer(key)).status_code == 403
        assert stranger.get(f"{ada.base_url}api/agents", headers=bearer(key)).status_code == 403


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({}, "expires_s"),
        ({"expires_s": 0}, "expires_s"),
        ({"expires_s": 5, "person": "bob"}, "person"),
        ({"expires_s": 5, "run_id": ""}, "run_id"),
        ({"expires_s": "soon"}, "expires_s"),
    ],
)
def test_a_wish_for_a_key_that_makes_no_sense_is_refused_with_what_is_wrong(
    hub: RunningHub, service: httpx.Client, wish: dict[str, Any], words: str
) -> None:
    ada = hub.person("ada").spawn()
    answer = service.post("api/run-keys", json=wish, headers=bearer(server_token(hub, ada)))
    assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (400, "invalid_input", "Bad Request")
    assert words in answer.json()["message"]


def test_a_persons_own_token_gets_no_run_key(hub: RunningHub, service: httpx.Client) -> None:
    answer = service.post("api/run-keys", json={"expires_s": 600}, headers=bearer(hub.person("ada").token))
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_an_expired_or_changed_run_key_is_refused(hub: RunningHub, service: httpx.Client) -> None:
    token = server_token(hub, hub.person("ada").spawn())
    short = key_for(service, token, expires_s=1)
    eventually(lambda: call(service, short).status_code == 401, within=SOON_S, what="the key has expired")
    assert "expired" in call(service, short).json()["error"]["message"]
    head, body, sign = key_for(service, token).removeprefix(PREFIX).split(".")
    forged = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | {"sub": "admin"}
    changed = base64.urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    other_sign = f"{'B' if sign[0] == 'A' else 'A'}{sign[1:]}"
    for key in (f"{head}.{changed}.{sign}", f"{unsigned}.{changed}.", f"{head}.{body}.{other_sign}"):
        assert call(service, PREFIX + key).status_code == 401, key


def test_metrics_are_for_those_who_may_read_metrics(hub: RunningHub, service: httpx.Client) -> None:
    assert service.get("metrics").status_code == 401
    assert service.get("metrics", headers=bearer(hub.person("ada").token)).status_code == 403
    text = service.get("metrics", headers=bearer(hub.person("admin").token)).text
    assert "agents_gateway_calls_total" in text
    assert "ada" not in text


def test_the_documents_are_served_from_the_service_alone(service: httpx.Client) -> None:
    page = service.get("docs")
    assert page.status_code == 200
    for part in page.text.split('"'):
        if part.startswith(("http://", "https://", "//")):
            assert part.startswith(str(service.base_url)), part
    assert service.get("openapi.json").json()["openapi"].startswith("3.1")


def test_the_service_keeps_no_token_and_its_secret_for_itself(hub: RunningHub, service: httpx.Client) -> None:
    token = hub.person("ada").token
    key = key_for(service, server_token(hub, hub.person("ada").spawn()))
    assert call(service, token).status_code == call(service, key).status_code == 200
    kept = {path.name: path for path in (hub.state / "service").rglob("*") if path.is_file()}
    databases = {f"{name}.db{end}" for name in ("service", "agents") for end in ("", "-wal", "-shm")}
    assert set(kept) == {"run-key-secret", *databases}
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept.values())
    own = kept.pop("run-key-secret").read_text().strip()
    log = (hub.state / "hub.log").read_text()
    for secret in (token, key, ORGANISATION_KEY, own):
        assert secret not in log
        assert not any(secret.encode() in path.read_bytes() for path in kept.values())
        assert not any(secret in command for command in hub.commands())


def test_everybody_keeps_working_while_the_service_is_killed_and_comes_back(
    hub: RunningHub, service: httpx.Client
) -> None:
    """The hub starts it again, with the secret of before: keys that were given out stay good."""
    key = key_for(service, server_token(hub, hub.person("ada").spawn()))
    service_process(hub).kill()

    def works() -> bool:
        try:
            return call(service, key).status_code == 200
        except httpx.TransportError:
            return False

    eventually(works, within=90, what="the service is back and takes the key")


@contextmanager
def lonely_service(folder: Path, hub_url: str) -> Iterator[httpx.Client]:
    """A service whose hub does not answer, and that has no key."""
    command = [
        *(sys.executable, "-m", "jupyterhub_agents.service.app", "--state", str(folder / "state")),
        f"--AgentsService.hub_api_url={hub_url}",
        "--AgentsService.url=http://127.0.0.1:" + str(free_ports(1)[0]),
    ]
    environment = {"JUPYTERHUB_API_TOKEN": "token-of-the-service", "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    log = folder / "service.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        address = command[-1].partition("=")[2]
        with httpx.Client(base_url=f"{address}/services/agents/", trust_env=False, timeout=30) as client:
            eventually(lambda: answers(client), within=60, what="the service answers")
            yield client
    finally:
        process.terminate()
        assert process.wait(20) == -signal.SIGTERM, log.read_text()  # in order, and then as the signal wants it


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("health").status_code == 200
    except httpx.TransportError:
        return False


def test_without_its_hub_the_service_lives_says_what_is_missing_and_asks_callers_to_try_again(tmp_path: Path) -> None:
    with lonely_service(tmp_path, "http://127.0.0.1:9/hub/api") as client:
        ready = client.get("health/ready")
        assert ready.status_code == 503
        assert set(ready.json()["trouble"]) == {"hub", "upstream"}
        assert "ANTHROPIC_API_KEY" in ready.json()["trouble"]["upstream"]
        refused = call(client, "some-token")
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "api_error")
        assert "x-should-retry" not in refused.headers and refused.headers["retry-after"] == "2"
        made = client.post("api/run-keys", json={"expires_s": 5}, headers=bearer("some-token"))
        assert (made.status_code, made.json()["code"]) == (503, "hub_unavailable")


def test_a_service_that_was_started_by_nobody_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jupyterhub_agents.service.app"]
    done = subprocess.run(
        command, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "JUPYTERHUB_API_URL" in done.stderr
    assert "Traceback" not in done.stderr
