"""How much memory a reader of untrusted bytes may take: beyond it MemoryError comes, and not the end of the machine.

with little_memory(gigabytes):
    episode = convert(raw)       # a bomb costs a record, or at worst its part

Linux counts what a process may write to (RLIMIT_DATA), not mapped files. Python, numpy, Arrow, HDF5 and FFmpeg answer
with an error when they are refused; Lance's Rust ends the process, which its engine notices. Other systems have no such
limit that holds, and there nothing is bounded but by the readers themselves.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dataengine.machine import num_cores, total_bytes

GB: Final = 1_000_000_000
LEAST_GB: Final = 4.0
"""An episode of three cameras and minutes takes some hundred megabytes, the largest RLDS records two gigabytes."""
OWN_SHARE: Final = 0.9
"""Of the machine's memory, over all its workers."""

_granted: list[tuple[float, str]] = []
"""What this process may take, innermost last, each with the setting that says so."""


def share_gb(workers: int = 0) -> float:
    """Say how many gigabytes each of so many workers of this machine may take; 0 workers for one on each core."""
    return max(LEAST_GB, round(OWN_SHARE * (total_bytes() or 0) / GB / (workers or num_cores()), 1))


@contextmanager
def little_memory(gigabytes: float, setting: str = "") -> Iterator[None]:
    """Let this process take only so much more than it has now; `setting` is what a user may raise."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _held_bytes() + int(gigabytes * GB)
    limits = [limit for limit in (before, hard, wanted) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    _granted.append((gigabytes, setting))
    try:
        yield
    finally:
        _granted.pop()
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def too_much() -> str:
    """Say in a few words what a MemoryError means here, and what can be done."""
    if not _granted:
        return "needs more memory than there is"
    gigabytes, setting = _granted[-1]
    more = f"; --set {setting}={2 * gigabytes:g} lets it take more" if setting else ""
    return f"reading took more than {gigabytes:g} GB{more}"


def _held_bytes() -> int:
    """Memory that this process may write to already."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmData:")[2].split()[0]) * 1024
