"""Find ttyd, the program that shows a terminal in a browser, and install it where it is missing.

    python -m jupyterhub_agents.server.ttyd find
    python -m jupyterhub_agents.server.ttyd install [--into FOLDER]

`install` is a step of its own: no server does it by itself. It goes through these, and ends at the first that works:

1. the ttyd on PATH, or one installed before into FOLDER;
2. the distribution's package (apt-get, as root);
3. the project's own release binary for Linux, checked by its SHA-256;
4. a build from Debian's source package (Debian, as root).

When none works it ends with status 1 and one line for each way: why it did not work, and what to do.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MINIMUM = (1, 7, 4)
"""The first release with `--writable`; the ones before let everybody type."""
RELEASE = "1.7.7"
RELEASE_URL = f"https://github.com/tsl0922/ttyd/releases/download/{RELEASE}/ttyd."
RELEASE_SHA256 = {
    # The release's own SHA256SUMS file.
    "x86_64": "8a217c968aba172e0dbf3f34447218dc015bc4d5e59bf51db2f2cd12b7be4f55",
    "aarch64": "b38acadd89d1d396a0f5649aa52c539edbad07f4bc7348b27b4f4b7219dd4165",
}
LARGEST_DOWNLOAD = 32 * 1024 * 1024
"""Bytes; the release's binaries are about 1.4 MB."""

DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BUILD_PACKAGES = (
    *("cmake", "gcc", "libc6-dev", "make", "xz-utils"),
    *("libcap-dev", "libjson-c-dev", "libssl-dev", "libuv1-dev", "libwebsockets-dev", "zlib1g-dev"),
)

VERSION_LIMIT_S = 20.0
START_LIMIT_S = 20.0
DOWNLOAD_LIMIT_S = 60.0
STEP_LIMIT_S = 600.0


class Unavailable(Exception):
    """There is no ttyd, or one way of getting it did not work. The message says what to do."""


def private_folder() -> Path:
    """Where `install` puts ttyd unless told otherwise, and where `find` looks after PATH."""
    return Path.home() / ".local" / "share" / "jupyterhub-agents" / "bin"


def version(program: Path) -> tuple[int, ...]:
    """The version that a ttyd says it has. Raises Unavailable when it does not run or says none."""
    try:
        said = run([str(program), "--version"], limit_s=VERSION_LIMIT_S)
    except Unavailable as error:
        raise Unavailable(f"{program} does not work here: {error}") from error
    number = re.search(r"version (\d+)\.(\d+)\.(\d+)", said)
    if number is None:
        raise Unavailable(f"{program} does not say which version of ttyd it is.")
    return tuple(int(part) for part in number.groups())


def usable(program: Path) -> Path:
    """`program`, when it is a ttyd that the terminal works with. Raises Unavailable."""
    found = version(program)
    if found < MINIMUM:
        raise Unavailable(f"{program} is ttyd {dotted(found)}; the terminal needs {dotted(MINIMUM)} or newer.")
    try_to_start(program)
    return program


def try_to_start(program: Path) -> None:
    """See that it listens on a unix socket. One that is linked against Debian's libwebsockets says its version, and
    yet ends at the start, where that library's plugin for libuv is missing. Raises Unavailable."""
    with tempfile.TemporaryDirectory(prefix="ttyd-") as name:
        socket = Path(name, "try.sock")
        command = [str(program), "-i", str(socket), "--debug", "1", "/bin/sh", "-c", ":"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - no shell
            deadline = time.monotonic() + START_LIMIT_S
            while process.poll() is None and not socket.is_socket() and time.monotonic() < deadline:
                time.sleep(0.01)
            started = socket.is_socket()
            two_libraries = started and loads_a_second_c_library(program, process.pid)
            process.kill()
            said = " ".join(re.findall(r"E: (.+)", process.communicate()[1]))
    if two_libraries:
        raise Unavailable(
            f"{program} would crash after some connections: it is linked statically, and loads a plugin of "
            "libwebsockets that brings a second C library along. Use another build of ttyd."
        )
    if started:
        return
    hint = " Install that plugin: sudo apt-get install libwebsockets-evlib-uv" if "evlib_uv" in said else ""
    raise Unavailable(f"{program} does not start here: {said or 'it does not say why'}.{hint}")


def loads_a_second_c_library(program: Path, pid: int) -> bool:
    """Whether a running ttyd is linked statically and yet has a shared C library in it (Linux; elsewhere False).
    What the one has allocated the other frees then, which ends in a segmentation fault."""
    try:
        with program.open("rb") as file:
            head = file.read(4096)
        linked_statically = head.startswith(b"\x7fELF") and b"/ld-" not in head  # PT_INTERP names the loader
        return linked_statically and "/libc.so" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        return False


def find(folder: Path | None = None, *, path: str | None = None) -> Path:
    """The ttyd on `path` (default: PATH), else the one in `folder` (default: `private_folder()`).

    One that is too old or does not run is passed over. Raises Unavailable.
    """
    folder = folder or private_folder()
    reasons = []
    for place in (path, str(folder)):
        program = shutil.which("ttyd", path=place)
        if program is None:
            continue
        try:
            return usable(Path(program))
        except Unavailable as error:
            reasons.append(str(error))
    raise Unavailable(" ".join(reasons) or f"There is no ttyd on PATH nor in {folder}.")


def install(folder: Path, say: Callable[[str], None], *, path: str | None = None) -> Path:
    """Find ttyd or get it, the ways in turn. Raises Unavailable with what every way said."""
    try:
        return find(folder, path=path)
    except Unavailable as error:
        reasons = [f"on PATH: {error}"]
    ways: Mapping[str, Callable[[], Path]] = {
        "distribution's package": lambda: from_distribution(say),
        "release binary": lambda: from_release(folder),
        "build from source": lambda: from_source(folder, say),
    }
    for name, way in ways.items():
        say(f"ttyd: trying the {name}.")
        try:
            return usable(way())
        except Unavailable as error:
            reasons.append(f"{name}: {error}")
    raise Unavailable("\n".join(reasons))


def from_distribution(say: Callable[[str], None]) -> Path:
    """Install the distribution's package, when it has one that is new enough."""
    if shutil.which("apt-get") is None or shutil.which("apt-cache") is None:
        raise Unavailable("There is no apt-get here. If your package manager has ttyd, install it with that.")
    known = run(["apt-cache", "policy", "ttyd"], limit_s=STEP_LIMIT_S)
    candidate = re.search(r"Candidate: (\d\S*)", known)
    if candidate is None:
        raise Unavailable("apt knows no package ttyd for this release. If that is a surprise, run: apt-get update")
    numbers = tuple(int(number) for number in re.findall(r"\d+", candidate[1])[:3])
    if numbers < MINIMUM:
        raise Unavailable(f"The package is ttyd {candidate[1]}; the terminal needs {dotted(MINIMUM)} or newer.")
    need_root("sudo apt-get install ttyd")
    say(f"ttyd: installing the package ttyd {candidate[1]}.")
    run(["apt-get", "install", "-y", "--no-install-recommends", "ttyd"], limit_s=STEP_LIMIT_S)
    installed = shutil.which("ttyd", path="/usr/bin")
    if installed is None:
        raise Unavailable("The package was installed, but there is no /usr/bin/ttyd.")
    return Path(installed)


def from_release(
    folder: Path,
    *,
    url: str = RELEASE_URL,
    sums: Mapping[str, str] = RELEASE_SHA256,
    machine: str | None = None,
) -> Path:
    """Download the project's own binary of release 1.7.7 into `folder`. One with another SHA-256 is thrown away."""
    machine = machine or platform.machine()
    if not sys.platform.startswith("linux") or machine not in sums:
        raise Unavailable(f"The release has no binary for {sys.platform} on {machine} that this project knows.")
    address = url + machine
    try:
        with urllib.request.urlopen(address, timeout=DOWNLOAD_LIMIT_S) as response:  # noqa: S310 - a fixed address
            content: bytes = response.read(LARGEST_DOWNLOAD)
    except OSError as error:
        raise Unavailable(
            f"{address} could not be loaded ({error}). Download it elsewhere and put it on PATH."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sums[machine]:
        raise Unavailable(f"{address} has the SHA-256 {found}, not {sums[machine]}: it was not installed.")
    return put(content, folder)


def from_source(folder: Path, say: Callable[[str], None]) -> Path:
    """Build Debian's source package of ttyd (from sid; apt checks its signature) into `folder`.

    The source is looked up with an apt configuration of its own, so the machine's own sources stay as they are.
    """
    if shutil.which("apt-get") is None or not DEBIAN_KEYS.exists():
        raise Unavailable(f"A build needs Debian's apt-get and its keys in {DEBIAN_KEYS}.")
    need_root("run this command again as root")
    say("ttyd: installing what a build needs.")
    run(["apt-get", "update"], limit_s=STEP_LIMIT_S)  # a new machine may know no packages yet
    run(["apt-get", "install", "-y", "--no-install-recommends", *BUILD_PACKAGES], limit_s=STEP_LIMIT_S)
    with tempfile.TemporaryDirectory(prefix="ttyd-build-") as name:
        place = Path(name)
        say("ttyd: getting the source package.")
        archive = download_source(place)
        (place / "source").mkdir()
        run(["tar", "-xf", str(archive), "-C", str(place / "source"), "--strip-components=1"], limit_s=STEP_LIMIT_S)
        say("ttyd: building.")
        build = str(place / "build")
        run(["cmake", "-S", str(place / "source"), "-B", build, "-DCMAKE_BUILD_TYPE=Release"], limit_s=STEP_LIMIT_S)
        run(["cmake", "--build", build], limit_s=STEP_LIMIT_S)
        return put((place / "build" / "ttyd").read_bytes(), folder)


def download_source(place: Path) -> Path:
    """The upstream archive of Debian's source package, in `place`."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True)
    sources = place / "sources.list"
    sources.write_text(f"deb-src [signed-by={DEBIAN_KEYS}] {mirror()} sid main\n", encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": str(place / "lists"),
        "Dir::Cache": str(place / "cache"),
        "APT::Sandbox::User": "root",  # apt's own user cannot reach into a private folder
    }
    apt = ["apt-get", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    run([*apt, "update"], limit_s=STEP_LIMIT_S)
    run([*apt, "source", "--download-only", "--tar-only", "ttyd"], limit_s=STEP_LIMIT_S, directory=place)
    archives = list(place.glob("ttyd_*.orig.tar.*"))
    if len(archives) != 1:
        raise Unavailable("apt-get source brought no archive of ttyd.")
    return archives[0]


def mirror() -> str:
    """The address of the Debian archive that the machine's own apt uses. Raises Unavailable."""
    told = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], limit_s=STEP_LIMIT_S)
    for address in told.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    raise Unavailable("A build needs Debian's archive in the machine's apt sources, and there is none.")


def put(content: bytes, folder: Path) -> Path:
    """Write the program into `folder`, whole or not at all."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix="ttyd.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o755)
        return Path(name).replace(folder / "ttyd")
    except OSError as error:
        raise Unavailable(f"{folder} cannot be written ({error.strerror}). Name another with --into.") from error


def need_root(instead: str) -> None:
    if os.geteuid() != 0:
        raise Unavailable(f"This way needs root: {instead}")


def run(command: Sequence[str], *, limit_s: float, directory: Path | None = None) -> str:
    """What a command says. Raises Unavailable with the last line of its errors when it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands, no shell
            command,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"`{' '.join(command[:2])}` did not end within {limit_s:.0f} s.") from error
    except OSError as error:
        raise Unavailable(f"`{command[0]}` could not be started ({error.strerror}).") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"`{' '.join(command[:2])}` failed: {lines[-1] if lines else f'status {done.returncode}'}")
    return done.stdout


def dotted(numbers: Sequence[int]) -> str:
    return ".".join(str(number) for number in numbers)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jupyterhub_agents.server.ttyd", description="Find or install ttyd."
    )
    parser.add_argument("action", choices=["find", "install"])
    parser.add_argument("--into", type=Path, default=private_folder(), metavar="FOLDER")
    chosen = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        program = find(chosen.into) if chosen.action == "find" else install(chosen.into, say)
    except Unavailable as error:
        say(f"The terminal stays closed without ttyd:\n{error}")
        return 1
    sys.stdout.write(f"{program}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
