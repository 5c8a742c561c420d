"""A run's functions as an MCP server, for one CLI."""

from __future__ import annotations

from typing import Any

from claude_agent_sdk.types import McpSdkServerConfig
from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent, Tool

from .._version import __version__
from ..models import FUNCTIONS_SERVER, Function
from .functions import FunctionDesk


def server_of(desk: FunctionDesk) -> McpSdkServerConfig:
    """The server that offers a desk's functions."""

    async def list_tools(context: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(function) for function in desk.functions])

    async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        text, is_error = await desk.call(params.name, params.arguments or {})
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=is_error)

    server: Server[Any] = Server(
        FUNCTIONS_SERVER,
        version=__version__,
        instructions="Functions of the person's own program, such as their notebook. They see and change its data.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    # The SDK hands all but `instance` to the CLI: `alwaysLoad` has the tools there from the first word on.
    return McpSdkServerConfig(type="sdk", name=FUNCTIONS_SERVER, instance=server) | {"alwaysLoad": True}  # type: ignore[return-value]  # a key that the SDK's type lacks


def _tool(function: Function) -> Tool:
    return Tool(name=function.name, description=function.description, input_schema=function.input_schema)
