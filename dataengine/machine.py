"""How many cores and how much memory this machine has, and how much is free, or the container of this process.

Containers are control groups (cgroups, version 1 or 2); the limits of all groups above one's own hold, too.
"""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


class _Files(NamedTuple):
    """Where a control group says what it may take, what it has taken, and which of that its files can give back."""

    limit: str
    taken: str
    caches: tuple[str, str]


_V1: Final = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_V2: Final = _Files("memory.max", "memory.current", ("inactive_file", "active_file"))


def num_cores() -> int:
    """Count the cores that this process may use: those it is pinned to, and no more than its container has time of."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(cores) for cores in _granted_cores())]))


def total_bytes() -> int | None:
    """Memory of the machine or of the container; None where the system does not tell."""
    machine = _machine_bytes()
    return machine and min([machine, *(limit for _, _, limit in _limited(machine))])


def free_bytes() -> int | None:
    """Memory that can still be taken, what swap has left with it: more than this cannot be had.

    Files that the kernel keeps in memory count as free. Where the system tells nothing else that is all memory.
    """
    if sys.platform != "linux":
        return total_bytes()
    try:
        facts = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in _lines(PROC / "meminfo")}
        left = [facts["MemAvailable"]]
    except (OSError, ValueError, LookupError):
        return total_bytes()
    for group, files, limit in _limited(facts.get("MemTotal", 0)):
        with suppress(OSError, ValueError, LookupError):
            held = {line.split()[0]: int(line.split()[1]) for line in _lines(group / "memory.stat")}
            given_back = sum(held[name] for name in files.caches)
            left.append(limit - _number(group / files.taken) + given_back)
    return max(min(left), 0) + facts.get("SwapFree", 0)


def _machine_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _limited(machine: int) -> Iterator[tuple[Path, _Files, int]]:
    """Find the control groups above this process that may take less memory than the machine has, with their limits."""
    for group, is_v1 in _groups("memory"):
        files = _V1 if is_v1 else _V2
        with suppress(OSError, ValueError):  # no such group here, or no limit ("max")
            if (limit := _number(group / files.limit)) < machine:
                yield group, files, limit


def _granted_cores() -> Iterator[float]:
    """Find how many cores' time the control groups above this process may take."""
    for group, is_v1 in _groups("cpu"):
        with suppress(OSError, ValueError):  # no such group here, or no limit ("max", -1)
            if is_v1:
                quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
            else:
                quota, period = map(int, (group / "cpu.max").read_text(encoding="ascii").split())
            if quota > 0 and period > 0:
                yield quota / period


def _groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """List the control groups of this process, and those above, that may limit something; and whether of version 1."""
    with suppress(OSError, ValueError):
        for line in _lines(PROC / "self/cgroup"):
            _, kinds, name = line.split(":", 2)
            if kinds and controller not in kinds.split(","):
                continue
            home = GROUPS / controller if kinds else GROUPS
            own = home / name.lstrip("/")
            yield from ((group, bool(kinds)) for group in (own, *own.parents) if group.is_relative_to(home))


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="ascii", errors="replace").splitlines()
