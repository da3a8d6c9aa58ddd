"""What studies of trained models share: they run commands as a user would, and say how sure a mean is."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def villa(out: Path, *argv: str | Path) -> str:
    """Run a command on one thread, which logs into the folder; return what it printed."""
    with (out / "log.txt").open("a") as log:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *map(str, argv), "--json"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"villa {argv[0]} failed; see {out / 'log.txt'}")
    return done.stdout


def bootstrap(values: np.ndarray, draws: int = 10_000) -> tuple[float, float]:
    """Bound the mean of (seeds, cases) with 95 %, drawing seeds and cases anew."""
    random = np.random.default_rng(0)
    seeds, cases = values.shape
    means = [
        values[np.ix_(random.integers(0, seeds, seeds), random.integers(0, cases, cases))].mean() for _ in range(draws)
    ]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
