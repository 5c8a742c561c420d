"""What the service takes of the machine with 200 people at work: its memory and its share of a processor.

A real hub with 200 people, each with a token and limited budgets of their own. Each has a stream open nearly all the
time, as an agent at work has, and between two of them looks at what is left. The scripted model is the upstream;
requests are of 60 kB. `run()` gives the figures under stable names; `python -m benchmarks people` prints them.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import uvloop

from benchmarks.gateway_bench import KEY, Load, Way, scripted_upstream
from tests.hub.people import RunningHub
from tests.service.conftest import hub_with_service, service_process, service_url

PEOPLE = 200
SECONDS = 30.0
SAMPLE_S = 0.25
BUDGETS = "{'person': {'day': 1000, 'month': 1000}, 'hub': {'day': 100000}}"


def run() -> dict[str, float]:
    """The figures: MB, seconds of processor a second, calls a second."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(scripted_upstream())
        environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream}
        budgets = f"--Budgets.default_budgets={BUDGETS}"
        hub = stack.enter_context(hub_with_service(folder, budgets, environment=environment))
        process = service_process(hub)
        alone = process.memory_info().rss / 1e6
        url = service_url(hub)
        figures = uvloop.run(_measure(process, url, _tokens(hub)))
        return {"service.alone.memory_mb": alone, **figures}


def _tokens(hub: RunningHub) -> list[str]:
    """A token of each of so many new people."""
    admin = hub.person("admin")
    names = [f"person-{number}" for number in range(PEOPLE)]
    assert admin.api("POST", "users", json={"usernames": names}).status_code == 201
    tokens = []
    for name in names:
        answer = admin.api("POST", f"users/{name}/tokens", json={"note": "benchmark"})
        assert answer.status_code == 201, answer.text
        tokens.append(str(answer.json()["token"]))
    return tokens


async def _measure(process: psutil.Process, url: str, tokens: list[str]) -> dict[str, float]:
    people = [Load(Way(f"{url}anthropic", token)) for token in tokens]
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:

        async def work(load: Load, token: str, until: float) -> list[float]:
            taken = []
            while time.monotonic() < until:
                times, _ = await load.streams(1)
                taken += times
                answer = await http.get("api/budgets/me", headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 200, answer.text
            return taken

        # Everybody's token is asked about, and every budget leased, before it counts.
        await asyncio.gather(*(work(*one, time.monotonic()) for one in zip(people, tokens, strict=True)))
        memory: list[int] = []
        watching = asyncio.create_task(_watch(process, memory))
        begin, used = time.monotonic(), _cpu_s(process)
        works = (work(*one, begin + SECONDS) for one in zip(people, tokens, strict=True))
        taken = sorted(one for each in await asyncio.gather(*works) for one in each)
        seconds, used = time.monotonic() - begin, _cpu_s(process) - used
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    for load in people:
        load.close()
    name = f"service.{PEOPLE}_people"
    return {
        f"{name}.memory_mb": max(memory) / 1e6,
        f"{name}.cpu_s_per_s": used / seconds,
        f"{name}.streams_per_s": len(taken) / seconds,
        f"{name}.stream_p50_s": taken[len(taken) // 2],
        f"{name}.stream_p99_s": taken[min(len(taken) - 1, len(taken) * 99 // 100)],
    }


async def _watch(process: psutil.Process, memory: list[int]) -> None:
    while True:
        memory.append(process.memory_info().rss)
        await asyncio.sleep(SAMPLE_S)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
