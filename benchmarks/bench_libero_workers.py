"""What a second simulator of LIBERO is worth: episodes per hour of `villa eval libero random` by one and by two.

    .venv/bin/python benchmarks/bench_libero_workers.py [--rounds 3] [--episodes 14] [--max-steps 40]

The random policy asks nobody, so it is the simulator alone, in one task. Counted is from the time that each worker had
ended two episodes, on average, to the last one: starting a process and loading a scene weigh nothing in an evaluation
of hours. Where
others use the machine, the clock says little: processor time per episode, over the same stretch, says what two
workers would give on two free cores, namely 2 x (that of one) / (that of two). Rounds alternate the order of the two.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from processes import cpu_s, ended_children_cpu_s, tree

GOAL = 1.6
POLL_S = 0.2


@dataclass(frozen=True)
class Pace:
    """How fast episodes came."""

    per_hour: float
    cpu_s: float
    """Of an episode, all processes together."""


def pace(workers: int, episodes: int, max_steps: int) -> Pace:
    """Play a task into a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ["--tasks", "[0]", "--episodes", str(episodes), "--max-steps", str(max_steps)]
        settings += ["--image-size", "128", "--render-quality", "fast", "--workers", str(workers), "--out", folder]
        command = [sys.executable, "-m", "cli", "eval", "libero", "random", *settings]
        seen = list[tuple[int, float, float]]()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                ended = len([*Path(folder).rglob("episodes/*/*.json")])
                if ended >= 2 * workers and (not seen or ended > seen[-1][0]):
                    seen.append((ended, time.monotonic(), _cpu_s(process.pid)))
                time.sleep(POLL_S)
        if process.returncode or len(seen) < 2:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    (first, begin, cpu_begin), (last, end, cpu_end) = seen[0], seen[-1]
    return Pace(3600 * (last - first) / (end - begin), (cpu_end - cpu_begin) / (last - first))


def _cpu_s(root: int) -> float:
    total = 0.0
    for pid in tree(root):
        with suppress(OSError):
            total += cpu_s(pid) + ended_children_cpu_s(pid)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=14)
    parser.add_argument("--max-steps", type=int, default=40)
    asked = parser.parse_args()
    by_clock, by_cpu = [], []
    for round_number in range(asked.rounds):
        load, paces = os.getloadavg()[0], dict[int, Pace]()
        for workers in (1, 2) if round_number % 2 == 0 else (2, 1):
            paces[workers] = pace(workers, asked.episodes, asked.max_steps)
        one, two = paces[1], paces[2]
        by_clock.append(two.per_hour / one.per_hour)
        by_cpu.append(2 * one.cpu_s / two.cpu_s)
        print(
            f"load {load:.1f}: one {one.per_hour:.0f} episodes per hour, {one.cpu_s:.2f} s of processor each; two "
            f"{two.per_hour:.0f}, {two.cpu_s:.2f} s; by the clock {by_clock[-1]:.2f}, by processor {by_cpu[-1]:.2f}",
            flush=True,
        )
    for name, ratios in (("by the clock", by_clock), ("on two free cores, by processor time", by_cpu)):
        met = "met" if statistics.median(ratios) >= GOAL else "missed"
        print(f"two workers {statistics.median(ratios):.2f} times one {name}, at least {GOAL} wanted: {met}")


if __name__ == "__main__":
    main()
