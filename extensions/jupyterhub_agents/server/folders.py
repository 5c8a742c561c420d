"""Private folders for sockets, with a path short enough for them, and without those that killed servers left."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

LONGEST_FOLDER = 80
"""Characters. The path of a unix socket holds 107 bytes, 103 on macOS (unix(7)), and a file name follows."""


def make_folder(prefix: str) -> Path:
    """A new folder of mode 0700 for this process."""
    parent = tempfile.gettempdir()
    if len(parent) + 30 > LONGEST_FOLDER:
        parent = "/tmp"  # noqa: S108 - mkdtemp makes a folder of mode 0700 that did not exist
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))


def remove_left_folders(prefix: str) -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):
            pid = folder.name.removeprefix(prefix).partition("-")[0]
            mine = folder.is_dir() and not folder.is_symlink() and folder.lstat().st_uid == os.getuid()
            if mine and pid.isdigit() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
