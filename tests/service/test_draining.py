"""A service that is stopped where others take over."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from hub_config.ports import free_ports
from tests.hub.people import eventually
from tests.service.test_identity import answers

DRAIN_S = 8


def test_a_service_that_is_stopped_takes_calls_for_a_while_and_closes_their_connections(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_ports(1)[0]}"
    command = [
        *(sys.executable, "-m", "jupyterhub_agents.service.app", "--state", str(tmp_path / "state")),
        f"--AgentsService.url={address}", f"--AgentsService.drain_s={DRAIN_S}",
        "--AgentsService.hub_api_url=http://127.0.0.1:9/hub/api",
    ]  # fmt: skip
    environment = {"JUPYTERHUB_API_TOKEN": "token-of-the-service", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            url = f"{address}/services/agents/"
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as kept:
                eventually(lambda: answers(kept), within=60, what="the service answers")
                assert "connection" not in kept.get("health").headers
                told = time.monotonic()
                process.send_signal(signal.SIGTERM)
                # On the connection that there is, and then on one that is new.
                seen = eventually(
                    lambda: kept.get("health").headers.get("connection", ""), within=30, what="connections are closed"
                )
                assert seen == "close"
                assert kept.get("health").status_code == 200
            assert process.wait(30) == -signal.SIGTERM
            assert time.monotonic() - told >= DRAIN_S
        finally:
            process.kill()
