"""What a newcomer of a hub says to the assistant, and what programs of their workspace can do without a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil

from tests.files import contents_below
from tests.hub.people import Person, RunningHub, eventually
from tests.processes import environment_of


def own_token(hub: RunningHub, person: Person) -> str:
    """The token that the hub gave the person's workspace."""
    for process in psutil.Process(hub.launcher.pid).children(recursive=True):
        environ = environment_of(process)
        if environ.get("JUPYTERHUB_USER") == person.name and environ.get("JUPYTERHUB_API_TOKEN"):
            return environ["JUPYTERHUB_API_TOKEN"]
    raise AssertionError("there is no workspace")


def test_a_newcomer_says_what_agent_they_want_in_the_browser(hub: RunningHub) -> None:
    eve = hub.person("eve").spawn()
    eve.browser.get("/user/eve/lab")
    headers = {"X-XSRFToken": eve.xsrf("/user/eve/"), "Referer": f"{hub.url}/user/eve/lab"}
    message = {"message": "Please make me an agent named Scribe that writes notes."}
    made = eve.browser.post("/user/eve/api/conversation", json=message, headers=headers, timeout=90)
    assert made.status_code == 200, made.text
    assert made.json()["agentCreated"] == {"id": "scribe", "name": "Scribe", "revision": 1}
    assert eve.workspace.get("api/agents/scribe").json()["name"] == "Scribe"


def test_a_program_of_the_workspace_uses_agents_and_finds_no_token(hub: RunningHub) -> None:
    eve = hub.person("eve").spawn()
    door = eve.home / ".local" / "share" / "jupyterhub-agents" / "door"
    eventually(door.exists, within=60, what="the door")
    assert eve.workspace.post("api/agents", json={"name": "Walker"}).status_code == 201
    listed = subprocess.run(
        [sys.executable, "-m", "jupyterhub_agents.client", "list", "--json"],
        env={"PATH": os.environ["PATH"], "HOME": str(eve.home)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    assert "walker" in [agent["id"] for agent in json.loads(listed.stdout)]
    token = own_token(hub, eve)
    having = [path for path, content in contents_below(eve.home) if token.encode() in content]
    assert having == []
