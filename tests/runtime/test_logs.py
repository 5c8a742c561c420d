"""Records with fields, as they are written."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from jupyterhub_agents.ids import new_id, new_session_id, utcnow
from jupyterhub_agents.models import Run, Trigger
from jupyterhub_agents.runtime.logs import OURS, SDK, about, failed, install


class Log:
    """A server's log, where ours and the SDK's have been put into it."""

    def __init__(self, style: str) -> None:
        self.written = io.StringIO()
        self.server = logging.getLogger(f"server-{new_id()}")
        self.server.propagate = False
        self.server.setLevel(logging.INFO)
        handler = logging.StreamHandler(self.written)
        handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
        self.server.addHandler(handler)
        install(self.server, style)

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().splitlines()


@pytest.fixture(autouse=True)
def loggers_stay() -> Iterator[None]:
    """`install` is for the life of a server; here each test has one."""
    loggers = [logging.getLogger(name) for name in (OURS, SDK)]
    before = [(logger.parent, logger.level) for logger in loggers]
    yield
    for logger, (parent, level) in zip(loggers, before, strict=True):
        logger.parent = parent
        logger.setLevel(level)


def run(owner: str = "ana") -> Run:
    id = new_id()
    return Run(
        id=id, owner=owner, agent_id="helper", agent_revision=1, trigger=Trigger.API, prompt="x",
        session_id=new_session_id(), conversation_id=id, created_at=utcnow(),
    )  # fmt: skip


def test_each_task_tells_of_its_own_run() -> None:
    log = Log("json")
    runs = [run("ana"), run("bob")]

    async def work(run: Run) -> None:
        with about(run):
            await asyncio.gather(*(asyncio.create_task(say(n)) for n in range(3)))

    async def say(n: int) -> None:
        await asyncio.sleep(0)
        logging.getLogger(f"{OURS}.somewhere").info("step", extra={"n": n})

    async def both() -> None:
        await asyncio.gather(*map(work, runs))

    asyncio.run(both())
    logging.getLogger(OURS).info("nobody's")
    *steps, last = map(json.loads, log.lines)
    assert sorted((step["run_id"], step["owner"], step["n"]) for step in steps) == sorted(
        (run.id, run.owner, n) for run in runs for n in range(3)
    )
    assert "run_id" not in last


def test_nobodys_name_can_write_a_line_of_its_own() -> None:
    log = Log("text")
    odd = run('ana\n[INFO] run ended status=succeeded owner="eve"')
    with about(odd):
        logging.getLogger(OURS).info("run started", extra={"model": None, "seconds": 1.5})
    [line] = log.lines
    assert line.startswith(f'[INFO] run started run_id={odd.id} owner="ana\\n[INFO] run ended')
    assert line.endswith(" agent_id=helper model=- seconds=1.5")


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_error_is_told_with_its_places_and_its_words_only_to_who_looks_for_faults(style: str) -> None:
    log = Log(style)
    ours = logging.getLogger(f"{OURS}.x")

    words = "canary-4711"

    def fail() -> None:
        try:
            raise ValueError(words)
        except ValueError as error:
            failed(ours, "it failed", error)

    fail()
    told = log.written.getvalue()
    assert "it failed: ValueError" in told
    assert "test_logs.py" in told
    assert "canary" not in told
    log.server.setLevel(logging.DEBUG)
    fail()
    assert "canary-4711" in log.written.getvalue()


def test_what_the_sdk_quotes_of_the_cli_is_told_only_to_who_looks_for_faults() -> None:
    log = Log("text")
    logging.getLogger(f"{SDK}._internal.query").error("Fatal error: canary-4711")
    assert log.lines == []
    log.server.setLevel(logging.DEBUG)
    install(log.server, "text")
    logging.getLogger(f"{SDK}._internal.query").error("Fatal error: canary-4711")
    assert log.lines == ["[ERROR] Fatal error: canary-4711"]
