"""`jupyter agents-store`, as an admin and as a script use it: real processes between real stores."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jupyterhub_agents.models import AgentSpec
from jupyterhub_agents.store.sqlite import SQLiteStore
from jupyterhub_agents.testing.store_contract.person import fill
from jupyterhub_agents.testing.store_contract.samples import make_run

pytestmark = pytest.mark.anyio

COMMAND = [sys.executable, "-m", "jupyterhub_agents.store"]


def command(*arguments: str | Path, code: int = 0, **env: str) -> str:
    """What it says, on both outputs; it must end with `code`."""
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=90, env={**os.environ, **env}, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


def told(said: str) -> list[str]:
    """Counts and digest of each line, which must be of two places and the same."""
    found = re.findall(r": ((?:\d.*?); sha256 [0-9a-f]{64})$", said, re.MULTILINE)
    assert len(found) == 2, said
    assert "The same, by count and digest." in said
    assert len(set(found)) == 1
    return found


@pytest.fixture
async def old(tmp_path: Path) -> str:
    """A store in which ana and bob have something."""
    async with SQLiteStore(tmp_path / "old.db") as store:
        await fill(store, "ana")
        await store.create_agent("bob", "one", AgentSpec(name="One"))
    return f"sqlite:{tmp_path / 'old.db'}"


async def test_a_person_goes_to_firestore_by_a_file_and_comes_back_by_a_copy(
    old: str, project: str, tmp_path: Path
) -> None:
    file, site, back = tmp_path / "ana.jsonl", f"firestore:{project}", f"sqlite:{tmp_path / 'back.db'}"
    exported = told(command("export", "--from", old, "--owner", "ana", file))
    assert "450 events" not in exported[0]
    assert "451 events" in exported[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text().split("\n")[-2])["value"]["sha256"] in exported[0]
    assert told(command("import", "--to", site, file)) == exported
    assert told(command("verify", "--from", site, "--owner", "ana", file)) == exported
    assert told(command("verify", "--from", old, "--to", site, "--owner", "ana")) == exported
    assert told(command("copy", "--from", site, "--to", back, "--owner", "ana")) == exported
    assert told(command("verify", "--from", back, "--owner", "ana", file)) == exported
    assert told(command("export", "--from", site, "--owner", "ana", tmp_path / "again.jsonl")) == exported
    assert command("owners", "--from", site) == "ana\n"
    assert {item.name.split("-")[0] for item in tmp_path.iterdir()} == {
        "old.db", "back.db", "ana.jsonl", "again.jsonl"
    }  # fmt: skip


async def test_everybody_is_copied_and_a_copy_that_is_repeated_changes_nothing(
    old: str, project: str, tmp_path: Path
) -> None:
    site, scratch = f"firestore:{project}", tmp_path / "scratch"
    scratch.mkdir()
    for _ in range(2):
        said = command("copy", "--from", old, "--to", site, "--all", TMPDIR=str(scratch))
        assert said.count("The same, by count and digest.") == 2
        assert list(scratch.iterdir()) == []
    assert command("owners", "--from", site) == "ana\nbob\n"
    assert command("verify", "--from", old, "--to", site, "--all").count("The same") == 2


async def test_a_person_may_have_another_name_in_the_new_store(old: str, tmp_path: Path) -> None:
    file, new = tmp_path / "bob.jsonl", f"sqlite:{tmp_path / 'new.db'}"
    exported = told(command("export", "--from", old, "--owner", "bob", file))
    assert told(command("import", "--to", new, "--owner", "robert", file)) == exported
    assert command("owners", "--from", new) == "robert\n"


async def test_stores_that_differ_are_told_of_with_an_exit_code(old: str, tmp_path: Path) -> None:
    file = tmp_path / "bob.jsonl"
    command("export", "--from", old, "--owner", "bob", file)
    async with SQLiteStore(tmp_path / "old.db") as store:
        await store.create_run(make_run("bob", agent_id="one"))
    said = command("verify", "--from", old, "--owner", "bob", file, code=1)
    assert "NOT the same" in said
    assert len(set(re.findall("sha256 ([0-9a-f]{64})", said))) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["export", "--from", "{old}", "--owner", "ana", "{there}"], 2, "exists already"),
        (["export", "--from", "{old}", "--owner", "ana", "{folder}/no/x.jsonl"], 2, "cannot be written"),
        (["export", "--from", "{old}", "--owner", "zoe", "{new}"], 3, "'zoe' has nothing in .*old.db.*ana, bob"),
        (["export", "--from", "sqlite:{folder}/no.db", "--owner", "ana", "{new}"], 2, "There is no file .*no.db"),
        (["export", "--from", "{folder}/old.db", "--owner", "ana", "{new}"], 2, "names no store: write sqlite:PATH"),
        (["export", "--from", "sqlite:", "--owner", "ana", "{new}"], 2, "names no store"),
        (["export", "--from", "firestore:/x", "--owner", "ana", "{new}"], 2, "names no store"),
        (["export", "--from", "firestore:p/d/x", "--owner", "ana", "{new}"], 2, "names no store"),
        (["export", "--from", "firestore:p/", "--owner", "ana", "{new}"], 2, "names no store"),
        (["export", "--from", "{old}", "{new}"], 2, "--owner"),
        (["export", "--from", "sqlite:{there}", "--owner", "ana", "{new}"], 3, "not a SQLite database"),
        (["import", "--to", "sqlite:{folder}/to.db", "{there}"], 2, "no export"),
        (["import", "--to", "sqlite:{folder}/to.db", "{new}"], 2, "cannot be read"),
        (["copy", "--from", "{old}", "--to", "sqlite:{folder}/to.db"], 2, "--owner NAME, or --all"),
        (["copy", "--from", "{old}", "--to", "sqlite:{folder}/to.db", "--all", "--owner", "ana"], 2, "--owner NAME"),
        (["verify", "--from", "{old}", "--owner", "ana"], 2, "another store with --to, or a FILE"),
        (["verify", "--from", "{old}", "--all", "{there}"], 2, "of one person"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_left(
    old: str, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("Dear diary")
    before = {path.name for path in tmp_path.iterdir()}
    places = {"old": old, "there": there, "new": tmp_path / "new.jsonl", "folder": tmp_path}
    said = command(*(argument.format(**places) for argument in arguments), code=code)
    assert re.search(says, " ".join(said.split())), said
    assert there.read_text() == "Dear diary"
    assert {path.name for path in tmp_path.iterdir()} - {"to.db"} == before


async def test_a_store_that_another_process_has_locked_is_said(old: str, tmp_path: Path) -> None:
    file = tmp_path / "bob.jsonl"
    command("export", "--from", old, "--owner", "bob", file)
    async with SQLiteStore(tmp_path / "new.db"):
        pass
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        said = command("import", "--to", f"sqlite:{tmp_path / 'new.db'}", file, code=3)
    assert "is locked by another process" in said


async def test_a_person_who_has_other_things_in_the_new_store_is_refused(old: str, tmp_path: Path) -> None:
    file = tmp_path / "bob.jsonl"
    command("export", "--from", old, "--owner", "bob", file)
    assert "nothing here yet" in command("import", "--to", old, "--owner", "ana", file, code=3)


async def test_a_firestore_that_does_not_answer_is_said(tmp_path: Path) -> None:
    arguments = ["export", "--from", "firestore:nowhere", "--owner", "ana", tmp_path / "ana.jsonl"]
    said = command(*arguments, code=3, FIRESTORE_EMULATOR_HOST="127.0.0.1:1")
    assert "The Firestore database (default) of project nowhere does not answer" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
async def test_an_export_tells_how_far_it_is_and_one_that_is_broken_off_leaves_nothing(
    tmp_path: Path, way: signal.Signals
) -> None:
    async with SQLiteStore(tmp_path / "old.db") as store:
        await fill(store, "ana", events=9_000)
    folder = tmp_path / "exports"
    folder.mkdir()
    for _ in range(5):
        if break_off(f"sqlite:{tmp_path / 'old.db'}", folder, way):
            break
        (folder / "a.jsonl").unlink()
    else:
        pytest.fail("each time it was ready before it could be broken off")
    assert list(folder.iterdir()) == []


def break_off(store: str, folder: Path, way: signal.Signals) -> bool:
    """Whether it was in time: nothing keeps an export that is under way from its end."""
    arguments = ["export", "--from", store, "--owner", "ana", str(folder / "a.jsonl")]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not (parts := list(folder.iterdir())):
            assert process.poll() is None
            time.sleep(0.001)
        with suppress(FileNotFoundError):  # it has its last name already
            assert stat.S_IMODE(parts[0].stat().st_mode) == 0o600
        # However fast it is, it now takes over a second.
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        process.send_signal(signal.SIGCONT)
        told = process.stderr.readline()
        process.send_signal(way)
        rest = process.stderr.read().strip()
        if process.wait(60) == 0:
            return False
        assert re.match(r"ana: exporting, \d+ agents?, ", told)
        assert (process.returncode, rest) == (130, "")
        return True
