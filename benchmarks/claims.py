"""What benchmarks share: running a contender in a process of its own, and printing what came of a claim."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Claim:
    """A ratio to a peer; better is larger."""

    name: str
    ratio: float
    goal: float
    peer: str
    unit: str


def say(claims: Iterable[Claim]) -> None:
    """Print each claim as a line of JSON; the last one is the claim that is nearest to its goal, or misses it most."""
    for claim in sorted(claims, key=lambda claim: -claim.ratio / claim.goal):
        print(json.dumps({**asdict(claim), "ratio": round(claim.ratio, 3), "goal": round(claim.goal, 3)}))


def last_line(*arguments: str) -> str:
    """Run a Python script and return the last line that it prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, check=False, text=True, env=QUIET)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


class Contest:
    """Contenders on one RLDS folder, each in processes of its own, in turns."""

    SHAPE = ("--episodes", "40", "--steps", "80", "--noise", "4", "--quality", "85")
    NUM_STEPS = 40 * 80

    def __init__(self, contenders: Iterable[str], repeats: int) -> None:
        """Write 100 MB with a tfds builder, let everybody go over it, and print medians."""
        self.measured: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        with tempfile.TemporaryDirectory() as scratch:
            folder = last_line(str(HERE / "rlds_builder.py"), scratch, *self.SHAPE)
            num_bytes = sum(file.stat().st_size for file in Path(folder).glob("*.tfrecord*"))
            for _ in range(repeats):
                for name in self.measured:
                    with tempfile.TemporaryDirectory() as out:
                        script = str(HERE / "rlds_contenders.py")
                        self.measured[name].append(json.loads(last_line(script, folder, f"{out}/corpus", name)))
        print(f"{num_bytes / 1e6:.0f} MB, {num_bytes / self.NUM_STEPS / 1e3:.1f} KB per step, {repeats} repeats")
        for name, runs in self.measured.items():
            each = sorted(run["pass_s"] / self.NUM_STEPS * 1e6 for run in runs)
            start = f"start {self.median(name, 'start_s'):.2f} s, {self.median(name, 'start_mb'):.0f} MB"
            cost = f"CPU per step {statistics.median(each):.0f} us [{each[0]:.0f} to {each[-1]:.0f}]"
            print(f"{name:12} {start}; peak {self.median(name, 'peak_mb'):.0f} MB; {cost}")

    def median(self, name: str, what: str) -> float:
        return statistics.median(run[what] for run in self.measured[name])

    def ratio(self, peer: str, ours: str, what: str = "pass_s") -> float:
        """How many times as much the peer needs."""
        return self.median(peer, what) / self.median(ours, what)
