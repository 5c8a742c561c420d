"""For all tests: in CI a test that should run does run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from jupyterhub_agents.models import AgentSpec
from jupyterhub_agents.runtime import reaper
from jupyterhub_agents.store.firestore import FirestoreStore
from tests.service.silence import LOG, SILENCE_S, START_AND_STOP_S
from tests.service.store_service import Service, running_service
from tests.store.firestore_emulator import Emulator, NoEmulator, shared_emulator

ROOT = Path(__file__).parent.parent
BROWSER = ROOT / "tests" / "browser"
PANEL = BROWSER / "panel"
CI = bool(os.environ.get("CI"))

# In most tests Claude Code runs for a second or two. What the second of its JavaScript compilers takes is not won back
# in that time: without it a start needs a fifth less.
os.environ.setdefault("BUN_JSC_useDFGJIT", "0")


def _fail_what_was_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and nothing is skipped where CI is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_what_was_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_what_was_skipped(report)
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put two other files between each two with a browser. Workers take files in this order, and several browsers at
    once are too much for a small machine."""
    browser: list[list[pytest.Item]] = []
    other: list[list[pytest.Item]] = []
    for path, tests in itertools.groupby(items, lambda item: PANEL if PANEL in item.path.parents else item.path):
        (browser if BROWSER in path.parents else other).append(list(tests))
    turns = itertools.zip_longest(browser, other[::2], other[1::2], fillvalue=[])
    items[:] = [item for turn in turns for tests in turn for item in tests]


class FilesScheduling(LoadFileScheduling):
    """A file is one worker's, and so are all of the panel: they share a hub and a page of JupyterLab."""

    def _split_scope(self, nodeid: str) -> str:
        path: str = super()._split_scope(nodeid)
        panel = PANEL.relative_to(ROOT).as_posix()
        return panel if path.startswith(f"{panel}/") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesScheduling | None:
    return FilesScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def umask_stays() -> Generator[None]:
    """`configure(c)` makes the umask of its process private; in a test that is the process of all tests."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run of pytest, which all its workers have."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Google's Firestore emulator, one for all tests of all workers that need it."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(shared_emulator(shared_folder(tmp_path_factory)))
        except NoEmulator as missing:
            pytest.skip(str(missing))
        # In a thread, because an event loop may run in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _first_answer(running)).result()
        yield running


async def _first_answer(emulator: Emulator) -> None:
    """Java takes its time for the first of each, on a busy machine more than a store waits."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FIRESTORE_EMULATOR_HOST", emulator.address)
        async with FirestoreStore(emulator.new_project(), timeout=90) as store:
            await store.create_agent("ada", "first", AgentSpec(name="First"))
            await store.list_agents("ada")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The store's API in a process of its own, with an empty store at each address that is new."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def silence(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The folder of the long silence, which begins with the first test of all workers when the last will ask for it."""
    if not any(item.path.name == "test_silence.py" for item in request.session.items):
        yield None
        return
    folder = shared_folder(tmp_path_factory) / "silence"
    try:
        folder.mkdir()
    except FileExistsError:  # Another worker was first.
        yield folder
        return
    with (folder / LOG).open("w") as log:
        command = [sys.executable, "-IS", reaper.__file__, sys.executable, "-m", "tests.service.silence", str(folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield folder
            if not request.session.shouldstop:
                process.wait(SILENCE_S + START_AND_STOP_S)
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def project(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of the emulator's in which there is nothing yet; Google's clients go to the emulator."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator.address)
    return emulator.new_project()
