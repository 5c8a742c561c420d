"""Agents in a notebook: the magics, the shown runs, many runs, functions as tools; in real kernels."""

from __future__ import annotations

import functools
import operator
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from jupyterhub_agents.client import AgentClient
from jupyterhub_agents.models import RunStatus, Trigger
from jupyterhub_agents.testing.scripted_model import Request, ScriptedModel, say, think, use

from .conftest import Server, until

HOSTILE = "<script>alert(1)</script> ![x](http://evil.example/?q) [y](javascript:alert(1)) **bold**"


def classify(request: Request) -> Any:
    """The word that the prompt is about, at once; `bad` is no word."""
    word = request.prompt.rsplit("word: ", 1)[1].split()[0]
    return say(f"{word} is a noun.")


SCRIPT: dict[str, Any] = {
    "write hello": [
        think("First a file.")
        + say("I write **it** first.")
        + use("Write", {"file_path": "hello.py", "content": "print('hello')\n"}),
        use("Bash", {"command": "python3 hello.py"}),
        say("It prints `hello`."),
    ],
    "again": [say("Once more, then.")],
    "be hostile": [use("Bash", {"command": "python3 -c 'print(\"<b onclick=x>\")'"}), say(HOSTILE)],
    "count rows": [use("mcp__notebook__count_rows", {"table": "orders"}), say("There are 3 rows.")],
    "look around": [
        functools.reduce(operator.add, (use("Glob", {"pattern": f"*.{number}"}) for number in range(80))),
        say("Nothing."),
    ],
    "word:": classify,
    "endless": [say("I wait.") + use("Bash", {"command": "python3 -c 'import time; time.sleep(300)'"}), say("Never.")],
    "ask first": [use("Bash", {"command": "git init asked-for"}), say("After that.")],
    "very slowly": [say(" ".join(f"word{number}" for number in range(40))).paced(0.2)],
    "slowly": [say(" ".join(f"word{number}" for number in range(40))).paced(0.05)],
}

CELLS: dict[str, str] = {
    "load": "%load_ext jupyterhub_agents",
    "help": "%agents --help",
    "agent-help": "%agent --help",
    "make": '%%agents new Maker --tool Write --tool "Bash(python3 *)" --permission-mode acceptEdits\nYou make files.',
    "list": "%agents",
    "run": "%%agent maker --out said --run made\nPlease write hello, and run it.",
    "variables": "print(said); print(made.status, made.turns > 0)",
    "shown": "made",
    "reply": "%agent maker 'do it again' --continue",
    "replied": "print(agent_result, agent_run.record.continues == made.id)",
    "hostile": "%%agent maker\nbe hostile",
    "function": (
        "rows = {'orders': [1, 2, 3]}\n"
        "def count_rows(table: str) -> int:\n"
        "    '''How many rows a table has.'''\n"
        "    print('counting', table)\n"
        "    return len(rows[table])\n"
    ),
    "tool": "%agents new Counter --allow mcp__notebook__count_rows",
    "call": "%%agent counter --tool count_rows\ncount rows",
    "long": "%agent counter look around",
    "unknown": "%%agent nobody\nx",
    "typo": "%%agent maker --colour red\nx",
    "empty": "%agent maker",
    "background": "%%agent maker --background --run quiet\nslowly",
    "awaited": "quiet.wait(60).status",
    "many": (
        "from jupyterhub_agents.client import AgentClient\n"
        "client = AgentClient()\n"
        "import pandas as pd\n"
        "words = pd.Series(['tea', 'cup', 'pot'], index=['a', 'b', 'c'])\n"
        "results = client.run_many('maker', 'word: ' + words, concurrency=2)\n"
        "results"
    ),
    "frame": "frame = results.to_dataframe(); print(frame.loc['b', 'result'], list(frame.status)); frame",
    "async": (
        "from jupyterhub_agents.client import AsyncAgentClient\n"
        "beside = AsyncAgentClient()\n"
        "run = await beside.run('maker', 'word: jam')\n"
        "display(run)\n"
        "print(await run.result())\n"
        "print([item.result for item in await beside.run_many('maker', ['word: salt'], progress=False)])\n"
        "await beside.close()"
    ),
    "connect": "%agents connect",
    "runs": "%agents runs maker --limit 3",
    "close": "client.close(); quiet._client.close()\n%unload_ext jupyterhub_agents",
    "threads": "import threading; print([t.name for t in threading.enumerate() if 'agents' in t.name])",
}
FAILING = ("unknown", "typo", "empty")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ScriptedModel(SCRIPT) as model:
        server = Server(tmp_path_factory.mktemp("notebook"), model)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def executed(server: Server) -> dict[str, Any]:
    """The cells of a notebook that was executed once from top to bottom, by their ids."""
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]  # nbformat's
    for name, source in CELLS.items():
        cell = nbformat.v4.new_code_cell(source, id=name)  # type: ignore[no-untyped-call]  # nbformat's
        cell.metadata["tags"] = ["raises-exception"] if name in FAILING else []
        notebook.cells.append(cell)
    folder = {"metadata": {"path": str(server.home)}}
    NotebookClient(notebook, timeout=120, resources=folder).execute(env=server.env)
    return {cell["id"]: cell for cell in notebook.cells}


def html(cell: Any) -> str:
    return "\n".join(output["data"].get("text/html", "") for output in cell["outputs"] if "data" in output)


def plain(cell: Any) -> str:
    """What a frontend without HTML shows."""
    text = ""
    for output in cell["outputs"]:
        text += output.get("text", "") or output.get("data", {}).get("text/plain", "") or output.get("evalue", "")
        text += "\n"
    return text


def test_a_cell_shows_a_run_as_parts_in_their_order(executed: dict[str, Any]) -> None:
    shown = [output["data"]["text/html"] for output in executed["run"]["outputs"] if "data" in output]
    head, *parts = shown
    assert "maker" in head
    assert "succeeded" in head
    assert "$" in head
    kinds = ["Thought", "<strong>it</strong>", "<b>Write</b>", "<b>Bash</b>", "<code>hello</code>"]
    assert len(parts) == len(kinds)
    for kind, part in zip(kinds, parts, strict=True):
        assert kind in part
    assert parts[3].startswith("<details")
    assert " open" not in parts[3]
    assert "<pre" in parts[3]
    assert "hello</pre>" in parts[3]
    text = plain(executed["run"])
    assert "● Bash python3 hello.py" in text
    assert "It prints `hello`." in text


def test_the_result_lands_in_variables(executed: dict[str, Any], server: Server) -> None:
    assert plain(executed["variables"]).split("\n")[:2] == ["It prints `hello`.", "succeeded True"]
    with server.client() as client:
        assert {run.record.trigger for run in client.runs("maker")} == {Trigger.NOTEBOOK}
    assert plain(executed["replied"]).startswith("Once more, then. True")


def test_agents_and_runs_are_tables(executed: dict[str, Any], server: Server) -> None:
    assert "<td>maker</td>" in html(executed["list"])
    assert "<agent 'maker', revision 1: Maker>" in plain(executed["list"])
    assert "<td>maker</td>" in html(executed["connect"])
    assert html(executed["runs"]).count("<tr>") == 4
    with server.client() as client:
        assert client.agent("maker").instructions == "You make files."


def test_help_and_mistakes_are_told_in_the_cell(executed: dict[str, Any]) -> None:
    assert "%agents allow APPROVAL" in plain(executed["help"])
    assert "--tool FUNCTION" in plain(executed["agent-help"])
    [unknown] = executed["unknown"]["outputs"]
    assert unknown["ename"] == "NotFound"
    assert len(unknown["traceback"]) == 1
    assert "nobody" in unknown["traceback"][0]
    assert "--colour" in str(executed["typo"]["outputs"])
    assert "Write what the agent should do" in str(executed["empty"]["outputs"])


def test_no_text_of_the_model_becomes_html(executed: dict[str, Any]) -> None:
    shown = html(executed["hostile"])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "&lt;b onclick=x&gt;" in shown
    assert "<strong>bold</strong>" in shown
    for bad in ("<script", "<img", "<b onclick", 'href="javascript'):
        assert bad not in shown


def test_a_function_of_the_notebook_is_called_and_prints_into_the_cell(executed: dict[str, Any]) -> None:
    assert "counting orders" in plain(executed["call"])
    assert "There are 3 rows." in html(executed["call"])
    assert "count_rows" in html(executed["call"])
    assert "(table=&#x27;orders&#x27;)" in html(executed["call"])


def test_a_long_run_has_no_more_outputs_than_jupyterlab_shows(executed: dict[str, Any]) -> None:
    shown = html(executed["long"])
    assert [shown.count(f"*.{number}<") > 0 for number in range(80)] == [True] * 80
    assert len(executed["long"]["outputs"]) < 50
    assert shown.index("*.79<") < shown.index("Nothing.")


def test_a_run_that_has_ended_is_shown_as_it_ended(executed: dict[str, Any]) -> None:
    assert "succeeded" in html(executed["shown"])
    assert "<code>hello</code>" in html(executed["shown"])


def test_many_runs_have_a_bar_a_table_and_a_data_frame(executed: dict[str, Any]) -> None:
    assert "3/3" in plain(executed["many"])
    assert "cup is a noun." in html(executed["many"])
    assert plain(executed["frame"]).startswith("cup is a noun. ['succeeded', 'succeeded', 'succeeded']")


def test_the_async_client_works_in_cells(executed: dict[str, Any]) -> None:
    assert "jam is a noun." in plain(executed["async"])
    assert "['salt is a noun.']" in plain(executed["async"])


def test_unloaded_it_leaves_no_thread(executed: dict[str, Any]) -> None:
    assert plain(executed["threads"]).strip() == "[]"


# In a kernel of one's own, as a person sits at it


class Kernel:
    """A kernel, and what came of its cells."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.prompts: queue.SimpleQueue[str] = queue.SimpleQueue()

    def run(self, code: str, answer: Callable[[str], str | None] | None = None) -> list[dict[str, Any]]:
        """Execute a cell. `answer` is the person: what they type at a prompt, None for nothing at all. Displays are as
        they were last drawn."""
        outputs: list[dict[str, Any]] = []

        def take(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            place = content.get("transient", {}).get("display_id")
            if kind == "update_display_data":
                for output in outputs:
                    if output.get("transient", {}).get("display_id") == place:
                        output["data"] = content["data"]
            elif kind in ("display_data", "stream", "error", "execute_result"):
                outputs.append(content)

        def typed(message: dict[str, Any]) -> None:
            self.prompts.put(message["content"]["prompt"])
            assert answer is not None
            if (said := answer(message["content"]["prompt"])) is not None:
                self.client.input(said)

        self.client.execute_interactive(
            code, allow_stdin=answer is not None, output_hook=take, stdin_hook=typed, timeout=90
        )
        return outputs

    def interrupt(self) -> None:
        """As the stop button does."""
        os.kill(self.manager.provisioner.pid, signal.SIGINT)  # type: ignore[union-attr]  # it runs

    def html(self, outputs: list[dict[str, Any]]) -> str:
        return "\n".join(output.get("data", {}).get("text/html", "") for output in outputs)


@pytest.fixture(scope="module")
def kernel(server: Server) -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=server.env, cwd=str(server.home))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        kernel = Kernel(manager, client)
        outputs = kernel.run("%load_ext jupyterhub_agents\n%agents new Asker --tool Bash")
        assert "Asker" in kernel.html(outputs), outputs
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def client(server: Server) -> Iterator[AgentClient]:
    with server.client() as client:
        yield client


def in_a_moment(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_an_interrupt_cancels_the_run(kernel: Kernel, client: AgentClient) -> None:
    def interrupt() -> None:
        run = until(lambda: next(iter(client.runs("asker", status="running")), None))
        until(lambda: any("sleep" in str(event.payload) for event in run.history()))
        kernel.interrupt()

    kernel.run("%agents new Waiter --id waiter --allow 'Bash(python3 *)'")
    client.agent("asker").update(allowed_tools=["Bash(python3 *)"])
    person = in_a_moment(interrupt)
    outputs = kernel.run("%%agent asker\nendless")
    person.join()
    assert outputs[-1]["ename"] == "KeyboardInterrupt"
    assert outputs[-1]["traceback"] == ["KeyboardInterrupt: Interrupted: the run was cancelled."]
    assert "cancelled" in kernel.html(outputs)
    assert client.runs("asker")[0].status is RunStatus.CANCELLED


def test_a_person_allows_a_call_in_the_cell(kernel: Kernel, client: AgentClient, server: Server) -> None:
    answers = iter(["what?", "y"])
    outputs = kernel.run("%%agent asker\nask first", answer=lambda prompt: next(answers))
    assert "Bash git init asked-for" in kernel.prompts.get(timeout=5)
    assert "After that." in kernel.html(outputs)
    assert "allowed by" in kernel.html(outputs)
    assert (server.home / "agents" / "asker" / "asked-for").is_dir()
    kernel.prompts.get(timeout=5)


def test_a_person_denies_a_call_with_words(kernel: Kernel, client: AgentClient) -> None:
    outputs = kernel.run("%%agent asker\nask first", answer=lambda prompt: "n not here, please")
    assert "denied by" in kernel.html(outputs)
    [approval] = client.runs("asker")[0].approvals(waiting=None)
    assert approval.record.message == "not here, please"
    kernel.prompts.get(timeout=5)


def test_a_prompt_ends_when_it_was_decided_elsewhere(kernel: Kernel, client: AgentClient) -> None:
    def decide() -> None:
        kernel.prompts.get(timeout=60)
        [approval] = until(lambda: client.approvals())
        approval.allow()

    person = in_a_moment(decide)
    outputs = kernel.run("%%agent asker\nask first", answer=lambda prompt: None)
    person.join()
    assert "After that." in kernel.html(outputs)
    assert "Press Enter in the box above" in kernel.html(outputs)
    assert kernel.run("1 + 1")[0]["data"]["text/plain"] == "2"


def test_where_a_cell_takes_no_input_it_says_where_to_answer(kernel: Kernel, client: AgentClient) -> None:
    seen: list[str] = []

    def decide() -> None:
        [approval] = until(lambda: client.approvals())
        seen.append(approval.id)
        approval.deny()

    person = in_a_moment(decide)
    outputs = kernel.run("%%agent asker\nask first")
    person.join()
    assert "denied by" in kernel.html(outputs)
    again = in_a_moment(lambda: (until(lambda: client.approvals()), kernel.interrupt()))
    outputs = kernel.run("%%agent asker\nask first")
    again.join()
    assert client.runs("asker")[0].status is RunStatus.CANCELLED
    shown = "\n".join(part for part in [kernel.html(outputs)])
    assert "cancelled" in shown


def test_a_run_shows_live_while_the_notebook_goes_on(kernel: Kernel) -> None:
    """The cell that started it is done at once; what it shows goes on to the end all the same."""
    [shown] = kernel.run("%agent asker very slowly --background --run quiet")
    place = shown["transient"]["display_id"]
    drawn: list[str] = []
    while "succeeded" not in "".join(drawn[-1:]):
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "update_display_data" and message["content"]["transient"]["display_id"] == place:
            drawn.append(message["content"]["data"]["text/html"])
    assert "word39" in drawn[-1]
    assert any("running…" in html and "word3" in html and "word39" not in html for html in drawn)


def test_agents_names_are_completed(kernel: Kernel) -> None:
    def completions(code: str) -> list[str]:
        return list(kernel.client.complete(code, reply=True, timeout=30)["content"]["matches"])

    assert "asker" in completions("%%agent as")
    assert "asker" in completions("%agents show as")
    assert "approvals" in completions("%agents app")
    kernel.run("def lookup(x: int) -> int: ...")
    assert "lookup" in completions("%%agent asker --tool loo")


def test_an_interrupt_cancels_all_of_many_runs_and_keeps_the_rest(kernel: Kernel, client: AgentClient) -> None:
    before = {run.id for run in client.runs("waiter")}

    def interrupt() -> None:
        until(
            lambda: [run.prompt for run in client.runs("waiter") if run.status is RunStatus.RUNNING] == ["endless"] * 2,
            40,
        )
        kernel.interrupt()

    person = in_a_moment(interrupt)
    outputs = kernel.run(
        "from jupyterhub_agents.client import AgentClient\n"
        "with AgentClient() as client:\n"
        "    client.run_many('waiter', ['word: tea', 'endless', 'endless', 'word: cup'], concurrency=2)"
    )
    person.join()
    assert outputs[-1]["ename"] == "RunsInterrupted"
    states = kernel.run("import sys; print([item.status for item in sys.last_value.results])")[-1]["text"]
    assert states.strip() == "['succeeded', 'cancelled', 'cancelled', 'not started']"
    assert {run.status for run in client.runs("waiter") if run.id not in before} == {
        RunStatus.SUCCEEDED,
        RunStatus.CANCELLED,
    }


def test_errors_of_many_runs_are_kept_with_their_prompts(client: AgentClient) -> None:
    client.save_agent("brief", name="Brief", max_turns=1, permission_mode="acceptEdits")
    results = client.run_many("brief", {"good": "word: tea", "bad": "write hello"}, progress=False)
    assert [(item.key, item.ok) for item in results] == [("good", True), ("bad", False)]
    [failed] = results.failed
    assert failed.error
    assert failed.row()["status"] == "failed"
    assert "bad" in results._repr_html_()
    assert client.run_many("brief", [], progress=False).to_dataframe().empty
    missing = client.run_many("nobody", ["word: tea"], progress=False)
    assert "nobody" in str(missing[0].error)


def test_no_more_run_at_once_than_was_said(client: AgentClient) -> None:
    client.save_agent("steady", name="Steady")
    most = 0
    done = threading.Event()

    def look() -> None:
        nonlocal most
        with AgentClient(workspace_url=client._place.url, token=client._place.token) as other:  # type: ignore[union-attr]  # a workspace
            while not done.is_set():
                most = max(most, len([run for run in other.runs("steady") if not run.status.is_final]))
                time.sleep(0.02)

    looking = in_a_moment(look)
    try:
        client.run_many("steady", ["slowly"] * 3, concurrency=2, progress=False)
    finally:
        done.set()
        looking.join()
    assert most == 2


def test_without_pandas_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("raise ImportError('not here')")
    code = "from jupyterhub_agents.client.many import Results; Results([]).to_dataframe()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert "%pip install pandas" in done.stderr
