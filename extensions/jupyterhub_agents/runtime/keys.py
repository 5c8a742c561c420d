"""Run keys: what a Claude Code process gets to reach the models with, in place of anything of the workspace's own."""

from __future__ import annotations

import os
import threading
import time
from typing import Any
from urllib.parse import urljoin

import httpx
from traitlets import Float, Unicode, default
from traitlets.config import LoggingConfigurable

from ..errors import RuntimeUnavailable, decode

PAUSE_S = 0.5
ANSWER_S = 5.0


class RunKeys(LoggingConfigurable):
    """Asks the hub's service for keys, with the token that the hub gave this workspace's server. A key names the
    person, the server and the run, opens the gateway to the models only, and stops with the server."""

    service_url = Unicode(
        help="Where the hub's service is, such as http://hub.example/services/agents/; without one, Claude Code finds "
        "its own way to the models, by the environment. Default: JUPYTERHUB_AGENTS_SERVICE_URL, which the hub sets."
    ).tag(config=True)
    token = Unicode(
        help="The token to ask the service with. It never reaches Claude Code. Default: JUPYTERHUB_API_TOKEN, which "
        "the hub sets."
    ).tag(config=True)
    lifetime_s = Float(
        86_400.0, min=60.0, help="Seconds that a run's key holds beyond the longest that the run may work: time to "
        "wait for people's decisions."
    ).tag(config=True)  # fmt: skip
    patience_s = Float(
        20.0,
        min=0.0,
        help="Seconds for which the service is asked again when it does not answer, before the run fails.",
    ).tag(config=True)

    @default("service_url")
    def _default_service_url(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_SERVICE_URL", "")

    @default("token")
    def _default_token(self) -> str:
        return os.environ.get("JUPYTERHUB_API_TOKEN", "")

    def __init__(self, **kw: Any) -> None:
        super().__init__(**kw)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Have whoever waits for a key wait no longer."""
        self._stopped.set()

    def environment(
        self,
        *,
        work_s: float,
        run_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
    ) -> dict[str, str]:
        """The variables that give a CLI its key; none where there is no service. Waits for the network: call it in a
        thread. Raises RuntimeUnavailable."""
        if not self.service_url:
            return {}
        wish = {"run_id": run_id, "agent_id": agent_id, "session_id": session_id}
        body = {name: value for name, value in wish.items() if value is not None}
        key = self._ask({**body, "expires_s": work_s + self.lifetime_s})
        return {
            "ANTHROPIC_BASE_URL": urljoin(self.service_url, "anthropic"),
            # Not as ANTHROPIC_API_KEY: an interactive Claude Code would ask whether to use it.
            "ANTHROPIC_AUTH_TOKEN": key,
            "ANTHROPIC_API_KEY": "",
        }

    def _ask(self, body: dict[str, object]) -> str:
        deadline = time.monotonic() + self.patience_s
        with httpx.Client(headers={"Authorization": f"Bearer {self.token}"}, timeout=ANSWER_S, trust_env=False) as http:
            while True:
                try:
                    answer = http.post(urljoin(self.service_url, "api/run-keys"), json=body)
                except httpx.TransportError as error:
                    said = f"it does not answer ({type(error).__name__})"
                else:
                    if answer.status_code == 201:
                        return str(answer.json()["key"])
                    said = decode(answer.status_code, _object(answer)).message
                    if answer.status_code < 500:
                        raise RuntimeUnavailable(f"The hub's service gave no key to reach Claude with: {said}")
                if time.monotonic() >= deadline or self._stopped.wait(PAUSE_S):
                    raise RuntimeUnavailable(
                        f"The hub's service, by which Claude is reached, is not available: {said} Try again in a "
                        "moment; if it stays so, tell the hub's admin."
                    )


def _object(answer: httpx.Response) -> dict[str, object] | None:
    try:
        value = answer.json()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
