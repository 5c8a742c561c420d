"""`jupyter agents`, as a person and as a script use it."""

from __future__ import annotations

import json
import os
import pty
import re
import secrets
import select
import subprocess
import sys
from pathlib import Path

import pytest

from jupyterhub_agents.client import AgentClient

from .conftest import Server, lines, until

FILE = """---
name: {id}
description: Reviews code.
tools: Read, Bash(git diff:*)
color: blue
---

You review code.
"""


# The terminal has to be the controlling one for Ctrl-C to become a signal (ioctl_tty(2), TIOCSCTTY).
IN_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """The command in a terminal of its own."""

    def __init__(self, server: Server, *arguments: str) -> None:
        self._terminal, inner = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, sys.executable, "-m", "jupyterhub_agents.client", *arguments],
            env=server.env | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
        )
        os.close(inner)
        self.text = ""

    def read(self) -> str:
        while select.select([self._terminal], [], [], 0)[0]:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:
                break
            if not data:
                break
            self.text += data.decode(errors="replace")
        return self.text

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def code(self, within_s: float = 40) -> int:
        until(lambda: self.read() is None or self._process.poll() is not None, within_s)
        self.read()
        return self._process.wait(5)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)
        os.close(self._terminal)


def test_an_agent_is_made_run_shown_and_deleted(server: Server) -> None:
    id = f"maker-{secrets.token_hex(4)}"
    made = server.command(
        "create", id.upper(), "--tool", "Write", "--tool", "Bash(python3 *)", "--permission-mode", "acceptEdits",
        "--instructions", "Write Python.",
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"Created {id}.")
    ran = server.program("run", id, "write", "hello")
    assert (ran.returncode, ran.stdout) == (0, "I write it first.\nIt prints hello.\n")
    assert "● Write hello.py\n● Bash python3 hello.py\n[succeeded · 3 turns · $" in ran.stderr
    assert f"{id}\t{id.upper()}\t" in server.command("list").stdout
    assert "Write Python." in server.command("show", id).stdout
    listed = server.command("runs", id).stdout
    run_id = listed.split("\t")[0]
    assert "write hello\tsucceeded · 3 turns" in listed
    shown = server.command("show", run_id)
    assert "● Write hello.py\n" in shown.stdout
    assert server.command("show", run_id, "--follow").returncode == 0
    assert server.program("delete", id).returncode == 2
    assert server.command("delete", id, "--yes").returncode == 0
    assert server.program("show", id).returncode == 3


def test_json_is_one_document_or_a_line_an_item(server: Server, agent_id: str) -> None:
    made = json.loads(server.command("create", f"J {secrets.token_hex(4)}", "--json").stdout)
    assert made["revision"] == 1
    assert agent_id in [agent["id"] for agent in json.loads(server.command("list", "--json").stdout)]
    ran = server.command("run", agent_id, "greet", "--json")
    items = lines(ran.stdout)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert items[-1]["type"] == "end"
    assert items[-1]["data"]["result"] == "Hello from the script."
    events = [item["data"]["seq"] for item in items if item["type"] == "event"]
    assert events == list(range(1, len(events) + 1))
    runs = json.loads(server.command("runs", agent_id, "--json").stdout)
    assert [run["status"] for run in runs] == ["succeeded"]
    assert json.loads(server.command("show", runs[0]["id"], "--json").stdout) == runs[0]


def test_a_prompt_may_be_piped_in(server: Server, agent_id: str) -> None:
    assert server.program("run", agent_id, input="greet me").stdout == "Hello from the script.\n"
    assert server.command("run", agent_id, input=" \n").returncode == 2


def test_a_conversation_goes_on(server: Server, agent_id: str, client: AgentClient) -> None:
    first = server.command("run", agent_id, "greet", "--detach").stdout.strip()
    client.get_run(first).result(timeout_s=60)
    assert server.command("run", agent_id, "again", "--continue", first).stdout == "Once more, then.\n"


def test_a_failed_run_is_exit_code_1_and_a_cancelled_one_4(server: Server, agent_id: str, client: AgentClient) -> None:
    client.agent(agent_id).update(max_turns=1)
    failed = server.program("run", agent_id, "write hello")
    assert failed.returncode == 1
    assert "✗ It was stopped after" in failed.stderr
    client.agent(agent_id).update(max_turns=None)
    run_id = server.command("run", agent_id, "endless", "--detach").stdout.strip()
    until(lambda: len(client.get_run(run_id).history()) > 4)
    assert server.command("cancel", run_id).returncode == 0
    assert server.program("show", run_id, "--follow").returncode == 4
    assert server.command("cancel", run_id).returncode == 3
    assert server.command("resume", run_id, "greet", "me").stdout == "Hello from the script.\n"


def test_ctrl_c_cancels_the_run(server: Server, agent_id: str, client: AgentClient) -> None:
    terminal = Terminal(server, "run", agent_id, "endless")
    try:
        until(lambda: "python3 -c" in terminal.read())
        terminal.type(b"\x03")
        assert terminal.code() == 130
        assert "cancelling" in terminal.text
        assert "Traceback" not in terminal.text
        assert client.runs(agent_id)[0].status.value == "cancelled"
    finally:
        terminal.close()


def test_a_terminal_shows_progress_and_text_as_it_comes(server: Server, agent_id: str) -> None:
    terminal = Terminal(server, "run", agent_id, "very slow")
    try:
        until(lambda: "word5" in terminal.read())
        assert "word59" not in terminal.text
        assert "running · " in terminal.text
        assert terminal.code() == 0
        assert "word59" in terminal.text
        assert "succeeded · 1 turn" in terminal.text
    finally:
        terminal.close()


def test_control_characters_of_a_model_do_not_reach_the_terminal(server: Server, agent_id: str) -> None:
    ran = server.command("run", agent_id, "separators")
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout + ran.stderr
    terminal = Terminal(server, "run", agent_id, "separators")
    try:
        assert terminal.code() == 0
        assert "\x1b[31mred" not in terminal.text
    finally:
        terminal.close()


def test_what_waits_is_listed_allowed_and_denied(server: Server, agent_id: str, client: AgentClient) -> None:
    for verdict, said in ((("approve",), "Allowed: Bash git init"), (("deny", "not", "here"), "Denied: Bash git init")):
        run_id = server.command("run", agent_id, "ask first", "--detach").stdout.strip()
        until(lambda run_id=run_id: client.approvals(run_id))
        listed = server.command("approvals", run_id).stdout
        approval_id = listed.split("\t")[0]
        assert listed.split("\t")[1:] == [agent_id, "Bash git init asked-for", "waits\n"]
        assert json.loads(server.command("approvals", run_id, "--json").stdout)[0]["id"] == approval_id
        done = server.command(verdict[0], approval_id, *verdict[1:])
        assert (done.returncode, done.stdout.startswith(said)) == (0, True), done
        again = server.command("approve", approval_id)
        assert (again.returncode, "decided already" in again.stderr) == (3, True), again
        assert server.command("show", run_id, "--follow").returncode == 0
        assert server.command("approvals", run_id).stdout == "Nothing waits for you.\n"
    assert (server.home / "agents" / agent_id / "asked-for").is_dir()


@pytest.mark.parametrize(
    ("keys", "state", "rules"),
    [(b"y\r", "allowed by", []), (b"r\r", "allowed by", []), (b"a\r", "allowed by", ["Bash(git init *)"])],
    ids=["yes", "always in this run", "always with this agent"],
)
def test_who_follows_a_run_in_a_terminal_is_asked(
    server: Server, agent_id: str, client: AgentClient, keys: bytes, state: str, rules: list[str]
) -> None:
    terminal = Terminal(server, "run", agent_id, "ask first")
    try:
        until(lambda: "Allow it?" in terminal.read())
        assert "always would allow: Bash(git init *)" in terminal.text
        terminal.type(keys)
        assert terminal.code() == 0
        assert state in terminal.text
        assert "After that." in terminal.text
        assert client.agent(agent_id).record.allowed_tools == rules
    finally:
        terminal.close()


def test_a_denial_in_a_terminal_says_why_and_a_decision_made_elsewhere_is_told(
    server: Server, agent_id: str, client: AgentClient
) -> None:
    terminal = Terminal(server, "run", agent_id, "ask first")
    try:
        until(lambda: "Allow it?" in terminal.read())
        terminal.type(b"n\r")
        until(lambda: "What should it do instead?" in terminal.read())
        terminal.type(b"Use mercurial.\r")
        assert terminal.code() == 0
        assert "The person denied this call. They say: Use mercurial." in terminal.text
    finally:
        terminal.close()
    terminal = Terminal(server, "run", agent_id, "ask first")
    try:
        until(lambda: "Allow it?" in terminal.read())
        client.approvals()[0].allow()
        terminal.type(b"n\r\r")
        assert terminal.code() == 0
        assert "decided already" in terminal.text
    finally:
        terminal.close()


def test_files_come_in_and_go_out(server: Server, tmp_path: Path) -> None:
    ids = [f"file-{secrets.token_hex(4)}" for _ in range(2)]
    folder = tmp_path / "agents"
    (folder / "below").mkdir(parents=True)
    paths = [folder / "one.md", folder / "below" / "two.md"]
    for path, id in zip(paths, ids, strict=True):
        path.write_text(FILE.format(id=id))
    first = server.command("import", str(folder))
    assert first.returncode == 0
    assert re.findall(r"^(\w+)", first.stdout, re.MULTILINE) == ["created", "created"]
    paths[0].write_text(FILE.format(id=ids[0]).replace("You review", "You read"))
    second = json.loads(server.command("import", *map(str, paths), "--json").stdout)
    assert [(item["outcome"], item["agent"]) for item in second] == [("updated", ids[0]), ("unchanged", ids[1])]
    assert server.command("export", ids[1]).stdout == FILE.format(id=ids[1])

    out = tmp_path / "out"
    assert server.command("export", *ids, "--to", str(out)).returncode == 0
    assert (out / f"{ids[0]}.md").read_text() == paths[0].read_text()
    assert "unchanged" in server.command("export", ids[0], "--to", str(out / f"{ids[0]}.md")).stdout
    (out / f"{ids[0]}.md").write_text("mine")
    kept = server.command("export", ids[0], "--to", str(out))
    assert kept.returncode == 2
    assert "--force" in kept.stderr
    assert (out / f"{ids[0]}.md").read_text() == "mine"
    assert server.command("export", ids[0], "--to", str(out), "--force").returncode == 0
    made = server.command("create", "--from", str(paths[1]), "--id", ids[1] + "-b", "--max-turns", "3", "--json")
    assert (json.loads(made.stdout)["max_turns"], json.loads(made.stdout)["description"]) == (3, "Reviews code.")


def test_a_bad_file_is_named_and_the_others_are_taken(server: Server, tmp_path: Path) -> None:
    id = f"good-{secrets.token_hex(4)}"
    (tmp_path / "a.md").write_text("---\nname: bad\nmaxTurns: many\n---\n")
    (tmp_path / "b.md").write_text(FILE.format(id=id))
    done = server.command("import", str(tmp_path))
    assert done.returncode == 2
    assert "a.md): line 3: maxTurns: 'many'" in done.stderr
    assert done.stdout.startswith(f"created   {id}")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "nobody", "greet"], 3, "There is no agent 'nosuch'|nobody"),
        (["show", "00000000-0000-7000-8000-000000000000"], 3, "There is no run"),
        (["create"], 2, "Give a NAME"),
        (["create", "x", "--max-turns", "0"], 2, "max_turns"),
        (["create", "x", "--instructions", "@/nowhere"], 2, "/nowhere cannot be read"),
        (["import", "/nowhere.md"], 2, "/nowhere.md"),
        (["runs", "--status", "done"], 2, "'done' is no status"),
        (["export"], 2, "Name one AGENT"),
        (["list", "--workspace", "http://127.0.0.1:9"], 3, "cannot be reached"),
        (["list", "--hub", "hub.example.org"], 2, "is not an http"),
        (["list", "--hub", "http://hub.example.org"], 3, "JUPYTERHUB_API_TOKEN"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_on_stderr(
    server: Server, arguments: list[str], code: int, says: str
) -> None:
    done = server.command(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert re.search(says, done.stderr)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 5


def test_the_command_imports_nothing_heavy_at_its_start() -> None:
    heavy = ("httpx", "pydantic", "rich", "yaml", "jupyter_core", "asyncio")
    code = f"import sys, jupyterhub_agents.client.cli as c; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_workspace_alone_says_why_nothing_can_be_shared(server: Server, agent_id: str) -> None:
    refused = server.command("share", agent_id, "--person", "bob")
    assert refused.returncode == 3 and "in its home alone" in refused.stderr, refused
    assert "is shared with nobody" in server.command("share", agent_id).stdout
    assert "Nobody shares an agent with you." in server.command("shared").stdout
    assert json.loads(server.command("shared", "--json").stdout) == []
    assert server.command("unshare", agent_id).returncode == 2
    assert server.command("run", "bob/reviewer", "greet").returncode == 3
    assert server.command("copy", "reviewer").returncode == 2
