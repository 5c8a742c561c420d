"""The demo model drives the real CLI's tools, and dies with what started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from jupyterhub_agents.testing.demo_model import DEMO_MODEL, DEMO_NOTICE, KEY_VARIABLE, DemoModel
from jupyterhub_agents.testing.model_server import ModelServer

if TYPE_CHECKING:
    from .conftest import Converse, Turn

COMMAND = [sys.executable, "-m", "jupyterhub_agents.testing.demo_model"]


def answers(turns: list[Turn]) -> list[str]:
    """The last words of each turn, which all say what they come from."""
    texts = [turn.result.result or "" for turn in turns]
    assert all(text.startswith(DEMO_NOTICE) for text in texts)
    return [text.removeprefix(DEMO_NOTICE).strip() for text in texts]


def test_it_writes_a_program_and_runs_it(converse: Converse, folder: Path) -> None:
    with DemoModel() as model:
        (turn,) = converse(model, "Write fib.py and run it")
    (answer,) = answers([turn])
    assert (folder / "fib.py").exists()
    assert "0 1 1 2 3 5 8 13" in answer
    assert turn.texts[:2] == ["I write `fib.py`.", "I run `python3 fib.py`."]


def test_it_says_plainly_what_it_is_and_costs_nothing(converse: Converse) -> None:
    with DemoModel() as model:
        (turn,) = converse(model, "Explain quantum physics")
    assert "no AI" in (turn.result.result or "")
    assert "List the files here." in (turn.result.result or "")
    assert turn.result.total_cost_usd == 0
    assert {message.model for message in turn.messages if hasattr(message, "model")} == {DEMO_MODEL}
    assert len(turn.deltas) > 20


def test_it_works_with_files(converse: Converse, folder: Path) -> None:
    (folder / "list.txt").write_text("apples\nPears and pears\n")
    with DemoModel() as model:
        listed, replaced, added, shown, counted, found = answers(
            converse(
                model,
                "What files are here?",
                "In list.txt replace pears with plums.",
                'Add the line "salt" to list.txt',
                "Show list.txt",
                "Count the files here",
                'Find "salt" here',
            )
        )
    assert listed == "1 entry here: `list.txt`."
    assert (folder / "list.txt").read_text() == "apples\nPears and plums\nsalt\n"
    assert "(1 time)" in replaced
    assert "now has 3 lines" in added
    assert "apples\nPears and plums\nsalt" in shown
    assert counted.startswith("1 file here, 3 lines and 28 bytes in all")
    assert "list.txt:3:salt" in found


def test_it_reviews_a_program_by_its_text(converse: Converse, folder: Path) -> None:
    (folder / "a.py").write_text("def f():\n    try:\n        pass\n    except:\n        pass  # TODO better\n")
    (folder / "b.py").write_text("def f(:\n")
    with DemoModel() as model:
        first, second = answers(converse(model, "Review a.py", "Review b.py"))
    assert "5 lines, 1 function, 0 classes" in first
    assert "no docstring: `f`" in first
    assert "line 4: a bare `except`" in first
    assert "line 5: pass  # TODO better" in first
    assert "not valid Python" in second


def test_it_stops_where_a_tool_fails(converse: Converse, folder: Path) -> None:
    with DemoModel() as model:
        turns = converse(model, "Show none.txt and list the files", "Run `exit 3`, then list the files")
        missing, failed = answers(turns)
        (refused,) = answers(converse(model, "Write a.txt and show it", allowed_tools=["Read"]))
        (bare,) = answers(converse(model, "List the files", tools=["Read"]))
    assert "File does not exist" in missing
    assert "Exit code 3" in failed
    assert "permission" in refused
    assert "the tool Bash, which this agent does not have" in bare
    assert all(answer.endswith("I stopped here.") for answer in (missing, failed, refused, bare))
    assert not (folder / "a.txt").exists()


@pytest.mark.parametrize(
    ("prompt", "name", "content"),
    [
        ("Create todo.txt with the text 'buy milk'", "todo.txt", "buy milk\n"),
        ("Write hello.py that prints 'Good day'", "hello.py", 'print("Good day")\n'),
        ("Write a note about the sea", "the_sea.md", "# The sea\n"),
        ("Write a python script that prints the primes", "primes.py", "def is_prime("),
        ("Make a notebook about sales", "sales.ipynb", "# Sales"),
    ],
)
def test_it_finds_a_name_and_a_content(post_prompt: PostPrompt, prompt: str, name: str, content: str) -> None:
    with DemoModel() as model:
        call = post_prompt(model, prompt)
    assert call["input"]["file_path"] == f"/home/ana/{name}"
    assert content in call["input"]["content"]


class PostPrompt:
    """Asks a model as the CLI would, and gives the tool call of its answer."""

    def __call__(self, model: ModelServer, prompt: str) -> dict[str, dict[str, str]]:
        body = {
            "model": "m", "max_tokens": 9, "system": "- Primary working directory: /home/ana",
            "tools": [{"name": "Write"}], "messages": [{"role": "user", "content": prompt}],
        }  # fmt: skip
        content = httpx.post(f"{model.url}/v1/messages", json=body, timeout=20).json()["content"]
        return next(block for block in content if block["type"] == "tool_use")


@pytest.fixture
def post_prompt() -> PostPrompt:
    return PostPrompt()


def test_it_keeps_nothing_of_what_it_was_asked(post_prompt: PostPrompt) -> None:
    with DemoModel(keep_requests=False) as model:
        post_prompt(model, "Write a.txt")
        assert not model.requests


def start(*arguments: str, **env: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline()


def stop(process: subprocess.Popen[str], signal_number: int = signal.SIGTERM) -> int:
    process.send_signal(signal_number)
    assert process.stdout is not None
    with process.stdout:
        return process.wait(60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_program_it_says_where_it_is_and_ends_when_told(number: signal.Signals) -> None:
    process, line = start(**{KEY_VARIABLE: "the-key"})
    try:
        url = line.split()[3].rstrip(".")
        assert DEMO_NOTICE in line
        assert "the-key" not in line
        assert httpx.get(f"{url}/v1/models", timeout=60).status_code == 401
        answer = httpx.get(f"{url}/v1/models", headers={"x-api-key": "the-key"}, timeout=60)
        assert answer.json()["data"][0]["id"] == DEMO_MODEL
    finally:
        assert stop(process, number) == 0


def test_as_a_program_it_says_in_one_line_that_its_port_is_taken() -> None:
    process, line = start()
    try:
        port = line.split()[3].rstrip(".").rpartition(":")[2]
        second = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60)
    finally:
        stop(process)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in second.stderr


def test_as_a_program_it_dies_with_its_parent() -> None:
    parent_program = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen({COMMAND!r}, stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run([sys.executable, "-c", parent_program], capture_output=True, text=True, timeout=60)
    child = int(parent.stdout)
    deadline = time.monotonic() + 60
    with suppress(psutil.NoSuchProcess):  # it has ended
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the demo model outlived its parent"
            time.sleep(0.05)
