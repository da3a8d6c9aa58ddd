"""One optimiser step of `villa train lam`: clips per second, share of the device's peak, memory.

The steps are those of the trainer itself (`pipelines.training.trainer`: augmentation, loss, backward pass, clipping,
AdamW, metrics), with the recipe of the preset; only its batches, of the model's own size, lie in memory. Work is three
times the multiplications and additions of the forward pass, counted by hand below and again by torch's own counter,
which must agree; nothing that is computed twice counts twice, attention over time counts in full although it is causal.

The peak of a known GPU is what its maker states for dense matrices; of a CPU, the best that torch's matrix product
reaches here in the same precision, per second of CPU time of its threads.
"""

import argparse
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from claims import Claim, say
from torch.utils.flop_counter import FlopCounterMode

from models.batch import LamBatch
from models.lam import Lam, LamConfig
from pipelines.training import presets
from pipelines.training.distributed import Distributed
from pipelines.training.lam.lam import TrainLamConfig
from pipelines.training.loading import Seconds
from pipelines.training.trainer import Trainer

GOAL = 0.45
WARM_STEPS = 5
BATCHES = {"tiny": 16, "small": 64, "paper": 32}
"""Clips on one device; `paper` shares its 512 among many."""
HZ = 10.0
DENSE_TFLOPS = {
    ("H100 PCIe", torch.bfloat16): 756.0,
    ("H100", torch.bfloat16): 989.4,
    ("H200", torch.bfloat16): 989.4,
    ("A100", torch.bfloat16): 312.0,
}
"""From the makers' data sheets, without sparsity. Others are measured, as on a CPU."""


def forward_flops(c: LamConfig) -> int:
    """Multiplications and additions of one clip's forward pass: 2 for each number of a matrix that meets one of x."""
    t, n, k, d, e = c.num_frames, c.num_patches, c.num_slots, c.encoder_width, c.decoder_width
    pairs, patch = t - 1, 3 * c.patch_size**2
    # A token's share of one block: q, k, v and output for space, and for time; feed-forward; scores and their sums.
    encoder_token = 2 * patch * d + c.encoder_depth * (16 * d**2 + 4 * int(c.mlp_ratio * d) * d + 4 * n * d + 4 * t * d)
    readout = 6 * n * d**2 + 4 * k * n * d + k * (4 * d**2 + 24 * d**2 + 2 * d * c.latent_dim)
    m = n + (c.conditioning == "token")
    decoder = 2 * n * patch * e * 2 + 2 * c.latent_width * e + c.decoder_depth * (m * (8 + 24) * e**2 + 4 * m**2 * e)
    decoder += c.decoder_depth * 8 * e**2 * (c.conditioning == "film")
    vq = 2 * c.latent_width * c.num_codes
    proprio = 0
    if c.use_proprio:
        width = c.state_dim + c.latent_width + 2 * c.context_width * c.use_context
        heads = c.max_horizon * (c.state_dim + c.action_dim)
        proprio = 2 * c.proprio_hidden * (width + c.proprio_hidden + heads) * pairs
        proprio += 4 * c.context_width**2 * c.use_context
    return t * n * encoder_token + pairs * (readout + decoder + vq) + proprio


def make_batch(c: LamConfig, num_clips: int, device: str) -> LamBatch:
    """Noise that moves, for robots at 10 Hz."""
    t, h, side = c.num_frames, max(int(c.interval_s * HZ), 1), c.resolution
    pairs = (num_clips, t - 1)
    video = torch.zeros((num_clips, t, 3, side, side), dtype=torch.uint8, device=device)
    return LamBatch(
        video=video if device == "meta" else video.random_(0, 256),
        frame_mask=torch.ones(num_clips, t, dtype=torch.bool, device=device),
        state=torch.zeros(*pairs, c.state_dim, device=device),
        future_state=torch.zeros(*pairs, h, c.state_dim, device=device),
        action=torch.zeros(*pairs, h, c.action_dim, device=device),
        state_mask=torch.ones(*pairs, h, c.state_dim, dtype=torch.bool, device=device),
        action_mask=torch.ones(*pairs, h, c.action_dim, dtype=torch.bool, device=device),
        dataset_id=torch.ones(num_clips, dtype=torch.int64, device=device),
        control_hz=torch.full((num_clips,), HZ, device=device),
    )


def counted_flops(c: LamConfig, num_clips: int = 2) -> tuple[int, int]:
    """Let torch count a clip's forward pass, and forward and backward together, without computing them."""
    with torch.device("meta"):
        lam = Lam(c)
    batch = make_batch(c, num_clips, "meta")
    with FlopCounterMode(display=False) as forward:
        loss, _ = lam.loss(batch)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    both = forward.get_total_flops() + backward.get_total_flops()
    return forward.get_total_flops() // num_clips, both // num_clips


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


def peak_flops(device: str, dtype: torch.dtype) -> tuple[float, str]:
    """Give the most that a device does in a second, and how that is known."""
    name = torch.cuda.get_device_name() if device == "cuda" else "this CPU"
    for (known, kind), tflops in DENSE_TFLOPS.items():
        if known in name and kind == dtype:
            return 1e12 * tflops, f"{name}, dense {dtype}, data sheet"
    side = 8192 if device == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        start = time.perf_counter() if device == "cuda" else time.process_time()
        for _ in range(2):
            a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        end = time.perf_counter() if device == "cuda" else time.process_time()
        best = max(best, 2 * 2 * side**3 / (end - start))
    return best, f"{name}, {dtype}, best of its own matrix products of side {side}"


def peak_memory(device: str) -> str:
    """Say what was taken at most."""
    if device == "cuda":
        return f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of the GPU"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB of the whole process"


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
    words = parser.parse_args()
    torch.set_num_threads(1)
    shape = presets.shape(LamConfig, "train_lam", words.preset)
    ours = forward_flops(shape)
    theirs, trained = counted_flops(shape)
    if ours != theirs:
        raise SystemExit(f"counted by hand {ours}, by torch {theirs} for a clip's forward pass")
    with tempfile.TemporaryDirectory() as place:
        settings = {
            "steps": WARM_STEPS + words.steps * words.repeats + 1,
            "batch_size": words.batch or BATCHES[words.preset],
            "compile": words.compile,
            "checkpoint_activations": words.checkpoint_activations,
            **({} if words.bf16 is None else {"bf16": words.bf16}),
        }
        config = TrainLamConfig(data="", out=Path(place), preset=words.preset, **settings)
        seconds = sorted(step_seconds(config, shape, words.device, words.steps))
    peak, source = peak_flops(words.device, torch.bfloat16 if config.bf16 else torch.float32)
    step = statistics.median(seconds)
    mfu = 3 * ours * config.batch_size / step / peak
    how = f"bf16 {config.bf16}, compile {config.compile}"
    print(f"preset {words.preset}, {config.batch_size} clips, {words.device}, {how}")
    spread = f"[{1e3 * seconds[0]:.1f} to {1e3 * seconds[-1]:.1f}]"
    clock = "" if words.device == "cuda" else " of CPU time, one thread"
    print(f"{1e3 * step:.1f} ms{clock} per step {spread}, {config.batch_size / step:.2f} clips/s")
    print(f"peak memory {peak_memory(words.device)}")
    print(f"{3 * ours / 1e9:.3f} GFLOP per clip: 3 x {ours / 1e9:.3f}; torch counts {theirs / 1e9:.3f} forward and")
    print(f"{trained / 1e9:.3f} in all, without gradients of pixels, with the scores that attention computes again")
    print(f"{3e-9 * ours * config.batch_size / step:.1f} GFLOP/s of {peak / 1e9:.1f}: {source}")
    unit = "time" if words.device == "cuda" else "CPU time; the goal is one GPU's, not measured here"
    say([Claim("lam_step_mfu", mfu, GOAL, source, unit)])


if __name__ == "__main__":
    main()
