"""What benchmarks share: running a contender in a process of its own, and printing what came of a claim."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

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


def last_line(*words: str) -> str:
    """Run a Python script and return the last line that it prints."""
    done = subprocess.run([sys.executable, *words], capture_output=True, check=False, text=True, env=QUIET)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


def measured(*words: str) -> dict[str, Any]:
    """Run a Python script that prints JSON at its end."""
    return json.loads(last_line(*words))
