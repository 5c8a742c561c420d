"""Finding and getting ttyd: the ways are tried in their order, and each says what to do when it does not work."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jupyterhub_agents.server import ttyd

LISTENS = """#!{python}
import socket, sys, time
if sys.argv[1] == "--version":
    print("ttyd version {version}-test")
else:
    socket.socket(socket.AF_UNIX).bind(sys.argv[2])
    time.sleep(30)
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def program(folder: Path, version: str = "1.7.7", source: str = LISTENS, name: str = "ttyd") -> Path:
    """A small program that behaves like ttyd as far as `usable` looks."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(source.format(python=sys.executable, version=version))
    path.chmod(0o755)
    return path


@pytest.fixture
def downloads(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which it is served."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/ttyd."
        server.shutdown()
        thread.join()


def test_the_one_on_path_comes_first(tmp_path: Path) -> None:
    on_path = program(tmp_path / "path")
    program(tmp_path / "private")
    assert ttyd.find(tmp_path / "private", path=str(tmp_path / "path")) == on_path
    assert ttyd.install(tmp_path / "private", lambda _: None, path=str(tmp_path / "path")) == on_path


def test_one_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "path", "1.6.3")
    private = program(tmp_path / "private")
    assert ttyd.find(tmp_path / "private", path=str(tmp_path / "path")) == private
    private.unlink()
    with pytest.raises(ttyd.Unavailable, match=r"is ttyd 1\.6\.3; the terminal needs 1\.7\.4 or newer"):
        ttyd.find(tmp_path / "private", path=str(tmp_path / "path"))


def test_one_that_does_not_start_is_passed_over_with_its_own_words(tmp_path: Path) -> None:
    broken = '#!/bin/sh\n[ "$1" = --version ] && echo "ttyd version 1.7.7" && exit\n'
    broken += 'echo "[x] E: unable to load evlib plugin evlib_uv" >&2; exit 1\n'
    program(tmp_path / "path", source=broken)
    with pytest.raises(ttyd.Unavailable, match=r"unable to load .*apt-get install libwebsockets-evlib-uv"):
        ttyd.find(tmp_path / "private", path=str(tmp_path / "path"))


def test_one_that_is_no_program_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "path", source="no program at all")
    with pytest.raises(ttyd.Unavailable, match="does not work here"):
        ttyd.find(tmp_path / "private", path=str(tmp_path / "path"))


def test_none_at_all_says_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(ttyd.Unavailable, match=f"no ttyd on PATH nor in {tmp_path}"):
        ttyd.find(tmp_path, path=str(tmp_path))


def test_a_release_with_the_right_sum_is_installed(tmp_path: Path, downloads: tuple[Path, str]) -> None:
    folder, url = downloads
    content = program(folder, name="ttyd.x86_64").read_bytes()
    sums = {"x86_64": hashlib.sha256(content).hexdigest()}
    found = ttyd.from_release(tmp_path / "bin", url=url, sums=sums, machine="x86_64")
    assert found == tmp_path / "bin" / "ttyd"
    assert ttyd.usable(found) == found


def test_a_release_with_a_wrong_sum_is_refused(tmp_path: Path, downloads: tuple[Path, str]) -> None:
    folder, url = downloads
    program(folder, name="ttyd.x86_64")
    with pytest.raises(ttyd.Unavailable, match="it was not installed"):
        ttyd.from_release(tmp_path / "bin", url=url, machine="x86_64")
    assert not (tmp_path / "bin").exists()


def test_a_release_that_cannot_be_loaded_says_so(tmp_path: Path, downloads: tuple[Path, str]) -> None:
    with pytest.raises(ttyd.Unavailable, match=r"could not be loaded .*404.* put it on PATH"):
        ttyd.from_release(tmp_path / "bin", url=downloads[1], machine="x86_64")


def test_a_machine_without_a_release_binary_is_named(tmp_path: Path) -> None:
    with pytest.raises(ttyd.Unavailable, match=r"no binary for .* on riscv64"):
        ttyd.from_release(tmp_path / "bin", machine="riscv64")


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ("(none)", "apt knows no package ttyd"),
        ("1.6.3-3~bpo11+1", "needs 1.7.4 or newer"),
        ("1.7.7-8", "no /usr/bin/ttyd|needs root: sudo apt-get install ttyd"),
    ],
)
def test_the_distributions_package_is_taken_only_where_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, candidate: str, words: str
) -> None:
    if Path("/usr/bin/ttyd").exists():
        pytest.skip("The distribution's ttyd is installed: this looks at where it is not.")
    program(tmp_path, source=f"#!/bin/sh\necho '  Candidate: {candidate}'\n", name="apt-cache")
    program(tmp_path, source="#!/bin/sh\nexit 0\n", name="apt-get")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ttyd.Unavailable, match=words):
        ttyd.from_distribution(lambda _: None)


def test_without_apt_the_ways_that_need_it_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ttyd.Unavailable, match="no apt-get here"):
        ttyd.from_distribution(lambda _: None)
    with pytest.raises(ttyd.Unavailable, match="needs Debian's apt-get"):
        ttyd.from_source(tmp_path, lambda _: None)


def test_the_command_says_what_to_do_and_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jupyterhub_agents.server.ttyd", "find", "--into", str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "There is no ttyd on PATH" in done.stderr
    assert "Traceback" not in done.stderr
