"""Memory that `villa train lam --dry-run` foretells against what 1, 2 and 4 processes took on a CPU, whole and sharded.

The model is the `small` one in float32, four windows a step. A process's share is what its resident memory grows by
from right before the weights are made; the plan's is all parts together, and pictures that wait.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from claims import Claim, say
from watched_training import BATCH_SIZE, PRESET

from dataengine.store import Corpus
from dataengine.store.commit.add import add_episodes
from pipelines import stats
from pipelines.training.dry_run import dry_run
from pipelines.training.dry_run.hardware import HardwareConfig
from pipelines.training.lam.config import TrainLamConfig

RUNS = ((1, "none"), (2, "none"), (4, "none"), (2, "fsdp2"), (4, "fsdp2"))
GOAL = 0.85
"""Within 15 %."""


def corpus_in(folder: Path) -> str:
    """Write a few episodes of a photograph that the camera wanders over."""
    import numpy as np
    from loader_data import episode, pictures
    from matplotlib import cbook
    from PIL import Image

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = np.asarray(Image.open(file).convert("RGB")).astype(np.float32)
    corpus = Corpus.create(str(folder / "corpus"))
    add_episodes(corpus, [episode(number, pictures(number, photograph)) for number in range(4)])
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    return corpus.uri


def planned_mb(corpus: str, processes: int, sharding: str) -> float:
    config = TrainLamConfig(data=corpus, out=Path("none"), batch_size=BATCH_SIZE, sharding=sharding, **PRESET)
    report = dry_run.run("pipelines.training.lam.lam:LamTask", config, HardwareConfig(gpus=processes))
    print(f"  {report.memory}")
    return (report.needed_bytes + report.host_bytes) / 1e6


def measured_mb(corpus: str, scratch: Path, processes: int, sharding: str) -> float:
    out = scratch / f"{processes}-{sharding}"
    program = [str(Path(__file__).with_name("watched_training.py")), corpus, str(out), sharding]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(torchrun if processes > 1 or sharding != "none" else []), *program]
    # One arena, and nothing kept for later: resident memory is then what tensors take.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return max(json.loads(file.read_text())["mb"] for file in scratch.glob(f"{out.name}-*.json"))


def main() -> None:
    claims = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        corpus = corpus_in(scratch)
        for processes, sharding in RUNS:
            planned = planned_mb(corpus, processes, sharding)
            measured = measured_mb(corpus, scratch, processes, sharding)
            print(f"{processes} x {sharding}: planned {planned:.0f} MB, measured {measured:.0f} MB", flush=True)
            ratio = min(planned / measured, measured / planned)
            claims.append(Claim(f"dry_run_{processes}_{sharding}", ratio, GOAL, "measured", "smaller over larger"))
    say(claims)


if __name__ == "__main__":
    main()
