"""Memory of a worker over a long ingest: 5 GB of RLDS through `villa ingest`, one worker, watched all the time.

A few shards of 100 MB are read under many names (hard links). Memory is what `VmHWM` and `Rss` of /proc say of the
worker's process. Flat means that its peak over the last fifth of the run is that of the second fifth; the constant
and the share of one episode come from two runs, one with episodes of 2.5 MB and one with episodes of 50 MB.
"""

import argparse
import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path

from claims import Claim, last_line, say
from many_shards import multiply
from processes import name, rss_mb, tree

from pipelines import ingest

BUILDER = str(Path(__file__).with_name("rlds_builder.py"))
LOOK = ["--noise", "4", "--quality", "85"]
EVERY_S = 0.02


class Watch(threading.Thread):
    """Notes the memory of this process's worker until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.seen: list[float] = []

    def run(self) -> None:
        worker = None
        while not self.over.wait(EVERY_S):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                worker = worker or next((pid for pid in tree(os.getpid()) if "spawn_main" in name(pid)), None)
                if worker:
                    self.seen.append(rss_mb(worker))


def ingested(root: Path, corpus: Path) -> tuple[list[float], float]:
    """Ingest with one worker; return its memory over time, and the seconds that it took."""
    watch, began = Watch(), time.monotonic()
    watch.start()
    settings = {"source": "openx/libero", "root": str(root), "corpus": str(corpus), "workers": 1}
    report = ingest.run(ingest.IngestConfig(**settings))
    watch.over.set()
    watch.join()
    assert report.ok and not report.rejected_records
    return watch.seen, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=5.0)
    wanted_mb = parser.parse_args().gigabytes * 1e3
    peaks, sizes = {}, {}
    for title, episodes, steps, share in (("long", 2, 1600, 0.1), ("short", 40, 80, 1.0)):
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            one = Path(last_line(BUILDER, folder, "--episodes", str(episodes), "--steps", str(steps), *LOOK))
            shard_mb = sum(f.stat().st_size for f in one.glob("*.tfrecord*")) / 1e6
            count = max(5, round(wanted_mb * share / shard_mb))
            seen, seconds = ingested(multiply(one, scratch / "many", count), scratch / "corpus")
        fifth = len(seen) // 5
        peaks[title], sizes[title] = [max(seen[i * fifth : (i + 1) * fifth]) for i in range(5)], shard_mb / episodes
        rising = ", ".join(f"{mb:.0f}" for mb in peaks[title])
        print(f"{count * shard_mb / 1e3:.1f} GB, episodes of {sizes[title]:.1f} MB, {seconds:.0f} s, {len(seen)} looks")
        print(f"  peak memory of the worker in each fifth of the run: {rising} MB")
    times = (max(peaks["long"]) - max(peaks["short"])) / (sizes["long"] - sizes["short"])
    constant = max(peaks["short"]) - times * sizes["short"]
    print(f"peak = {constant:.0f} MB + {times:.1f} x the bytes of an episode")
    flat = peaks["short"][1] / peaks["short"][-1]
    say([Claim("memory_flat", flat, 0.9, "the second fifth of the same run", "peak memory in the last fifth")])


if __name__ == "__main__":
    main()
