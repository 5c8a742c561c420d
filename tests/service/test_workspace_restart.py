"""What ends while the service still remembers somebody: a workspace that is started again, a key that expires."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.hub.people import Person, RunningHub, eventually
from tests.service.conftest import server_token, service_url

REMEMBERED_S = 30.0
"""AgentsService.identity_cache_s, which this hub leaves as it is."""


def key_of(hub: RunningHub, person: Person, service: httpx.Client, expires_s: float) -> str:
    headers = {"Authorization": f"Bearer {server_token(hub, person)}"}
    answer = service.post("api/run-keys", json={"expires_s": expires_s}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def status(service: httpx.Client, key: str) -> int:
    headers = {"x-api-key": key}
    return service.post("anthropic/v1/messages", content=b'{"model":"m"}', headers=headers).status_code


@pytest.fixture
def service(hub: RunningHub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service_url(hub), trust_env=False, timeout=30) as client:
        yield client


def test_the_new_workspaces_keys_work_at_once_and_the_old_ones_no_more(hub: RunningHub, service: httpx.Client) -> None:
    dan = hub.person("dan").spawn()
    old = key_of(hub, dan, service, 600)
    assert status(service, old) == 200  # and with that the service remembers when the server was started
    dan.stop()
    dan.spawn()
    new = key_of(hub, dan, service, 600)
    assert [status(service, key) for key in (new, old, new)] == [200, 401, 200]


def test_a_key_that_is_remembered_ends_when_it_expires(hub: RunningHub, service: httpx.Client) -> None:
    key = key_of(hub, hub.person("dan").spawn(), service, 5)
    assert status(service, key) == 200
    eventually(lambda: status(service, key) == 401, within=REMEMBERED_S / 2, what="the key has expired")
