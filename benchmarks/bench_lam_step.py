"""One optimiser step of `villa train lam`: clips per second, share of the device's peak, memory.

The steps are those of the trainer itself (`pipelines.training.trainer`: augmentation, loss, backward pass, clipping,
AdamW, metrics), with the recipe of the preset; only its batches, of the model's own size, lie in memory. Work is three
times the multiplications and additions of the forward pass, counted by hand below and again by torch's own counter,
which must agree; nothing that is computed twice counts twice, attention over time counts in full although it is causal.

The peak of a known GPU is what its maker states for dense matrices; of a CPU, the best that torch's matrix product
reaches here in the same precision, per second of CPU time of its threads.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from claims import Claim, say
from lam_model import counted_flops, make_batch
from stepping import peak_flops, peak_memory_gib

from models.batch import LamBatch
from models.lam import Lam, LamConfig
from models.lam.flops import forward_flops
from pipelines.training import presets
from pipelines.training.distributed import Distributed
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.loading import Seconds
from pipelines.training.trainer import Trainer

GOAL = 0.45
WARM_STEPS = 5
BATCHES = {"tiny": 16, "small": 64, "paper": 32}
"""Clips on one device; `paper` shares its 512 among many."""


@dataclass
class Draws:
    """A loader whose batch lies in memory. It looks at the clock at every so many draws."""

    batch: LamBatch
    every: int
    on_gpu: bool
    times: list[float] = field(default_factory=list)
    seconds: Seconds = field(default_factory=Seconds)
    collator: Any = field(default_factory=lambda: SimpleNamespace(frames=SimpleNamespace(num_threads=1)))
    num_drawn: int = 0

    def __next__(self) -> LamBatch:
        if self.num_drawn >= WARM_STEPS and (self.num_drawn - WARM_STEPS) % self.every == 0:
            if self.on_gpu:
                torch.cuda.synchronize()
            self.times.append(time.perf_counter() if self.on_gpu else time.process_time())
        self.num_drawn += 1
        return self.batch

    def state_dict(self) -> dict[str, int]:
        return {"step": self.num_drawn}


def step_seconds(config: TrainLamConfig, shape: LamConfig, device: str, every: int) -> list[float]:
    """Train on one batch; seconds of a step (CPU time on a CPU), for each row of `every` steps."""
    draws = Draws(make_batch(shape, config.batch_size, device), every, device == "cuda")
    torch.manual_seed(0)
    distributed = Distributed(0, 1, torch.device(device))
    trainer: Trainer[LamBatch] = Trainer(
        model=Lam(shape),
        loader=draws,  # type: ignore[arg-type]
        config=config,
        out=config.out,
        distributed=distributed,
        title="lam",
        identity={},
        extra={},
    )
    trainer.train()
    return [(b - a) / every for a, b in zip(draws.times, draws.times[1:], strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", choices=list(BATCHES), default="tiny")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, help="clips in a step")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="by default as in the preset's recipe")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--checkpoint-activations", action="store_true")
    parser.add_argument("--steps", type=int, default=10, help="steps timed together")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shape = presets.shape(LamConfig, "train_lam", options.preset)
    ours = forward_flops(shape)
    theirs, trained = counted_flops(shape)
    if ours != theirs:
        raise SystemExit(f"counted by hand {ours}, by torch {theirs} for a clip's forward pass")
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "steps": WARM_STEPS + options.steps * options.repeats + 1,
            "batch_size": options.batch or BATCHES[options.preset],
            "compile": options.compile,
            "checkpoint_activations": options.checkpoint_activations,
            **({} if options.bf16 is None else {"bf16": options.bf16}),
        }
        config = TrainLamConfig(data="", out=Path(folder), preset=options.preset, **settings)
        seconds = sorted(step_seconds(config, shape, options.device, options.steps))
    peak, source = peak_flops(options.device, torch.bfloat16 if config.bf16 else torch.float32)
    step = statistics.median(seconds)
    mfu = 3 * ours * config.batch_size / step / peak
    how = f"bf16 {config.bf16}, compile {config.compile}"
    print(f"preset {options.preset}, {config.batch_size} clips, {options.device}, {how}")
    spread = f"[{1e3 * seconds[0]:.1f} to {1e3 * seconds[-1]:.1f}]"
    clock = "" if options.device == "cuda" else " of CPU time, one thread"
    print(f"{1e3 * step:.1f} ms{clock} per step {spread}, {config.batch_size / step:.2f} clips/s")
    of_what = "of the GPU" if options.device == "cuda" else "of the whole process"
    print(f"peak memory {peak_memory_gib(options.device):.2f} GiB {of_what}")
    print(f"{3 * ours / 1e9:.3f} GFLOP per clip: 3 x {ours / 1e9:.3f}; torch counts {theirs / 1e9:.3f} forward and")
    print(f"{trained / 1e9:.3f} in all, without gradients of pixels, with the scores that attention computes again")
    print(f"{3e-9 * ours * config.batch_size / step:.1f} GFLOP/s of {peak / 1e9:.1f}: {source}")
    unit = "time" if options.device == "cuda" else "CPU time; the goal is one GPU's, not measured here"
    say([Claim("lam_step_mfu", mfu, GOAL, source, unit)])


if __name__ == "__main__":
    main()
