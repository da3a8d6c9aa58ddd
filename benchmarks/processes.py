"""CPU time and memory of a process and all that it started, as Linux counts them."""

import os
from collections.abc import Iterator
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on; the second is a name that may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def tree(root: int) -> Iterator[int]:
    """Yield a process and everything below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += parents.get(pid, [])


def name(pid: int) -> str:
    """Command line of a process; Ray's workers call themselves `ray::...`."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def cpu_s(pid: int) -> float:
    """User and system time of a process, without its children."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * TICK_S


def ended_children_cpu_s(pid: int) -> float:
    """User and system time of the children of a process that ended and were waited for."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) * TICK_S


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * PAGE_BYTES / 1e6
