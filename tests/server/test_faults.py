"""A full disk and a locked database in the middle of a run: the person is told, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyterhub_agents.testing.replies import Reply, say, use
from tests.workspace import Server, StartServer

STEPS = 8
LOCK = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None); d.execute('BEGIN EXCLUSIVE'); "


def steps() -> list[Reply]:
    """Work of some seconds, with a result of some KB at each step."""
    command = "python3 -c 'import time; time.sleep(1); print(\"x\" * 20_000)'; echo did-{}."
    return [*(use("Bash", {"command": command.format(n)}) for n in range(STEPS)), say("All is done.")]


def database(server: Server) -> Path:
    return server.home / ".local" / "share" / "jupyterhub-agents" / "agents.db"


@contextlib.contextmanager
def full_disk(server: Server) -> Iterator[str]:
    """The server may not make a file larger than its database's log is now. The CLI, at work already, may."""
    unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    size = database(server).with_name("agents.db-wal").stat().st_size
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 1, unlimited[1]))
    try:
        yield "space"
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)


@contextlib.contextmanager
def locked(server: Server) -> Iterator[str]:
    """Another process has the database for itself."""
    command = [sys.executable, "-c", f"{LOCK} print('locked', flush=True); sys.stdin.read()", database(server)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == b"locked\n"
            yield "locked by another process"
        finally:
            other.stdin.close()
            other.wait(10)


def events(server: Server, run_id: str) -> list[dict[str, Any]]:
    answer = server.get(f"api/runs/{run_id}/events", params={"limit": 1_000})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def health(server: Server, ok: bool, within: float = 60) -> str:
    """Wait until the workspace says that it is well, or not; what it says then."""
    deadline = time.monotonic() + within
    while True:
        answer = server.get("api/agents-health")
        if (answer.status_code == 200) is ok:
            return " ".join(answer.json()["problems"])
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


@pytest.mark.parametrize("fault", [full_disk, locked])
def test_a_run_outlasts_a_store_that_cannot_be_written(
    start_server: StartServer, fault: Callable[[Server], contextlib.AbstractContextManager[str]]
) -> None:
    with start_server({"work": steps(), "and now": [say("Nothing more.")]}) as server:
        server.agent(tools=["Bash(*)"])
        run_id = server.start("work")["id"]
        server.seen(run_id, "did-1.")
        with fault(server) as meaning:
            problem = health(server, ok=False)
            assert meaning in problem
            assert str(database(server)) in problem
            refusal = server.post("api/agents", {"id": "other", "name": "other"})
            assert (refusal.status_code, refusal.json()["code"]) == (503, "store_unavailable"), refusal.text
            assert meaning in refusal.json()["message"]
            # What is stored can be read, and is whole.
            during = events(server, run_id)
            assert [event["seq"] for event in during] == list(range(1, len(during) + 1))
            model = server.model
            deadline = time.monotonic() + 60
            while not any("did-5." in str(request.body) for request in model.messages):
                assert time.monotonic() < deadline, "the run does not go on"
                time.sleep(0.1)
            assert server.run(run_id)["status"] == "running"
        assert health(server, ok=True) == ""
        run = server.finish(run_id)
        assert (run["status"], run["result"]) == ("succeeded", "All is done."), run
        after = events(server, run_id)
        assert [event["seq"] for event in after] == list(range(1, run["last_seq"] + 1))
        assert after[: len(during)] == during
        results = [json.dumps(e["payload"]) for e in after if e["payload"].get("type") == "user"]
        assert len(results) == STEPS
        assert all(f"did-{n}." in result for n, result in enumerate(results))
        assert server.finish(server.start("and now", continues=run_id)["id"])["result"] == "Nothing more."
    with contextlib.closing(sqlite3.connect(database(server))) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = [json.loads(entry) for (entry,) in file.execute("SELECT entry FROM transcript_entries ORDER BY key")]
    transcript = next((server.home / ".claude").glob(f"projects/*/{run['session_id']}.jsonl")).read_text()
    written = [json.loads(line) for line in transcript.splitlines()]
    assert [e["uuid"] for e in stored if "uuid" in e] == [e["uuid"] for e in written if "uuid" in e]
