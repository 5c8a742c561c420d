"""How the service stops where others take over: it goes on for a while and asks callers for new connections."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

STEP_S = 0.1


class DrainingServer(uvicorn.Server):
    """Takes calls for `drain_s` seconds after the signal, with `Connection: close` in each answer (RFC 9112, section
    9.6). Without that, a proxy that keeps connections open would send its next call on one that is just being closed,
    and take the service for broken. A second SIGINT ends it at once."""

    def __init__(self, config: uvicorn.Config, drain_s: float) -> None:
        super().__init__(config)
        self._drain_s = drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._drain_s:
            # Who sets them every second has ended.
            self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        steps = round(self._drain_s / STEP_S)
        while steps > 0 and not self.force_exit:
            steps -= 1
            await asyncio.sleep(STEP_S)
        await super().shutdown(sockets)
