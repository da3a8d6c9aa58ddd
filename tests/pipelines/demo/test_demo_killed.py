"""The demo's pipeline is killed once in each of its stages, and ends as if nobody had touched it."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dataengine.store import Corpus

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(5400)]

AT_WORK_S = 1.0
"""How long a stage is left at work before it is killed, after its own start-up."""


def demo(out: Path) -> list[str]:
    return [sys.executable, "-m", "cli", "demo", "--quick", "--engine", "local", "--out", str(out)]


def state(out: Path) -> dict[str, Any]:
    file = out / "pipeline.json"
    return json.loads(file.read_text())["stages"] if file.exists() else {}


def kill_in_every_stage(out: Path) -> list[str]:
    """Run the demo to its end; kill it with its children the first time that it is at each stage."""
    killed: list[str] = []
    while True:
        log = (out.parent / "killed.log").open("a")
        run = subprocess.Popen(demo(out), stdout=subprocess.DEVNULL, stderr=log)
        began = time.time()
        while run.poll() is None:
            new = [name for name, stage in state(out).items() if stage["state"] == "running" and name not in killed]
            if new and time.time() - began > AT_WORK_S:
                time.sleep(AT_WORK_S)
                run.send_signal(signal.SIGKILL)  # the children die with it
                killed += new
            time.sleep(0.1)
        if run.wait() == 0:
            return killed
        assert run.returncode == -signal.SIGKILL, (out.parent / "killed.log").read_text()[-2000:]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def result(out: Path) -> dict[str, Any]:
    """All that a demo makes: weights, latent actions, shards, and which episodes each policy solved."""
    summary = json.loads((out / "summary.json").read_text())
    table = Corpus.open(str(out / "corpus")).table(["episode_id", "num_steps", "keep", "codes__demo"])
    return {
        "weights": {str(file.relative_to(out)): digest(file) for file in sorted(out.glob("*/*/model.safetensors"))},
        "shards": {file.name: digest(file) for file in sorted((out / "shards").glob("*.tar"))},
        "rows": sorted(table.to_pylist(), key=lambda row: row["episode_id"]),
        "solved": [(e["policy"], e["task"], e["successes"], e["episodes"]) for e in summary["evaluation"]],
        "probe": [(p["lam"], p["embodiment"], p["error"]) for p in summary["probe"]],
    }


def test_a_demo_that_is_killed_in_every_stage_ends_in_the_same_result(tmp_path: Path) -> None:
    subprocess.run(demo(tmp_path / "whole"), check=True, capture_output=True)
    killed = kill_in_every_stage(tmp_path / "killed")
    whole = result(tmp_path / "whole")
    assert result(tmp_path / "killed") == whole
    assert set(killed) == set(state(tmp_path / "whole"))
    assert len(whole["weights"]) == 4
    assert (tmp_path / "killed" / "report" / "index.html").exists()
