"""For all tests: in CI a test that should run does run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator

import pytest

from tests.service.store_service import Service, running_service
from tests.store.firestore_emulator import Emulator, NoEmulator, running_emulator

CI = bool(os.environ.get("CI"))


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


@pytest.fixture(autouse=True)
def umask_stays() -> Generator[None]:
    """`configure(c)` makes the umask of its process private; in a test that is the process of all tests."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Google's Firestore emulator, for all tests that need it."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(running_emulator(tmp_path_factory.mktemp("firestore")))
        except NoEmulator as missing:
            pytest.skip(str(missing))
        yield running


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The store's API in a process of its own, with an empty store at each address that is new."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def project(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of the emulator's in which there is nothing yet; Google's clients go to the emulator."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator.address)
    return emulator.new_project()
