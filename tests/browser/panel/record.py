"""Records the runs that the panel's unit tests read: `python -m tests.browser.panel.record`.

Each is what a real workspace server gave for a run of the real CLI, shortened where the panel reads nothing.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from jupyterhub_agents.testing.replies import Entry, Reply, fail, say, think, use
from tests.hub.people import ROOT
from tests.workspace import Place, Server

INTO = ROOT / "extensions" / "labextension" / "test" / "recorded"
TASK = {"description": "Count the words", "prompt": "count for me", "subagent_type": "general-purpose"}
SCRIPT: dict[str, list[Entry]] = {
    "show your tools": [
        think("First a look around.") + say("I **look** first.") + use("Bash", {"command": "echo hello; echo there"}),
        use("Write", {"file_path": "HOME/work/fib.py", "content": "def fib(n):\n    return n\n"}),
        use("Read", {"file_path": "HOME/work/fib.py"}),
        use("Edit", {"file_path": "HOME/work/fib.py", "old_string": "return n", "new_string": "return n * 2"})
        + use("Grep", {"pattern": "fib", "path": "HOME/work"}),
        use("Glob", {"pattern": "*.py", "path": "HOME/work"}),
        use("Bash", {"command": "exit 3"}),
        say("# Done\n\nSee `fib.py`."),
    ],
    "delegate": [
        say("Somebody else counts.") + use("Agent", TASK | {"run_in_background": False}),
        say("It was seven."),
    ],
    "count for me": [use("Bash", {"command": "echo seven"}), say("Seven words.")],
    "ask me twice": [
        use("Bash", {"command": "touch allowed"}),
        use("Bash", {"command": "touch denied"}),
        say("One of the two."),
    ],
    "which agents": [use("mcp__agents__list_agents", {}), say("You have one.")],
    "break": [fail(400, message="This cannot be done.").always()],
    "go on after": [say("Here I am again.")],
}
NOT_READ = ("tools", "slash_commands", "skills", "plugins", "agents", "mcp_servers", "usage", "memory_paths")


def main() -> None:
    INTO.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), whole=True)
        home = str(place.home)
        script = {key: [_at(entry, home) for entry in entries] for key, entries in SCRIPT.items()}
        try:
            with place.start(script) as server:
                server.agent("helper", tools=None, directory="work", allowed_tools=["Bash(echo:*)", "Bash(exit:*)",
                             "Write", "Edit", "Read", "Grep", "Glob", "Agent"])  # fmt: skip
                for title, run in runs(server).items():
                    page = server.get(f"api/runs/{run}/events?limit=1000").json()
                    _write(title, page, home)
        finally:
            place.close()


def runs(server: Server) -> dict[str, str]:
    """What is recorded: the ids of runs that have ended, by name."""
    found = {}
    for title, prompt in (("tools", "show your tools"), ("subagent", "delegate")):
        found[title] = server.start(prompt)["id"]
        server.finish(found[title])
    found["approvals"] = server.start("ask me twice")["id"]
    first = server.waits(found["approvals"])
    server.post(f"api/approvals/{first}/decide", {"decision": "once"})
    second = server.waits(found["approvals"], after=first)
    server.post(f"api/approvals/{second}/decide", {"decision": "deny", "message": "Not that one."})
    server.finish(found["approvals"])
    found["resumed"] = server.start("break it")["id"]
    server.finish(found["resumed"])
    server.post(f"api/runs/{found['resumed']}/resume", {"prompt": "go on after that"})
    server.until(found["resumed"], "succeeded")
    server.post("api/conversation", {"message": "which agents have I?"})
    (mcp,) = server.get("api/runs?agent=assistant").json()["items"]
    found["mcp"] = mcp["id"]
    server.finish(found["mcp"])
    return found


def _at(entry: Entry, home: str) -> Entry:
    """The entry with the home's name in the calls."""
    if not isinstance(entry, Reply):
        return entry
    return Reply(tuple(json.loads(json.dumps(entry.blocks).replace("HOME/", f"{home}/"))))


def _write(title: str, page: dict[str, Any], home: str) -> None:
    for event in page["items"]:
        for name in NOT_READ:
            event["payload"].pop(name, None)
    text = json.dumps({"run": page["run"], "events": page["items"]}, indent=1, ensure_ascii=False)
    text = re.sub(r"[^\"]+/tasks/", "/tasks/", text.replace(home, "/home/ana"))
    (INTO / f"{title}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
