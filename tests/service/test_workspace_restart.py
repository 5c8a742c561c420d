"""A workspace that is stopped and started again while the service still remembers the old one."""

from __future__ import annotations

import httpx

from tests.hub.people import RunningHub
from tests.service.conftest import server_token, service_url


def test_the_new_workspaces_keys_work_at_once_and_the_old_ones_no_more(hub: RunningHub) -> None:
    dan = hub.person("dan").spawn()
    with httpx.Client(base_url=service_url(hub), trust_env=False, timeout=30) as service:

        def key() -> str:
            headers = {"Authorization": f"Bearer {server_token(hub, dan)}"}
            answer = service.post("api/run-keys", json={"expires_s": 600}, headers=headers)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["key"])

        def status(key: str) -> int:
            headers = {"x-api-key": key}
            return service.post("anthropic/v1/messages", content=b'{"model":"m"}', headers=headers).status_code

        old = key()
        assert status(old) == 200  # and with that the service remembers when the server was started
        dan.stop()
        dan.spawn()
        new = key()
        assert (status(new), status(old), status(new)) == (200, 401, 200)
