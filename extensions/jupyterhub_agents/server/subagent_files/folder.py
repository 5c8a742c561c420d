"""The folder of subagent files on disk: what is there, and changes to it that overwrite nothing unseen.

Which files count: regular files `*.md` in the folder and in those below it, as Claude Code reads them (seen with
2.1.329). Hidden ones are left out: editors keep locks and copies under such names. Links are not followed: what they
lead to is not the folder's.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...ids import new_id

MAX_BYTES = 4_000_000
"""A file that is larger is not read: `subagents.MAX_FILE` characters of UTF-8 are at most this."""
MAX_DEPTH = 8
MAX_FILES = 5_000
MAX_FOLDERS = 100

_PART, _SWAP = ".agents-part", ".agents-swap"
_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCHANGE = -100, 1, 2  # renameat2(2)
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}

Stamp = tuple[int, int, int, int]
"""What changes when a file does: inode, size, and the times of its content and of its inode."""


class Unreadable(Exception):
    """Why a file is not taken, in a sentence for the person."""


@dataclass
class Scan:
    """What the folder has. `identity` is None when there is no folder; `problems` are sentences by path; `folders` is
    it and those below it, with the identity of each."""

    identity: tuple[int, int] | None = None
    files: dict[str, Stamp] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    folders: dict[Path, tuple[int, int]] = field(default_factory=dict)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Folder:
    """Paths of files are relative to `path`, with `/`. All calls block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def scan(self) -> Scan:
        """Raises OSError when a folder cannot be listed, and Unreadable when there is too much in it: an incomplete
        list would make files seem gone."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return Scan()
        scan = Scan((found.st_dev, found.st_ino))
        self._scan(scan, "", 0)
        return scan

    def _scan(self, scan: Scan, prefix: str, depth: int) -> None:
        now = (self.path / prefix).stat()
        scan.folders[self.path / prefix] = (now.st_dev, now.st_ino)
        with os.scandir(self.path / prefix) as entries:
            for each in entries:
                if each.name.startswith("."):
                    continue
                name = prefix + each.name
                is_md = each.name.endswith(".md")
                if is_md and not _is_text(each.name):
                    scan.problems[os.fsencode(name).decode(errors="replace")] = "The file's name is not UTF-8."
                elif each.is_symlink():
                    if is_md:
                        scan.problems[name] = "This is a link: put the file itself here."
                elif each.is_dir():
                    if is_md:
                        scan.problems[name] = "This is a folder, not a file."
                    elif _is_text(each.name):
                        if depth == MAX_DEPTH or len(scan.folders) == MAX_FOLDERS:
                            raise Unreadable(f"There are more than {MAX_FOLDERS} folders here, or too deep ones.")
                        self._scan(scan, f"{name}/", depth + 1)
                elif is_md:
                    with suppress(FileNotFoundError):
                        file = each.stat(follow_symlinks=False)
                        if stat.S_ISREG(file.st_mode):
                            scan.files[name] = (file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
                        else:
                            scan.problems[name] = "This is no ordinary file."
                if len(scan.files) + len(scan.problems) > MAX_FILES:
                    raise Unreadable(f"There are more than {MAX_FILES:,} files here.")

    def read(self, name: str) -> bytes:
        """Raises Unreadable, FileNotFoundError."""
        try:
            # Not to wait for the other end of a pipe that took the file's place.
            fd = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise Unreadable("This is no ordinary file.")
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unreadable(f"It cannot be read: {error.strerror}.") from error
        if len(content) > MAX_BYTES:
            raise Unreadable(f"It has more than {MAX_BYTES:,} bytes.")
        return content

    def place(self, name: str, content: bytes, *, instead_of: str | None) -> bool:
        """Write a file, mode 0600, whole or not at all, in the place of one with the digest `instead_of`, or with None
        where there is nothing. False, and nothing changed, when something else is there. Raises OSError."""
        target = self.path / name
        if instead_of is not None and self._digest(target) != instead_of:
            return False
        new = target.with_name(f".{new_id()}{_PART}")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                placed = _put(new, target) if instead_of is None else self._swap(new, target, content, instead_of)
            except (FileExistsError, FileNotFoundError):
                return False
        finally:
            new.unlink(missing_ok=True)
        _sync(target.parent)
        return placed

    def remove(self, name: str, *, instead_of: str) -> bool:
        """Remove a file that has this digest. False, and nothing changed, when it has not. Raises OSError."""
        target = self.path / name
        if self._digest(target) != instead_of:
            return False
        aside = target.with_name(f".{new_id()}{_SWAP}")
        try:
            target.rename(aside)
        except FileNotFoundError:
            return False
        if self._digest(aside) == instead_of:
            aside.unlink()
            _sync(target.parent)
            return True
        try:
            _put(aside, target)
        except FileExistsError:
            self._keep(aside)
        return False

    def tidy(self, known: Collection[str]) -> None:
        """Look after what a crash left: a file that was put aside is kept, unless its digest is `known`."""
        for folder in self.scan().folders:
            for left in folder.glob(f".*{_PART}"):
                left.unlink(missing_ok=True)
            for left in folder.glob(f".*{_SWAP}"):
                if self._digest(left) in known:
                    left.unlink(missing_ok=True)
                else:
                    self._keep(left)

    def _swap(self, new: Path, target: Path, content: bytes, instead_of: str) -> bool:
        aside = new.with_name(f".{new_id()}{_SWAP}")
        new.rename(aside)
        try:
            _exchange(aside, target)
        except FileNotFoundError:
            aside.unlink()
            raise
        if self._digest(aside) == instead_of:
            aside.unlink()
            return True
        # Somebody wrote it after it was read: theirs goes back.
        with suppress(FileNotFoundError):
            _exchange(aside, target)
        if self._digest(aside) == digest(content):
            aside.unlink()
        else:
            self._keep(aside)
        return False

    def _keep(self, aside: Path) -> None:
        """What nobody has a name for stays, in sight of the person."""
        aside.rename(aside.with_name(f"kept-{new_id()}.md"))

    def _digest(self, path: Path) -> str | None:
        try:
            return digest(self.read(str(path.relative_to(self.path))))
        except (FileNotFoundError, Unreadable):
            return None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _put(source: Path, target: Path) -> bool:
    """Rename where there is nothing yet. Raises FileExistsError."""
    if not _renameat2(source, target, _RENAME_NOREPLACE):
        target.hardlink_to(source)
        source.unlink()
    return True


def _exchange(one: Path, other: Path) -> None:
    """Each gets the other's name at the same moment. Where the file system cannot (NFS), `other` is replaced, and
    `one` is what it was just before. Raises FileNotFoundError."""
    if not _renameat2(one, other, _RENAME_EXCHANGE):
        was = one.with_name(f".{new_id()}{_SWAP}")
        was.hardlink_to(other)
        one.replace(other)
        was.rename(one)


def _renameat2(source: Path, target: Path, flag: int) -> bool:
    """False where system or file system have no such call."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


def _sync(folder: Path) -> None:
    """Make a rename last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network file systems sync no folders
            os.fsync(fd)
    finally:
        os.close(fd)
