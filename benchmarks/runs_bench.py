"""How long until an agent's first event and the end of its turn: `claude -p`, the bare SDK, a run on the server that
starts a CLI of its own (`server`), and one that finds one waiting (`warm`).

All four drive the same CLI on the same scripted model, which answers at once, in turns within one run; the figures
are medians in seconds, from the start of the program, the making of the client or the sending of the request. The first
event is the CLI's first message, which is `system init` in all four; on the server it has been stored and has come
over SSE. The first text is the model's first words.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, StreamEvent
from httpx_sse import connect_sse

from jupyterhub_agents.runtime.cli import find_cli
from jupyterhub_agents.testing.replies import say
from tests.workspace import Place, Server

REPEATS = 9
PROMPT = "Say hello."
Times = dict[str, float]


def run(repeats: int = REPEATS) -> dict[str, float]:
    """The medians, by stable names such as `turn.first_event.sdk_s`."""
    taken: dict[str, list[Times]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        places = [Place(Path(stack.enter_context(tempfile.TemporaryDirectory())), whole=True) for _ in range(2)]
        for place in places:
            stack.callback(place.close)
        script = [say("Hello, I am here.")]
        cold = stack.enter_context(places[0].start(script, "--WarmPool.size=0"))
        warm = stack.enter_context(places[1].start(script, "--WarmPool.spare_memory_mb=0"))
        for server in (cold, warm):
            server.agent(model="claude-sonnet-5")
        environment = {**cold.model.env(), "CLAUDE_CONFIG_DIR": str(cold.home / ".claude"), **QUIET}
        by_server(warm)  # nothing waits before a first run
        for number in range(repeats + 1):
            until_one_waits(warm)
            times = {
                "cli": by_cli(environment, cold.home),
                "sdk": asyncio.run(by_sdk(environment, cold.home)),
                "server": by_server(cold),
                "warm": by_server(warm),
            }
            if number:  # the first round fills the disk cache
                for way, measured in times.items():
                    taken[way].append(measured)
    figures = {
        f"turn.{what}.{way}_s": median(times[what] for times in rounds)
        for way, rounds in taken.items()
        for what in ("first_event", "first_text", "whole")
    }
    for what in ("first_event", "first_text", "whole"):
        figures[f"turn.{what}.server_over_sdk_s"] = median(
            server[what] - sdk[what] for server, sdk in zip(taken["server"], taken["sdk"], strict=True)
        )
    figures["turn.first_event.warm_to_cli"] = median(
        warm["first_event"] / cli["first_event"] for warm, cli in zip(taken["warm"], taken["cli"], strict=True)
    )
    return figures


WAYS = ("cli", "sdk", "server", "warm")
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}


class Watch:
    """Notes when each thing first happened, in seconds from the making of the watch."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.times: Times = {}

    def note(self, what: str) -> None:
        self.times.setdefault(what, time.perf_counter() - self._start)


def by_cli(environment: dict[str, str], folder: Path) -> Times:
    """`claude -p`, as a person would script it."""
    watch = Watch()
    command = [
        str(find_cli()), "-p", PROMPT, "--model", "claude-sonnet-5", "--setting-sources", "",
        "--output-format", "stream-json", "--verbose", "--include-partial-messages",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=os.environ | environment, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            watch.note("first_event")
            if "text_delta" in line.decode():
                watch.note("first_text")
            if message["type"] == "result":
                watch.note("whole")
    return watch.times


async def by_sdk(environment: dict[str, str], folder: Path) -> Times:
    """The SDK's client, with the options that a run has."""
    watch = Watch()
    options = ClaudeAgentOptions(
        system_prompt={"type": "preset", "preset": "claude_code"}, setting_sources=[], strict_mcp_config=True,
        model="claude-sonnet-5", cwd=folder, include_partial_messages=True, env=environment,
    )  # fmt: skip
    async with ClaudeSDKClient(options) as client:
        await client.query(PROMPT)
        async for message in client.receive_response():
            watch.note("first_event")
            if isinstance(message, StreamEvent) and "text_delta" in str(message.event):
                watch.note("first_text")
        watch.note("whole")
    return watch.times


def until_one_waits(server: Server) -> None:
    """Wait until the server has a CLI ready for its next run, and has come to rest."""
    deadline = time.monotonic() + 30
    while "jupyterhub_agents_warm_processes 1.0" not in server.get("metrics").text:
        assert time.monotonic() < deadline, "no CLI waits"
        time.sleep(0.1)
    time.sleep(1)


def by_server(server: Server) -> Times:
    """A run started over HTTP and followed over SSE."""
    watch = Watch()
    run_id = server.start(PROMPT)["id"]
    with connect_sse(server.http, "GET", f"api/runs/{run_id}/events", timeout=httpx.Timeout(60)) as source:
        for message in source.iter_sse():
            data = json.loads(message.data)
            if message.event == "event" and data["type"] == "message":
                watch.note("first_event")
                if data["payload"]["type"] == "result":
                    watch.note("whole")
            if message.event == "delta":
                watch.note("first_text")
    return watch.times


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:40} {value:.3f}")
