"""How fast `villa train lam` and `villa train act` are with their real loader on real shards, on 1, 2 and 4 processes.

Every run is a training of its own, started as torchrun starts it, from shards that lie on the disk; nothing is cached,
so each picture is decoded when it is seen. The processes of a run have a share of the batch each, which grows with
them: a process has the same work in every run. Runs take turns, so that a machine that others use slows all alike.

    windows/s   of all processes together, wall time, second half of the run
    data wait   share of that time in which the trainer waited for a batch; goal below 2 %
    MFU         of a GPU by wall time and its data sheet; of a CPU by CPU time, of its own best matrix product
    efficiency  windows/s of n processes over n times those of one; and the same by CPU time a window, which leaves out
                what waiting for cores costs; goal 0.85, where there are as many idle cores as processes

`python benchmarks/train_throughput.py` takes `tiny` on a CPU, one thread a process. On a GPU machine
`python benchmarks/train_throughput.py --device cuda --presets small paper --processes 1 8`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from claims import HERE, Claim, say

BATCHES = {
    ("lam", "tiny"): 16,
    ("lam", "small"): 32,
    ("lam", "paper"): 32,
    ("act", "tiny"): 64,
    ("act", "small"): 32,
    ("act", "paper"): 16,
}
"""Windows a process; those of `paper` fit a GPU of 80 GB."""
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {("act", "paper"): {"vlm": "random", "checkpoint_activations": True}}
MOST_WAIT, LEAST_EFFICIENCY = 0.02, 0.85
LEAST_MFU = {"lam": 0.45, "act": 0.40}
EPISODES = 12


def prepare(folder: Path, side: int) -> str:
    """Write shards with pictures of the size that is trained at, and latent actions of a model that learnt nothing."""
    import numpy as np
    from loader_data import episode, pictures
    from matplotlib import cbook
    from PIL import Image

    from dataengine.store import Corpus
    from dataengine.store.commit.add import add_episodes
    from pipelines import shard, stats
    from pipelines.label import label
    from pipelines.label.config import LabelConfig
    from pipelines.training.lam import lam
    from pipelines.training.lam.config import TrainLamConfig

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = np.asarray(Image.open(file).convert("RGB")).astype(np.float32)
    corpus = Corpus.create(str(folder / "corpus"))
    add_episodes(corpus, [episode(n, pictures(n, photograph, side), side) for n in range(EPISODES)])
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    model = TrainLamConfig(data=corpus.uri, out=folder / "lam", preset="tiny", steps=1, batch_size=4, val_windows=4)
    lam.run(model)
    label.run(LabelConfig(corpus=corpus.uri, lam=model.out, name="made"))
    shard.run(shard.ShardConfig(corpus=corpus.uri, out=str(folder / "shards"), latents=["made"]))
    return str(folder / "shards")


def side_of(kind: str, preset: str) -> int:
    """Give the side of the pictures that a preset reads."""
    from act_model import act_config
    from lam_model import lam_config

    return lam_config(preset).resolution if kind == "lam" else act_config(preset).vlm.vision.image_size


def train(kind: str, preset: str, shards: str, scratch: Path, processes: int, device: str, steps: int) -> Any:
    """Train in so many processes; return what the first of them measured."""
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        asked: Mapping[str, Any] = {
            "kind": kind,
            "preset": preset,
            "data": shards,
            "out": f"{out}/run",
            "report": f"{out}/measured.json",
            "device": device,
            "steps": steps,
            "batch_size": BATCHES[kind, preset] * processes,
            "settings": SETTINGS.get((kind, preset), {}),
        }
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        program = [str(HERE / "throughput_worker.py"), json.dumps(asked)]
        command = [sys.executable, *(torchrun if processes > 1 else []), *program]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"} if device == "cpu" else dict(os.environ)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise SystemExit(f"{kind} {preset} on {processes} processes failed:\n{done.stderr[-3000:]}")
        return json.loads(Path(asked["report"]).read_text(encoding="utf-8"))


def peak_per_cpu_s() -> tuple[float, str]:
    """Measure what one thread of this CPU does in a second of its own time."""
    import torch
    from stepping import peak_flops

    torch.set_num_threads(1)
    return peak_flops("cpu", torch.float32)


def flops_of(kind: str, preset: str) -> int:
    """Count the operations of a window's forward pass, three times over."""
    if kind == "lam":
        from lam_model import lam_config

        from models.lam.flops import forward_flops as lam_flops

        return 3 * lam_flops(lam_config(preset))
    from act_model import act_config

    from models.act.flops import forward_flops as act_flops

    return 3 * act_flops(act_config(preset))


def middle(runs: list[dict[str, Any]], name: str) -> float:
    """Take the median of what several runs measured; nan where none did."""
    known = [run[name] for run in runs if run[name] is not None]
    return statistics.median(known) if known else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--presets", nargs="+", choices=["tiny", "small", "paper"], default=["tiny"])
    parser.add_argument("--kinds", nargs="+", choices=["lam", "act"], default=["lam", "act"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=20, help="that are measured; as many go before them")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    claims: list[Claim] = []
    for kind in options.kinds:
        for preset in options.presets:
            with tempfile.TemporaryDirectory() as folder:
                shards = prepare(Path(folder), side_of(kind, preset))
                runs: dict[int, list[dict[str, Any]]] = {n: [] for n in options.processes}
                for _ in range(options.rounds):
                    for n, measured in runs.items():
                        measured.append(train(kind, preset, shards, Path(folder), n, options.device, options.steps))
                        print(json.dumps({"kind": kind, "preset": preset, "processes": n, **measured[-1]}), flush=True)
            claims += tell(kind, preset, options.device, runs)
    say(claims)


def tell(kind: str, preset: str, device: str, runs: Mapping[int, list[dict[str, Any]]]) -> list[Claim]:
    """Print a line for each number of processes; return what is claimed of them."""
    claims, batch = [], BATCHES[kind, preset]
    peak, source = peak_per_cpu_s() if device == "cpu" else (0.0, "the GPU's data sheet")
    for n, measured in runs.items():
        rate, wait, mfu = (middle(measured, name) for name in ("samples_per_s", "data_wait", "mfu"))
        if device == "cpu":
            mfu = flops_of(kind, preset) * batch / middle(measured, "cpu_s_per_step") / peak
        line = f"{kind} {preset}, {n} x {batch} windows, {device}: {rate:.2f} windows/s, data wait {wait:.2%}"
        print(f"{line}, MFU {mfu:.3f} of {source}")
        claims.append(Claim(f"{kind}_{preset}_{n}_data_wait", MOST_WAIT / max(wait, 1e-4), 1.0, "2 %", "share of time"))
        if device == "cuda":
            claims.append(Claim(f"{kind}_{preset}_{n}_mfu", mfu, LEAST_MFU[kind], source, "wall time"))
        if n > 1 and 1 in runs:
            pairs = list(zip(runs[1], measured, strict=True))
            wall = statistics.median(b["samples_per_s"] / n / a["samples_per_s"] for a, b in pairs)
            cpu = statistics.median(a["cpu_s_per_step"] / b["cpu_s_per_step"] for a, b in pairs)
            print(f"  efficiency per process: {wall:.3f} by wall time, {cpu:.3f} by CPU time a window")
            claims.append(
                Claim(f"{kind}_{preset}_{n}_wall", wall, LEAST_EFFICIENCY, "1 process", "windows/s a process")
            )
            if device == "cpu":
                claims.append(Claim(f"{kind}_{preset}_{n}_cpu", cpu, LEAST_EFFICIENCY, "1 process", "windows a CPU s"))
    return claims


if __name__ == "__main__":
    main()
