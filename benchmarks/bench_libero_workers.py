"""What a second simulator of LIBERO is worth: episodes per hour of `villa eval libero random` by one and by two.

    .venv/bin/python benchmarks/bench_libero_workers.py [--rounds 2] [--episodes 12] [--max-steps 40]

The random policy asks nobody, so it is the simulator alone. Counted is from the first episode that ended to the last
one: starting a process and loading a scene are the same for both, and weigh nothing in an evaluation of hours.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

GOAL = 1.6


def episodes_per_hour(workers: int, episodes: int, max_steps: int) -> float:
    """Play two tasks into a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ["--tasks", "[0, 1]", "--episodes", str(episodes), "--max-steps", str(max_steps)]
        settings += ["--image-size", "128", "--render-quality", "fast", "--workers", str(workers), "--out", folder]
        command = [sys.executable, "-m", "cli", "eval", "libero", "random", *settings]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ended = sorted(file.stat().st_mtime for file in Path(folder).rglob("episodes/*/*.json"))
    return 3600 * (len(ended) - workers) / (ended[-1] - ended[workers - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--max-steps", type=int, default=40)
    asked = parser.parse_args()
    ratios = []
    for _ in range(asked.rounds):
        load = os.getloadavg()[0]
        one, two = (episodes_per_hour(n, asked.episodes, asked.max_steps) for n in (1, 2))
        ratios.append(two / one)
        print(f"load {load:.1f}: {one:.0f} episodes per hour, two workers {two:.0f}: {two / one:.2f}", flush=True)
    met = "met" if statistics.median(ratios) >= GOAL else "missed"
    print(f"two workers {statistics.median(ratios):.2f} times one, at least {GOAL} wanted: {met}")


if __name__ == "__main__":
    main()
