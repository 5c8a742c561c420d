"""Nothing is left under the reaper, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jupyterhub_agents.runtime.cli import LAUNCHER, REAPER, cli_environment

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: prctl")

# A program that leaves a daemon: forked twice, in a session of its own, deaf to SIGTERM and SIGHUP.
DAEMON = textwrap.dedent("""
    import os, signal, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            open(sys.argv[1], "w").write(str(os.getpid()) + "\\n")
            time.sleep(600)
        os._exit(0)
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    exec(sys.argv[2])
""")


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def daemon_pid(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def command(pid_file: Path, then: str) -> list[str]:
    return [sys.executable, "-IS", str(REAPER), sys.executable, "-c", DAEMON, str(pid_file), then]


def test_it_answers_with_the_programs_output_and_status(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-IS", str(REAPER), "sh", "-c", "cat; exit 7"], input=b"words", capture_output=True, timeout=60
    )
    assert (done.stdout, done.returncode) == (b"words", 7)


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-IS", str(REAPER), "/no/such"], capture_output=True, timeout=60)
    assert done.returncode == 127
    assert b"/no/such" in done.stderr


def test_a_daemon_does_not_outlive_the_programs_own_end(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path / "pid", "sys.exit(3)"), timeout=20)
    assert done.returncode == 3
    assert gone(daemon_pid(tmp_path / "pid"))


def test_sigterm_ends_a_program_that_does_not_listen_and_its_daemon(tmp_path: Path) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    with subprocess.Popen(
        command(tmp_path / "pid", deaf), env=os.environ | {"JUPYTERHUB_AGENTS_REAPER_GRACE": "0.2"}
    ) as reaper:
        daemon = daemon_pid(tmp_path / "pid")
        below = [p.pid for p in psutil.Process(reaper.pid).children(recursive=True)]
        assert len(below) >= 2
        started = time.monotonic()
        reaper.send_signal(signal.SIGTERM)
        reaper.wait(60)
        assert time.monotonic() - started < 2
        wait_for(lambda: all(gone(pid) for pid in [daemon, *below]))


@pytest.mark.parametrize("who", ["parent", "reaper"])
def test_a_killed_parent_or_reaper_takes_the_program_along(tmp_path: Path, who: str) -> None:
    starter = f"import subprocess; subprocess.run({command(tmp_path / 'pid', 'time.sleep(600)')!r})"
    with subprocess.Popen([sys.executable, "-c", starter]) as parent:
        daemon = daemon_pid(tmp_path / "pid")
        reaper = psutil.Process(parent.pid).children()[0]
        program = reaper.children()[0].pid
        victim = parent.pid if who == "parent" else reaper.pid
        os.kill(victim, signal.SIGKILL)
        try:
            wait_for(lambda: gone(program))
            if who == "parent":
                wait_for(lambda: gone(reaper.pid) and gone(daemon))
        finally:
            if not gone(daemon):
                os.kill(daemon, signal.SIGKILL)


def test_hidden_variables_reach_neither_the_program_nor_the_reaper(tmp_path: Path) -> None:
    secret = "canary-4711"
    environ = {**os.environ, "JUPYTERHUB_API_TOKEN": secret, "CONFIGPROXY_AUTH_TOKEN": secret, "PLAIN": "yes"}
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nenv\ntr '\\0' '\\n' < /proc/$PPID/environ\n")
    program.chmod(0o755)
    environ |= cli_environment({"MINE": "set"}, cli=program, grace_s=1, environ=environ)
    done = subprocess.run([str(LAUNCHER)], env=environ, capture_output=True, text=True, timeout=60)
    own, _, _ = done.stdout.partition("JUPYTERHUB_AGENTS_REAPER")
    assert "PLAIN=yes" in own
    assert "MINE=set" in own
    assert "JUPYTERHUB_" not in own
    assert secret not in done.stdout
