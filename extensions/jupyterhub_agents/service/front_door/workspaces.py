"""Workspaces as the front door sees them: whether one runs, and how it is started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ...errors import HubUnavailable, NotFound, WorkspaceNotRunning
from ..hub import HubAPI, Progress, ServerState

POLL_S = 0.5
"""Between two questions to the hub, when it does not say by itself that something has changed."""


class Workspaces:
    """The people's default servers on one hub."""

    def __init__(self, hub: HubAPI, *, start_timeout_s: float) -> None:
        self._hub = hub
        self._start_timeout_s = start_timeout_s

    async def state(self, user: str) -> ServerState:
        """Raises NotFound, HubUnavailable."""
        state = await self._hub.server(user)
        if state is None:
            raise NotFound(f"There is no {user} on this hub.")
        return state

    async def needs_start(self, user: str) -> bool:
        """Whether it does not run. While the hub is away a workspace is taken to run: it may well. Raises NotFound."""
        try:
            return await self.state(user) != "running"
        except HubUnavailable:
            return False

    async def wake(self, user: str, token: str) -> AsyncGenerator[Progress]:
        """Start the workspace unless it runs, by the right of `token`, and tell how far it is. Ends when it answers.
        Raises NotAllowed, NotFound, HubUnavailable, and WorkspaceNotRunning with the reason that the hub gives."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_timeout_s
        start: asyncio.Task[None] | None = None
        try:
            while True:
                asked = start is not None and start.done()
                state = await self.state(user)
                if state == "running":
                    return
                if start is not None and asked:
                    start.result()
                    if state == "stopped":
                        raise WorkspaceNotRunning(f"{user}'s workspace ended as soon as it was started.")
                if start is None and state == "stopped":
                    # The hub answers late, when the start is under way: what it tells meanwhile is read beside it.
                    start = asyncio.create_task(self._hub.start_server(user, token), name=f"start {user}")
                async with aclosing(self._hub.progress(user)) as told:
                    while True:
                        async with asyncio.timeout_at(deadline):
                            step = await anext(told, None)
                        if step is None:
                            break
                        if step.failed:
                            raise WorkspaceNotRunning(
                                f"{user}'s workspace did not start. JupyterHub says: {step.message}. If that goes on, "
                                "ask the hub's admin."
                            )
                        yield step
                pause = min(POLL_S, deadline - loop.time())
                if pause <= 0:
                    raise TimeoutError
                if start is None or start.done():
                    await asyncio.sleep(pause)
                else:
                    await asyncio.wait({start}, timeout=pause)
        except TimeoutError:
            raise WorkspaceNotRunning(
                f"{user}'s workspace has not started within {self._start_timeout_s:.0f} s. It may still be on its way: "
                "try again in a moment, or look at it on the hub's home page."
            ) from None
        finally:
            if start is not None and not start.done():
                # The hub goes on with a start whose asker has left.
                start.cancel()
                await asyncio.gather(start, return_exceptions=True)

    async def awake(self, user: str, token: str) -> None:
        """The same, without the telling."""
        async with aclosing(self.wake(user, token)) as steps:
            async for _ in steps:
                pass
