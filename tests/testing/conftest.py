"""For the tests of the scripted model: conversations with it through the real Claude Code CLI."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    Message,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    UserMessage,
)

from jupyterhub_agents.testing.model_server import ModelServer
from tests.processes import Family

TURN_LIMIT_S = 60


@dataclass
class Turn:
    """What the CLI said to one prompt."""

    messages: list[Message]
    seconds: float

    @property
    def result(self) -> ResultMessage:
        result = self.messages[-1]
        assert isinstance(result, ResultMessage)
        return result

    @property
    def blocks(self) -> list[Any]:
        return [b for m in self.messages if isinstance(m, AssistantMessage) for b in m.content]

    @property
    def texts(self) -> list[str]:
        return [block.text for block in self.blocks if isinstance(block, TextBlock)]

    @property
    def thoughts(self) -> list[str]:
        return [block.thinking for block in self.blocks if isinstance(block, ThinkingBlock)]

    @property
    def results(self) -> list[ToolResultBlock]:
        users = [m for m in self.messages if isinstance(m, UserMessage) and isinstance(m.content, list)]
        return [block for message in users for block in message.content if isinstance(block, ToolResultBlock)]

    @property
    def deltas(self) -> list[str]:
        events = [m.event for m in self.messages if isinstance(m, StreamEvent)]
        return [e["delta"]["text"] for e in events if e.get("delta", {}).get("type") == "text_delta"]

    @property
    def retries(self) -> list[dict[str, Any]]:
        return [m.data for m in self.messages if isinstance(m, SystemMessage) and m.subtype == "api_retry"]


Converse = Callable[..., list[Turn]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the CLI works."""
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def converse(tmp_path: Path, folder: Path) -> Converse:
    """Says prompts to one CLI process on a model, and gives a turn for each. Options are the SDK's."""

    async def talk(model: ModelServer, prompts: tuple[str, ...], options: dict[str, Any]) -> list[Turn]:
        env = {**model.env(), "CLAUDE_CONFIG_DIR": str(tmp_path / "config"), **options.pop("env", {})}
        settled = {
            "system_prompt": {"type": "preset", "preset": "claude_code", "append": "Be brief."},
            "setting_sources": [],
            "include_partial_messages": True,
            "max_buffer_size": 1 << 24,
            "allowed_tools": ["Bash(*)", "Read", "Write", "Edit", "Agent"],
            "cwd": folder,
            "env": env,
        }
        turns = []
        async with ClaudeSDKClient(ClaudeAgentOptions(**{**settled, **options})) as client:
            for prompt in prompts:
                begin = time.monotonic()
                async with asyncio.timeout(TURN_LIMIT_S):
                    await client.query(prompt)
                    messages = [message async for message in client.receive_response()]
                turns.append(Turn(messages, time.monotonic() - begin))
        return turns

    return lambda model, *prompts, **options: asyncio.run(talk(model, prompts, options))


@pytest.fixture
def post() -> Callable[..., httpx.Response]:
    """A request to `/v1/messages` by a plain HTTP client."""

    def send(model: ModelServer, prompt: str | list[Any] = "Hello", **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", {})
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        body = {"model": "some-model", "max_tokens": 100, "messages": messages, **fields}
        return httpx.post(f"{model.url}/v1/messages", json=body, headers=headers, timeout=20)

    return send


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fails when a test leaves a process or a thread of the model behind."""
    before = set(threading.enumerate())
    family = Family()
    yield
    deadline = time.monotonic() + 60
    while True:
        threads = [t.name for t in set(threading.enumerate()) - before if t.name.endswith("Model")]
        processes = family()
        if not threads and not processes:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: threads {threads}, processes {processes}")
        time.sleep(0.05)
