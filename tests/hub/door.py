"""The front door as somebody outside uses it: HTTP, server-sent events and WebSockets, with a token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from httpx_sse import connect_sse
from websockets.sync.client import ClientConnection, connect

from tests.hub.people import TLS, RunningHub

STEPS = "take the steps"


class Door:
    """The way to `user`'s workspace with a token; without one, with none. Use it in a `with`."""

    def __init__(self, hub: RunningHub, user: str, token: str | None) -> None:
        self.url = f"{hub.url}/services/agents/workspace/{user}/"
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self.http = httpx.Client(base_url=self.url, headers=self._headers, timeout=60, trust_env=False, verify=TLS)

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def make_agent(self, id: str, **fields: Any) -> None:
        answer = self.post("api/agents", id=id, name=id, **fields)
        assert answer.status_code == 201, answer.text

    def start(self, agent: str, prompt: str) -> dict[str, Any]:
        answer = self.post(f"api/agents/{agent}/runs", prompt=prompt)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def stream(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Iterator[tuple[str, Any, str]]:
        """The kind, the data and the id of each server-sent event."""
        with connect_sse(self.http, method, path, headers=dict(headers or {}), **more) as source:
            assert source.response.status_code == 200, source.response.read()
            for sent in source.iter_sse():
                if sent.data:  # a sign of life has none
                    yield sent.event, json.loads(sent.data), sent.id

    @contextmanager
    def websocket(self, path: str) -> Iterator[ClientConnection]:
        with connect(
            self.url.replace("http", "ws", 1) + path, additional_headers=self._headers, proxy=None, max_size=None
        ) as socket:
            yield socket


def numbers(told: list[tuple[str, Any, str]]) -> list[int]:
    """The numbers of the durable events among what a stream told."""
    return [data["seq"] for kind, data, _ in told if kind == "event"]
