"""How much memory this machine has and how much of it is free, or the container that this process is in.

Containers are control groups (cgroups, version 1 or 2); the limits of all groups above one's own hold, too.
"""

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
    """Find the control groups above this process that may take less than the machine has, with their limits."""
    with suppress(OSError, ValueError):
        for line in _lines(PROC / "self/cgroup"):
            _, kinds, name = line.split(":", 2)
            if kinds and "memory" not in kinds.split(","):
                continue
            files, home = (_V1, GROUPS / "memory") if kinds else (_V2, GROUPS)
            own = home / name.lstrip("/")
            for group in (own, *own.parents):
                with suppress(OSError, ValueError):  # no such group here, or no limit ("max")
                    if group.is_relative_to(home) and (limit := _number(group / files.limit)) < machine:
                        yield group, files, limit


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="ascii", errors="replace").splitlines()
