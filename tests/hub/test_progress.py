"""What a person reads while a workspace starts on a cluster."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from traitlets.config import Config

from hub_config.progress import STEPS, step_of
from tests.hub.spawner_pod import KubeSpawner, PodSpawner, until_listening

NO_CPU = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available."
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."


def event(reason: str, message: str = "", type: str = "Normal") -> dict[str, Any]:
    return {"reason": reason, "message": message, "type": type, "lastTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (event("FailedScheduling", NO_CPU, "Warning"), "No machine of the cluster has room"),
        (event("FailedScheduling", UNBOUND, "Warning"), "The volume for your home folder is being made."),
        (event("TriggeredScaleUp", "pod triggered scale-up: [{...}]"), "starts another machine"),
        (event("Pulling", 'Pulling image "registry.example.org/w:1"'), "fetches it"),
        (event("Failed", 'Failed to pull image "w:1": not found', "Warning"), "cannot be fetched"),
        (event("BackOff", 'Back-off pulling image "w:1"'), "cannot be fetched"),
        (event("BackOff", "Back-off restarting failed container notebook", "Warning"), "is started again"),
        (event("Started", "Started container notebook"), "JupyterLab is starting"),
    ],
)
def test_an_event_is_told_in_plain_words(told: dict[str, Any], expected: str) -> None:
    assert expected in step_of(told).message


def test_what_went_wrong_has_the_clusters_own_words_with_it() -> None:
    assert NO_CPU in step_of(event("FailedScheduling", NO_CPU, "Warning")).message
    assert step_of(event("FailedCreatePodSandBox", "no network", "Warning")).message == "no network"


def test_no_sentence_needs_a_knowledge_of_kubernetes() -> None:
    words = " ".join(step.message for step in STEPS.values()).lower()
    assert not {"pod", "node", "container", "pvc", "kubelet", "schedul"} & set(words.replace(".", " ").split())


def progress_of(*items: dict[str, Any], patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    async def progress(_: KubeSpawner) -> AsyncIterator[dict[str, Any]]:
        for item in items:
            yield item

    async def collect() -> list[dict[str, Any]]:
        return [item async for item in PodSpawner(config=Config(), _mock=True).progress()]

    patch.setattr(KubeSpawner, "progress", progress)
    return asyncio.run(collect())


def test_progress_never_goes_back_nothing_is_said_twice_and_a_wait_says_what_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = event("FailedScheduling", NO_CPU, "Warning")
    told = progress_of(
        {"raw_event": event("Scheduled"), "progress": 30, "message": "2026 [Normal] Assigned ..."},
        {"raw_event": wait, "progress": 50, "message": "..."},
        {"raw_event": wait, "progress": 60, "message": "..."},
        {"message": "It has taken 60 seconds so far."},
        {"raw_event": event("Started"), "progress": 70, "message": "..."},
        patch=monkeypatch,
    )
    assert [item.get("progress") for item in told] == [30, 30, None, 80]
    assert told[2]["message"].startswith("No machine") and told[2]["message"].endswith("60 seconds so far.")
    assert told[1]["raw_event"] == wait


def test_a_server_is_found_as_soon_as_it_listens() -> None:
    async def find() -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            finding = asyncio.create_task(until_listening(f"http://127.0.0.1:{server.getsockname()[1]}/user/ada/"))
            done, _ = await asyncio.wait({finding}, timeout=0.5)
            assert not done
            server.listen()
            async with asyncio.timeout(30):
                await finding

    asyncio.run(find())
