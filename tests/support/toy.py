"""A model with everything that a resumed run must get right: dropout, a generator, a buffer, a schedule."""

import os
import signal
from pathlib import Path

import torch
from torch import Tensor, nn

from dataengine.windows.mixture import WindowSampler
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec
from models.batch import LamBatch
from models.config import Config
from models.parts import Counts, Random, normal
from pipelines.training.collators import LamCollator
from pipelines.training.deferred import Weights
from pipelines.training.distributed import Distributed, process_group
from pipelines.training.frames import Buffers, Frames
from pipelines.training.loading import Loader, num_ahead, num_buffers
from pipelines.training.settings import LoopConfig
from pipelines.training.trainer import Trainer, TrainResult
from tests.support.held_out import make_validation
from tests.support.readers import MadeReader, make_episode, statistics

SPEC = WindowSpec(num_frames=2, interval_s=0.3)


class ToyConfig(Config):
    width: int = 8


class Toy(nn.Module):
    def __init__(self, noise: float = 0.1, dropout: float = 0.2) -> None:
        super().__init__()
        self.config = ToyConfig()
        self.noise = noise
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)])
        self.read = nn.Linear(3, 8)
        self.write = nn.Linear(8, 7)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("seen", torch.zeros(()))
        self.at_step = lambda step: None

    def begin_step(self, step: int, num_steps: int) -> None:
        self.at_step(step)

    def counts(self, batch: LamBatch, random: Random) -> dict[str, Tensor]:
        return {}

    def loss(self, batch: LamBatch, random: Random, counts: Counts | None) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen += 1
        x = self.read(batch.video[:, 0].float().mean((-1, -2)) / 255)
        for block in self.blocks:
            x = x + block(x)
        x = self.dropout(x + self.noise * normal(x.shape, x.device, random))
        wrong = (self.write(x) - batch.action[:, 0, 0]).square()
        loss = wrong.mean() + 1e-3 * self.seen * x.square().mean()
        return loss, {"wrong": wrong.mean().detach(), "seen": self.seen.clone()}


def make_run(
    out: Path,
    model: Toy | None = None,
    distributed: Distributed | None = None,
    validates: bool = False,
    weights: Weights | None = None,
    **changes: object,
) -> Trainer:
    plain = {"steps": 12, "batch_size": 8, "lr": 1e-2, "log_every": 1, "checkpoint_every": 4, "ema_decay": 0.9}
    config = LoopConfig(**(plain | changes))
    distributed = distributed or Distributed(0, 1, torch.device("cpu"))
    if model is None:
        torch.manual_seed(config.seed)
        model = Toy()
    reader = MadeReader([make_episode(row) for row in range(4)])
    collator = LamCollator(
        frames=Frames(reader, ("primary",), 32, cache_mb=10),
        buffers=Buffers(num_buffers(config.grad_accumulation_steps)),
        normalizer=Normalizer(statistics(reader)),
        state_dim=7,
        action_dim=7,
    )
    sampler = WindowSampler(reader.episodes, SPEC, batch_size=config.micro_batch_size, seed=0)
    loader = Loader(
        reader,
        SPEC,
        sampler,
        collator,
        distributed.rank,
        distributed.world_size,
        num_ahead(config.grad_accumulation_steps),
    )
    out.mkdir(exist_ok=True, parents=True)
    more = MadeReader([make_episode(row) for row in range(7)])
    identity = {"lr": config.lr, "data": reader.identity.fingerprint}
    trainer = Trainer(
        model=model,
        loader=loader,
        config=config,
        out=out,
        distributed=distributed,
        title="toy",
        identity=identity,
        extra={"why": "test"},
        validation=make_validation(more, more.episodes[4:], SPEC, collator, config, distributed) if validates else None,
        weights=weights,
    )
    trainer.resume()
    return trainer


def losses(out: Path) -> list[tuple[int, float, float, float]]:
    import json

    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["wrong"], line["grad_norm"]) for line in lines if "loss" in line]


def val_losses(out: Path) -> list[tuple[int, float, float]]:
    import json

    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["val_loss"], line["val_wrong"]) for line in lines if "val_loss" in line]


def weights(out: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(out / "model" / "model.safetensors")


def main(out: str, die_at: str) -> TrainResult:
    """Train in a process of its own, and let it be killed in the middle of a step."""
    with process_group(torch.device("cpu")) as distributed:
        run = make_run(Path(out), distributed=distributed, validates=True, val_every=3)
        run.model.at_step = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == int(die_at) else None
        result = run.train()
        run.export(Path(out) / "model")
    return result


def without_noise(out: str) -> None:
    """Train without what each rank draws for itself."""
    torch.manual_seed(0)
    Toy.__init__.__defaults__ = (0.0, 0.0)
    main(out, "-1")
