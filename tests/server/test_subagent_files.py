"""The person's agents and Claude Code's subagent files are one: what happens to either happens to the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyterhub_agents.runtime.cli import find_cli
from jupyterhub_agents.testing import ScriptedModel
from jupyterhub_agents.testing.conversation import Request
from jupyterhub_agents.testing.replies import Entry, say, use
from tests.workspace import Place, Server, StartServer

SCRIPT = [say("Hello.")]


def text(name: str, instructions: str, *fields: str) -> str:
    lines = [f"name: {name}", f"description: Use it for {name}.", *fields]
    return "---\n" + "".join(f"{line}\n" for line in lines) + f"---\n\n{instructions}\n"


def until(look: Callable[[], Any], within: float = 60) -> Any:
    """What `look` gives, once that is true."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
    return found


class Sides:
    """Both sides of the same agents: the server's and the folder's."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.folder = server.home / ".claude" / "agents"
        self.ledger = server.home / ".local/share/jupyterhub-agents/subagent-files.json"

    def agent(self, agent_id: str) -> dict[str, Any] | None:
        answer = self.server.get(f"api/agents/{agent_id}")
        return dict(answer.json()) if answer.status_code == 200 else None

    def agents(self) -> dict[str, dict[str, Any]]:
        return {agent["id"]: agent for agent in self.server.get("api/agents").json()["items"]}

    def file(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_bytes().decode()
        except FileNotFoundError:
            return None

    def names(self) -> set[str]:
        return {each.name for each in self.folder.iterdir()}

    def write(self, name: str, content: str | bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def problems(self) -> dict[str, str]:
        found = self.server.get("api/agents-health").json()["files"]
        return {str(Path(each["path"]).relative_to(self.folder)): each["message"] for each in found}

    def make(self, agent_id: str, **fields: Any) -> dict[str, Any]:
        """An agent that has its file."""
        made = self.server.agent(agent_id, **fields)
        until(lambda: self.file(f"{agent_id}.md"))
        return made

    def change(self, agent_id: str, revision: int, **fields: Any) -> dict[str, Any]:
        answer = self.server.http.patch(f"api/agents/{agent_id}", json={"revision": revision, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def said(self, agent_id: str) -> str | None:
        agent = self.agent(agent_id)
        return agent and agent["instructions"]

    def in_step(self, agent_id: str) -> bool:
        """Whether the ledger has the newest revision."""
        agent, entries = self.agent(agent_id), json.loads(self.ledger.read_text())["agents"]
        return agent is not None and entries.get(agent_id, {}).get("revision") == agent["revision"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """One server for the tests that need no start of their own; each has agents of its own."""
    place = Place(tmp_path_factory.mktemp("files"))
    with place.start(SCRIPT) as server:
        yield Sides(server)
    place.close()


def test_an_agent_has_a_private_file_that_says_what_it_is_and_follows_its_changes(shared: Sides) -> None:
    shared.make("keen", instructions="Be kind.", description="Says it kindly.", tools=["Read", "Bash(git diff:*)"])
    path = shared.folder / "keen.md"
    assert shared.file("keen.md") == (
        "---\nname: keen\ndescription: Says it kindly.\ntools: Read, Bash(git diff:*)\n---\n\nBe kind.\n"
    )
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    shared.change("keen", 1, instructions="Be strict.")
    until(lambda: "Be strict." in (shared.file("keen.md") or ""))
    restored = shared.server.post("api/agents/keen/revisions/1/restore", {"revision": 2})
    assert restored.status_code == 200
    until(lambda: "Be kind." in (shared.file("keen.md") or ""))
    assert shared.server.http.delete("api/agents/keen?revision=3").status_code == 204
    until(lambda: shared.file("keen.md") is None)
    assert not list(shared.folder.glob(".*"))


def test_an_edit_in_the_file_is_a_revision_and_the_file_stays_as_it_was_written(shared: Sides) -> None:
    shared.make("edited", instructions="One.")
    edited = "---\n# mine\nname:   edited\ndescription: 'For: edits'\ncolor: blue\n---\nTwo.\n"
    shared.write("edited.md", edited)
    until(lambda: shared.said("edited") == "Two.")
    agent = shared.agent("edited")
    assert agent is not None
    assert (agent["revision"], agent["description"], agent["front_matter"]) == (2, "For: edits", {"color": "blue"})
    until(lambda: shared.in_step("edited"))
    assert shared.file("edited.md") == edited


@pytest.mark.parametrize("way", ["vim", "truncate", "slowly"])
def test_however_an_editor_saves_one_revision_comes_of_it(shared: Sides, way: str) -> None:
    for number in range(5):
        # An editor that is held up for long in the middle has saved half a file, which rightly counts.
        if saved_without_a_break(shared, way, f"saved-{way}-{number}"):
            return
    pytest.fail("the machine was always too busy to save a file without a break")


def saved_without_a_break(shared: Sides, way: str, agent_id: str) -> bool:
    shared.make(agent_id, instructions="Before.")
    path, new = shared.folder / f"{agent_id}.md", text(agent_id, "After " + "x" * 5000)
    if way == "vim":
        (shared.folder / "4913").touch()
        (shared.folder / "4913").unlink()
        (shared.folder / f".{agent_id}.md.swp").write_bytes(b"b0VIM 9.1")
        path.rename(shared.folder / f"{agent_id}.md~")
        (shared.folder / f".#{agent_id}.md").symlink_to("ana@host.1:2")
        path.write_text(new)
    elif way == "truncate":
        path.write_text("")
        path.write_text(new)
    else:
        with path.open("w") as file:
            last, longest = time.monotonic(), 0.0
            for start in range(0, len(new), 1000):
                file.write(new[start : start + 1000])
                file.flush()
                now = time.monotonic()
                last, longest = now, max(longest, now - last)
                time.sleep(0.1)
        if longest > 0.4:
            return False
    until(lambda: str(shared.said(agent_id)).startswith("After"))
    agent = shared.agent(agent_id)
    assert agent is not None
    assert (agent["revision"], len(agent["instructions"])) == (2, 5006)
    until(lambda: not [name for name in shared.problems() if agent_id in name])
    assert not {name for name in shared.agents() if name.startswith(f"{agent_id}-")}
    return True


def test_a_new_file_makes_an_agent_whatever_its_name_its_line_ends_and_its_folder(shared: Sides) -> None:
    shared.write("any name.md", text("Ärger mit Tests", "Look closely.", "model: opus"))
    shared.write("team/inner.md", b"\xef\xbb\xbf" + text("inner", "In a\nfolder.").replace("\n", "\r\n").encode())
    found = until(lambda: shared.agent("arger-mit-tests"))
    assert (found["name"], found["model"], found["instructions"]) == ("Ärger mit Tests", "opus", "Look closely.")
    assert until(lambda: shared.agent("inner"))["instructions"] == "In a\nfolder."
    # The file keeps its name and place when the agent changes.
    shared.change("arger-mit-tests", 1, instructions="Look again.")
    shared.change("inner", 1, instructions="Still there.")
    until(lambda: "Look again." in str(shared.file("any name.md")))
    until(lambda: "Still there." in str(shared.file("team/inner.md")))
    assert shared.agent("arger-mit-tests")["name"] == "Ärger mit Tests"  # type: ignore[index]  # it is there
    assert not (shared.folder / "arger-mit-tests.md").exists()
    # In a folder below, too, an edit is seen.
    shared.write("team/inner.md", text("inner", "Seen."))
    until(lambda: shared.said("inner") == "Seen.")


def test_a_removed_file_deletes_the_agent_and_putting_it_back_brings_it_back(shared: Sides) -> None:
    shared.make("passing", instructions="Here.")
    saved = shared.file("passing.md")
    (shared.folder / "passing.md").unlink()
    until(lambda: shared.agent("passing") is None)
    assert shared.server.get("api/agents/passing?revision=1").json()["instructions"] == "Here."
    shared.write("passing.md", saved or "")
    assert until(lambda: shared.agent("passing"))["revision"] == 2


def test_a_file_that_was_moved_or_given_another_name_is_followed(shared: Sides) -> None:
    shared.make("wanderer", instructions="On the way.")
    (shared.folder / "wanderer.md").rename(shared.folder / "elsewhere.md")
    until(lambda: '"path": "elsewhere.md"' in shared.ledger.read_text())
    shared.change("wanderer", 1, instructions="Arrived.")
    until(lambda: "Arrived." in str(shared.file("elsewhere.md")))
    assert shared.file("wanderer.md") is None
    shared.write("elsewhere.md", text("settler", "Home."))
    until(lambda: shared.said("settler") == "Home.")
    until(lambda: shared.agent("wanderer") is None)


def test_what_both_sides_changed_is_kept_twice_byte_for_byte(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        sides = Sides(server)
        sides.make("reviewer", instructions="First.", name="Reviewer")
    # Both change while nothing looks, so that neither can have seen the other.
    edited = "---\n# kept: a comment\nname: reviewer\ndescription: 'Of the file'\n---\n\nThe file's \t words.  \n\n"
    (server.home / ".claude/agents/reviewer.md").write_text(edited)
    with start_server(None, "--AgentsApp.subagent_files=False") as server:
        Sides(server).change("reviewer", 1, instructions="The store's words.")
    with start_server() as server:
        sides = Sides(server)
        copy = until(lambda: sides.agent("reviewer-2"))
        assert (copy["name"], copy["instructions"]) == ("reviewer (edited in the file)", "The file's \t words.  \n")
        until(lambda: "The store's words." in str(sides.file("reviewer.md")))
        kept = until(lambda: sides.file("reviewer-2.md"))
        begin, own, end = kept.partition('jupyterhub-agents:\n  name: "reviewer (edited in the file)"\n')
        assert own
        assert begin + end == edited.replace("name: reviewer", "name: reviewer-2")
        agent = sides.agent("reviewer")
        assert agent is not None
        assert (agent["revision"], agent["instructions"]) == (2, "The store's words.")
        assert set(sides.agents()) == {"reviewer", "reviewer-2"}


def test_files_of_before_are_taken_over_at_the_first_start(start_server: StartServer) -> None:
    with start_server(SCRIPT, "--AgentsApp.subagent_files=False") as server:
        sides = Sides(server)
        server.agent("both", instructions="The store's.")
        server.agent("same", instructions="Equal.", description="Use it for same.")
        sides.write("both.md", text("both", "The file's."))
        sides.write("same.md", text("same", "Equal."))
        sides.write("mine.md", text("mine", "Only a file."))
        assert server.get("api/agents-health").json()["files"] == []
    with start_server() as server:
        sides = Sides(server)
        until(lambda: set(sides.agents()) == {"both", "both-2", "same", "mine"})
        until(lambda: sides.names() == {"both.md", "both-2.md", "same.md", "mine.md"})
        assert [sides.said(each) for each in ("both", "both-2", "mine")] == [
            "The store's.", "The file's.", "Only a file.",
        ]  # fmt: skip
        assert all(agent["revision"] == 1 for agent in sides.agents().values())


def test_a_lost_home_deletes_no_agent(start_server: StartServer) -> None:
    agents = {f"agent-{number}" for number in range(6)}
    files = [f"{agent_id}.md" for agent_id in agents]
    with start_server(SCRIPT) as server:
        sides = Sides(server)
        for agent_id in agents:
            sides.make(agent_id)
        until(lambda: all(map(sides.in_step, agents)))
        shutil.rmtree(sides.folder.parent)
        until(lambda: all(map(sides.file, files)))
        assert set(sides.agents()) == agents
        server.stop()
        shutil.rmtree(sides.folder.parent)
    with start_server() as server:
        sides = Sides(server)
        until(lambda: all(map(sides.file, files)))
        assert set(sides.agents()) == agents
        # And it goes on as before.
        sides.write("agent-1.md", text("agent-1", "Again in step."))
        until(lambda: sides.said("agent-1") == "Again in step.")


def spoil(path: Path, how: str) -> None:
    path.unlink()
    match how:
        case "no front matter":
            path.write_text("Just words.\n")
        case "wrong YAML":
            path.write_text("---\nname: [\n---\n")
        case "unknown mode":
            path.write_text(text(path.stem, "x", "permissionMode: anything"))
        case "too large":
            path.write_text(text(path.stem, "x" * 5_000_000))
        case "not UTF-8":
            path.write_bytes(text(path.stem, "x").encode() + b"\xff\xfe")
        case "a link":
            (path.parent.parent / "out.md").write_text(text(path.stem, "From outside."))
            path.symlink_to(path.parent.parent / "out.md")
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "empty":
            path.touch()


@pytest.mark.parametrize(
    "how",
    [
        *("no front matter", "wrong YAML", "unknown mode", "too large", "not UTF-8"),
        *("a link", "a folder", "a pipe", "empty"),
    ],
)
def test_a_file_that_is_none_is_left_alone_and_counts_when_it_is_mended(shared: Sides, how: str) -> None:
    agent_id = "spoilt-" + how.lower().replace(" ", "-")
    shared.make(agent_id, instructions="Kept.")
    until(lambda: shared.in_step(agent_id))
    path = shared.folder / f"{agent_id}.md"
    spoil(path, how)
    is_file = path.is_file()
    before = path.lstat()
    message = until(lambda: shared.problems().get(path.name))
    assert message.endswith(".")
    assert shared.server.get("api/agents-health").status_code == 200
    shared.make(f"{agent_id}-witness")  # a whole look later, nothing has come of it
    assert shared.said(agent_id) == "Kept."
    assert (path.lstat().st_ino, path.lstat().st_mtime_ns, path.is_file()) == (
        before.st_ino, before.st_mtime_ns, is_file,
    )  # fmt: skip
    assert shared.server.log.read_text().count(f"{path} is not kept in step") == 1
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_text(text(agent_id, "Mended."))
    until(lambda: shared.said(agent_id) == "Mended.")
    until(lambda: path.name not in shared.problems())
    assert shared.agent(agent_id)["revision"] == 2  # type: ignore[index]  # it is there


def test_of_two_files_with_one_name_the_first_counts_and_the_other_is_shown(shared: Sides) -> None:
    shared.make("twin", instructions="The first.")
    shared.write("copy.md", text("twin", "The second."))
    assert "twin.md" in until(lambda: shared.problems().get("copy.md"))
    assert shared.said("twin") == "The first."
    shared.write("copy.md", text("sibling", "The second."))
    until(lambda: shared.said("sibling") == "The second.")
    until(lambda: "copy.md" not in shared.problems())


def test_the_log_has_nothing_of_what_files_say(shared: Sides) -> None:
    shared.write("secret.md", text("secret", "x", "permissionMode: hunter2-in-the-wrong-place"))
    assert "hunter2" in until(lambda: shared.problems().get("secret.md"))
    assert "hunter2" not in shared.server.log.read_text()


def test_switched_off_it_leaves_files_alone(start_server: StartServer) -> None:
    with start_server(SCRIPT, "--AgentsApp.subagent_files=False") as server:
        sides = Sides(server)
        server.agent("helper")
        assert server.get("api/agents-health").json()["files"] == []
        assert not sides.folder.exists()
        assert not sides.ledger.exists()


def test_of_two_servers_in_one_home_one_keeps_the_files(start_server: StartServer) -> None:
    with start_server(SCRIPT) as first:
        sides = Sides(first)
        sides.make("mine")
        with start_server() as second:
            assert second.get("api/agents-health").status_code == 200
            sides.write("mine.md", text("mine", "Edited once."))
            until(lambda: sides.said("mine") == "Edited once.")
            assert sides.agent("mine")["revision"] == 2  # type: ignore[index]  # it is there
            assert "another server works in this home" in first.log.read_text()


def test_it_stops_with_the_server_and_idles_without_work(start_server: StartServer) -> None:
    with start_server(SCRIPT) as server:
        sides = Sides(server)
        for number in range(20):
            sides.make(f"agent-{number}")
        process = psutil.Process(server.process.pid)

        def used() -> float:
            times = process.cpu_times()
            return float(times.user + times.system)

        # An idle Jupyter server uses less than a hundredth of a second each second; the loop ends as it is quiet once.
        def is_idle() -> bool:
            before = used()
            time.sleep(2)
            return used() - before <= 0.06

        until(is_idle)
        server.stop()
        assert server.process.returncode == 0


def delegating(request: Request) -> list[Entry]:
    """The main agent hands over to the subagent that the prompt names."""
    _, found, rest = request.prompt.partition("Delegate to ")
    if not found:
        return [say("Done below.")]
    task = {"subagent_type": rest.split()[0], "description": "a task", "prompt": "The task.",
            "run_in_background": False}  # fmt: skip
    return [use("Agent", task), say("Done.")]


def told(model: ScriptedModel) -> list[str]:
    """The system prompts of subagents."""
    return [json.dumps(each.body["system"]) for each in model.messages if each.prompt.endswith("The task.")]


def claude(server: Server, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {
        **{"PATH": os.environ["PATH"], "HOME": str(server.home), "IS_SANDBOX": "1"},
        **{"CLAUDE_CONFIG_DIR": str(server.home / ".claude")},
        **server.model.env(),
    }
    return [str(find_cli()), "-p", *arguments], environment


def test_the_terminals_claude_delegates_to_an_agent_made_over_the_api(server: Server) -> None:
    server.model.script = delegating
    Sides(server).make("rhymer", instructions="Rhyme on everything you see.")
    command, environment = claude(server, "Delegate to rhymer now")
    done = subprocess.run(command, env=environment, cwd=server.home, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert any("Rhyme on everything you see." in system for system in told(server.model))


def test_a_claude_that_runs_already_finds_new_and_changed_agents(server: Server) -> None:
    """What docs/terminal.md says of a session that is open."""
    server.model.script = delegating
    sides = Sides(server)
    sides.make("poet", instructions="Rhyme.")
    arguments = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
    command, environment = claude(server, *arguments)
    with subprocess.Popen(
        command, env=environment, cwd=server.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def turn(prompt: str) -> list[str]:
            """The agents that the turn began with."""
            message = {"type": "user", "message": {"role": "user", "content": prompt}}
            print(json.dumps(message), file=process.stdin, flush=True)
            agents: list[str] = []
            for line in process.stdout or ():
                said = json.loads(line)
                if said.get("subtype") == "init":
                    agents = said["agents"]
                if said["type"] == "result":
                    break
            return agents

        try:
            assert "poet" in turn("Delegate to poet now")
            server.agent("painter", instructions="Paint.")
            sides.change("poet", 1, instructions="No rhymes any more.")
            until(lambda: "painter" in turn("Anything new?"))
            until(lambda: turn("Delegate to poet now") and "No rhymes any more." in told(server.model)[-1])
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()
