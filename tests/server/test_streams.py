"""Following a run: page, SSE and WebSocket, each picked up again without a gap or a repeat."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
import websockets
from httpx_sse import aconnect_sse, connect_sse

from jupyterhub_agents.testing.replies import say, use
from tests.workspace import Place, Server

pytestmark = pytest.mark.anyio

STEPS = 30
SCRIPT = {
    "short": [say("one two three")],
    "long": [*(say(f"Step {n} begins.").paced(0.01) + use("Bash", {"command": f"echo {n}"}) for n in range(STEPS)),
             say("All done.")],
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = Place(tmp_path_factory.mktemp("streams"))
    with place.start(SCRIPT) as running:
        running.agent(tools=["Bash(echo:*)"])
        yield running
    place.close()


@pytest.fixture(scope="module")
def ended(server: Server) -> dict[str, Any]:
    """A run that has ended."""
    return server.finish(server.start("short")["id"])


def pages(server: Server, run_id: str, limit: int = 7) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = server.get(f"api/runs/{run_id}/events?after={after}&limit={limit}").json()
        events += page["items"]
        after = page["next"]
    return events


async def over_websocket(server: Server, run_id: str, after: int) -> AsyncGenerator[dict[str, Any]]:
    url = server.url.replace("http", "ws", 1) + f"api/runs/{run_id}/events?after={after}"
    async with websockets.connect(
        url, additional_headers={"Authorization": f"token {server.token}"}, max_size=None, open_timeout=60
    ) as ws:
        async for message in ws:
            yield json.loads(message)


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loading the certificates anew for each of thousands of connections would be most of the work."""


async def over_sse(server: Server, run_id: str, after: int) -> AsyncGenerator[dict[str, Any]]:
    headers = {"Authorization": f"token {server.token}"}
    async with (
        httpx.AsyncClient(headers=headers, timeout=30, verify=NO_TLS) as http,
        aconnect_sse(http, "GET", f"{server.url}api/runs/{run_id}/events?after={after}") as source,
    ):
        async for message in source.aiter_sse():
            yield {"type": message.event, "data": json.loads(message.data)}


def test_pages_give_all_events_and_end(server: Server, ended: dict[str, Any]) -> None:
    events = pages(server, ended["id"])
    assert [event["seq"] for event in events] == list(range(1, ended["last_seq"] + 1))


def test_sse_carries_numbers_as_ids_and_takes_the_last_one_back(server: Server, ended: dict[str, Any]) -> None:
    path = f"api/runs/{ended['id']}/events"
    with connect_sse(server.http, "GET", path) as source:
        assert source.response.headers["content-type"].startswith("text/event-stream")
        messages = list(source.iter_sse())
    assert messages[0].event == "run"
    assert (messages[-1].event, json.loads(messages[-1].data)["status"]) == ("end", "succeeded")
    numbers = [int(m.id) for m in messages if m.event == "event"]
    assert numbers == list(range(1, ended["last_seq"] + 1))
    with connect_sse(server.http, "GET", path, headers={"Last-Event-ID": "4"}) as source:
        assert [json.loads(m.data)["seq"] for m in source.iter_sse() if m.event == "event"] == numbers[4:]
    answer = server.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


async def test_all_three_forms_tell_the_same(server: Server, ended: dict[str, Any]) -> None:
    paged = pages(server, ended["id"])
    for stream in (over_sse, over_websocket):
        items = [item async for item in stream(server, ended["id"], 3)]
        assert [item["data"] for item in items if item["type"] == "event"] == paged[3:]
        assert items[-1]["data"] == ended


async def test_an_unknown_run_is_refused_before_the_websocket_opens(server: Server) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async for _ in over_websocket(server, "01890000-0000-7000-8000-000000000000", 0):
            pass
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["code"] == "not_found"


async def test_a_hundred_readers_that_are_cut_at_random_moments_all_see_the_same(server: Server) -> None:
    run_id = server.start("long")["id"]
    drops = 0

    async def read(seed: int) -> tuple[list[int], str]:
        """Follow the run to its end; the connection is cut after a random number of items, as often as it takes."""
        nonlocal drops
        chance = random.Random(seed)  # noqa: S311 - no secret
        seen: list[int] = []
        await asyncio.sleep(chance.random() * 3)
        while True:
            stream = (over_sse, over_websocket)[chance.randrange(2)]
            cut_after = chance.randrange(1, 60)
            async with aclosing(stream(server, run_id, seen[-1] if seen else 0)) as items:
                async for item in items:
                    if item["type"] == "event":
                        seen.append(item["data"]["seq"])
                    if item["type"] == "end":
                        return seen, item["data"]["result"]
                    cut_after -= 1
                    if cut_after == 0:
                        drops += 1
                        break

    async with asyncio.timeout(240):
        readers = await asyncio.gather(*(read(seed) for seed in range(100)))
    last = server.run(run_id)["last_seq"]
    assert last > 3 * STEPS
    assert drops > 100
    for seen, result in readers:
        assert seen == list(range(1, last + 1))
        assert result == "All done."


async def test_deltas_reach_a_reader_as_the_model_speaks(server: Server) -> None:
    run_id = server.start("long")["id"]
    texts = []
    async with aclosing(over_websocket(server, run_id, 0)) as items:
        async for item in items:
            if item["type"] == "delta" and item["data"]["kind"] == "text":
                texts.append(item["data"]["text"])
            if len(texts) > 5:
                break
    assert "".join(texts).startswith("Step 0")
    server.post(f"api/runs/{run_id}/cancel")


async def test_a_reader_that_leaves_is_forgotten(server: Server) -> None:
    """The next ones are served all the same, and the server does not follow for those that left."""
    run_id = server.start("long")["id"]
    for _ in range(5):
        for stream in (over_sse, over_websocket):
            async with aclosing(stream(server, run_id, 0)) as items:
                await anext(items)
    deadline = time.monotonic() + 60
    while "jupyterhub_agents_open_streams 0.0" not in server.get("metrics").text:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    # The run is still at work: it was not its end that let the readers go.
    assert server.run(run_id)["status"] == "running"
    assert server.finish(run_id)["status"] == "succeeded"
    assert "Traceback" not in server.log.read_text()
