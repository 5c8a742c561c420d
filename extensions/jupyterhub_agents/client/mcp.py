"""`jupyter agents mcp`: an MCP server over standard input and output, through which Claude Code uses agents.

Built on the official SDK, `mcp` (https://py.sdk.modelcontextprotocol.io). Its low-level server: the tools' schemas are
made of the project's own models, and wrong input is explained in the project's own words.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import httpx
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from .._version import __version__
from ..errors import AgentsError, StaleRevision, encode
from .aio import AsyncAgentClient
from .errors import ClientError
from .mcp_tools import TOOLS, Json, whole

log = logging.getLogger(__name__)

NAME = "agents"
"""The name under which the project registers the server; its tools are `mcp__agents__...` then."""
INSTRUCTIONS = (
    "The person's own agents: stored, versioned definitions of a Claude Code that does one job. Use these tools when "
    "the person wants to make, change, look at or run one."
)


class AgentsServer:
    """The tools over a client, which is found at the first call and looked for again when it was lost."""

    def __init__(self, find: Callable[[], AsyncAgentClient]) -> None:
        self._find = find
        self._client: AsyncAgentClient | None = None
        self._tools = {tool.name: tool for tool in TOOLS}
        self.server: Server[Any] = Server(
            NAME,
            version=__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def serve(self) -> None:
        """Serve standard input and output until the input ends."""
        try:
            async with stdio_server() as (reading, writing):
                await self.server.run(reading, writing, self.server.create_initialization_options())
        finally:
            await self._forget()

    async def _list(self, context: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(
            tools=[
                Tool(
                    name=tool.name,
                    description=tool.description,
                    input_schema=tool.schema(),
                    annotations=ToolAnnotations(read_only_hint=tool.read_only, destructive_hint=False),
                )
                for tool in TOOLS
            ]
        )

    async def _call(self, context: Any, params: CallToolRequestParams) -> CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            return _error(f"There is no tool {params.name!r}. There are {', '.join(self._tools)}.", {})

        async def report(progress: float, message: str) -> None:
            await context.session.report_progress(progress, None, message)

        try:
            given = tool.checked(params.arguments or {})
            if self._client is None:
                self._client = self._find()
            return _result(await tool.call(self._client, given, report))
        except StaleRevision as error:
            return await self._stale(error, str((params.arguments or {}).get("id")))
        except AgentsError as error:
            if isinstance(error, ClientError):
                await self._forget()
            return _error(error.message, {"error": encode(error)[1]})
        except httpx.HTTPError as error:
            await self._forget()
            return _error(f"The workspace cannot be reached ({error}). Try again in a moment.", {})

    async def _stale(self, error: StaleRevision, agent_id: str) -> CallToolResult:
        """With how the agent is now, so that the next try needs no look before."""
        assert self._client is not None  # noqa: S101 - it answered
        facts: Json = {"error": encode(error)[1]}
        try:
            facts["current"] = whole((await self._client.agent(agent_id)).record)
        except AgentsError as gone:
            return _error(gone.message, facts)
        return _error(f"{error.message} This is how it is now: {_compact(facts['current'])}", facts)

    async def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


async def serve(find: Callable[[], AsyncAgentClient]) -> None:
    """Serve MCP on standard input and output. Logs go to standard error: standard output is the protocol's."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    await AgentsServer(find).serve()


def _result(facts: Json) -> CallToolResult:
    return CallToolResult(content=_text(_compact(facts)), structured_content=facts)


def _error(message: str, facts: Json) -> CallToolResult:
    return CallToolResult(content=_text(message), structured_content=facts or None, is_error=True)


def _text(text: str) -> list[ContentBlock]:
    return [TextContent(type="text", text=text)]


def _compact(facts: Json) -> str:
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
