"""What one person does to their own workspace, on purpose or not, is no trouble of another's run, nor of the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.kubectl import Refused
from tests.cluster.runs import end_of, events, make_agent, results, start, status
from tests.cluster.script import SHIFTS
from tests.cluster.site import Site
from tests.hub.kernel import Kernel
from tests.hub.people import Person, eventually

FORK_BOMB = """
import mmap, os, time

time.sleep(2)  # until the kernel has told that this was begun
count, end = mmap.mmap(-1, 8), time.monotonic() + LIMIT_S
while time.monotonic() < end:
    number = int.from_bytes(count[:], "little")
    # An end of its own, for a cluster that does not end it; and a megabyte each, as a program of some use has.
    if number < LIMIT:
        count[:] = (number + 1).to_bytes(8, "little")
        try:
            if os.fork() == 0:
                held = bytearray(os.urandom(1 << 20))
        except OSError:
            time.sleep(0.01)
    else:
        time.sleep(0.1)
"""
LIMIT, LIMIT_S = 4000, 30

MEMORY_HOG = "held = [bytearray(b'x') * (1 << 24) for _ in range(256)]"
"""4 GiB in the end, of a workspace that may have 1.5."""

FULL_DISK = """
import os, pathlib

pathlib.Path.home().joinpath("kept.txt").write_text("kept")
file = os.open("/tmp/large", os.O_CREAT | os.O_WRONLY)
os.posix_fallocate(file, 0, SIZE)
os.close(file)
"""


class Work:
    """A run of somebody's that goes on until it is told that it is enough."""

    def __init__(self, site: Site, person: Person) -> None:
        self.site = site
        self.person = person
        make_agent(person, "worker", tools=["Bash(*)"])
        self.pod = site.pod_name(person)
        self.run = start(person, "worker", "Please work until I say.")
        eventually(lambda: self.ticks() > 0, within=90, what="the run is at work")

    def ticks(self) -> int:
        try:
            _, said = self.site.namespace.try_inside(self.pod, "wc -l < ~/agents/worker/ticks.txt")
        except Refused:
            return 0  # the cluster is busy: the next look tells
        return int(said) if said.isdigit() else 0

    def goes_on(self) -> None:
        before = eventually(self.ticks, within=60, every=0.5, what="the run's work is seen")
        eventually(lambda: self.ticks() >= before + 3, within=60, every=0.5, what="the run goes on")
        assert status(self.person, self.run) == "running"
        assert self.person.is_ready()  # as the hub says

    def enough(self) -> None:
        self.site.namespace.inside(self.pod, "sh", "-c", "touch ~/agents/worker/enough")


@pytest.fixture(scope="module")
def work(site: Site) -> Iterator[Work]:
    """Ada's, through all that her neighbours do."""
    ada = site.person("ada").spawn()
    work = Work(site, ada)
    yield work
    ada.stop()


@pytest.fixture(scope="module")
def dan(site: Site, work: Work) -> Iterator[Person]:
    """Who has filled his /tmp: the cluster takes a while to see that, in which the others make trouble."""
    dan = site.person("dan").spawn()
    with Kernel(dan) as kernel:
        kernel.execute(f"SIZE = {int(1.3 * 2**30)}\n{FULL_DISK}", within=120)
    yield dan
    dan.stop()


@pytest.fixture
def bob(site: Site, work: Work, dan: Person) -> Iterator[Person]:
    bob = site.person("bob").spawn()
    yield bob
    bob.stop()


@contextmanager
def memory(site: Site, person: Person) -> Iterator[Callable[[], bool]]:
    """Tells whether the kernel has ended a process of this person's pod because of its limit, or the whole container,
    which is then started again, unless the hub sees it sooner and takes the pod away."""
    pod = site.pod_name(person)
    counts = "cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events 2>/dev/null"
    with site.namespace.watched(pod) as states:

        def is_at_its_end() -> bool:
            if "OOMKilled" in states():
                return True
            try:
                _, said = site.namespace.try_inside(pod, counts)
            except Refused:
                return False  # there is no room for another process there: the next look tells
            return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in said.splitlines())

        yield is_at_its_end


def a_third_person_comes_and_goes(site: Site) -> None:
    site.person("cyd").spawn().stop()


def test_a_memory_hog_ends_in_its_own_pod(site: Site, work: Work, bob: Person) -> None:
    with memory(site, bob) as memory_is_at_its_end, Kernel(bob) as kernel:
        kernel.begin(MEMORY_HOG)
        eventually(memory_is_at_its_end, within=120, every=1, what="bob's memory is at its end")
    work.goes_on()


def test_a_fork_bomb_ends_in_its_own_pod(site: Site, work: Work, bob: Person) -> None:
    with memory(site, bob) as memory_is_at_its_end:
        assert not memory_is_at_its_end()
        program = f"LIMIT, LIMIT_S = {LIMIT}, {LIMIT_S}\n{FORK_BOMB}"
        code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {program!r}], start_new_session=True)"
        with Kernel(bob) as kernel:
            kernel.execute(code)
        work.goes_on()
        eventually(memory_is_at_its_end, within=4 * LIMIT_S, every=1, what="bob's memory is at its end")
    work.goes_on()
    a_third_person_comes_and_goes(site)
    bob.stop()
    bob.spawn()


def test_a_full_disk_ends_with_its_own_pod(site: Site, work: Work, dan: Person) -> None:
    dans_pod = f"jupyter-{dan.name}"
    about = f"--field-selector=reason=Evicted,involvedObject.name={dans_pod}"
    eventually(
        lambda: site.namespace.run("get", "events", about, "--output=name"),
        within=150, every=1, what="the cluster evicts dan's workspace",
    )  # fmt: skip
    work.goes_on()
    eventually(lambda: not dan.is_ready(), within=60, every=1, what="the hub knows")
    assert "large" not in site.namespace.inside(work.pod, "ls", "/tmp")  # noqa: S108 - of the pod
    dan.spawn()
    assert "large" not in site.namespace.inside(dans_pod, "ls", "/tmp")  # noqa: S108 - of the pod
    assert site.namespace.inside(dans_pod, "sh", "-c", "cat ~/kept.txt") == "kept"


def test_the_run_beside_them_comes_to_its_end_without_a_gap(work: Work) -> None:
    work.enough()
    assert end_of(work.person, work.run) == "succeeded"
    assert str(events(work.person, work.run)).count("Bash") >= SHIFTS
    assert "All shifts are done." in results(work.person, work.run)
