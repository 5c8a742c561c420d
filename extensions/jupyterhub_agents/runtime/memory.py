"""How much memory processes have, and how much more there is to have. Reads /proc: call it in a thread."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

MB = 1_000_000


def resident_mb(pid: int) -> float:
    """The resident memory of a process and of all under it, in MB; 0 when it has ended. Pages that processes share
    count for each of them, so that this is rather too much than too little."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += each.memory_info().rss
    return total / MB


def available_mb(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> float:
    """How much memory can still be had here, in MB: of the machine, or of the tightest control group around this
    process, in which a container's limit is (cgroup v2, Documentation/admin-guide/cgroup-v2.rst)."""
    least = psutil.virtual_memory().available / MB
    with suppress(OSError, ValueError):
        # One line for version 2: `0::/path`; in a container the path is from its own root.
        path = next(line[3:] for line in (proc / "self" / "cgroup").read_text().splitlines() if line.startswith("0::"))
        group = cgroups / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(cgroups):
                break
            with suppress(OSError, ValueError):
                least = min(least, _left_in(folder) / MB)
    return least


def _left_in(group: Path) -> float:
    """Bytes up to a group's limit. Raises OSError or ValueError when it has none."""
    limit = int((group / "memory.max").read_text())
    used = int((group / "memory.current").read_text())
    # Files that were read and are not in use count as used, and go when memory is wanted.
    statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return limit - used + int(statistics.get("inactive_file", 0))
