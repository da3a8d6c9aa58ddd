"""One training step of each model, and its gradients on one rank or several."""

from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from dataengine.windows.mixture import Mixture, WindowSampler
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec
from models.act import Act
from models.lam import Lam
from models.world import World
from pipelines.training.collators import ActCollator, LamCollator
from pipelines.training.distributed import Distributed
from pipelines.training.frames import Buffers, Frames
from pipelines.training.loading import Loader, num_ahead, num_buffers
from pipelines.training.settings import LoopConfig
from pipelines.training.tokenizer import Tokenizer
from pipelines.training.trainer import Trainer
from pipelines.training.world.collator import WorldCollator
from tests.support.held_out import make_validation
from tests.support.readers import D, K, MadeReader, make_episode, statistics
from tests.support.shapes import act_shape, lam_shape, world_shape

BATCH = 8

HALF_HUMAN = Mixture(human_share=0.5)


def reader() -> MadeReader:
    """Robots, human clips, and episodes so short that pairs and actions are missing."""
    human = {"kind": "human", "dataset": "kitchen", "dataset_id": 2, "embodiment": "human_hand", "embodiment_id": 2}
    robots = [make_episode(row, num_steps=5 + 9 * (row % 2)) for row in range(4)]
    return MadeReader([*robots, *(make_episode(row, num_steps=7, **human) for row in range(4, 8))])


def act_run(out: Path, distributed: Distributed, config: LoopConfig, validates: bool = False) -> Trainer:
    made = reader()
    shape = act_shape(
        "tiny", state_dims=[7] * 3, action_dims=[7] * 3, num_datasets=3, codes_per_latent=K, latent_dim=D, horizon=6
    )
    spec = WindowSpec(interval_s=0.3, horizon=6, latent="lam", num_latents=2)
    collator = ActCollator(
        frames=Frames(made, ("primary",), 64, cache_mb=10),
        buffers=Buffers(num_buffers(config.grad_accumulation_steps)),
        normalizer=Normalizer(statistics(made)),
        tokenizer=Tokenizer.train(["close the jar"], 300),
        text_length=16,
        state_dim=7,
        action_dim=7,
        horizon=6,
        latent_shape=(2, K, D),
        use_wrist=False,
        padded_actions="skip",
    )
    torch.manual_seed(0)
    return run_of(out, distributed, config, Act(shape), made, spec, collator, validates)


def lam_run(
    out: Path, distributed: Distributed, config: LoopConfig, validates: bool = False, warmup_fraction: float = 0.0
) -> Trainer:
    made = reader()
    small = {"resolution": 32, "encoder_width": 16, "decoder_width": 16, "encoder_depth": 1, "decoder_depth": 1}
    # Normalised over a part, latents would depend on the parts.
    shape = lam_shape(
        "tiny",
        **small,
        normalize_latents=False,
        warmup_fraction=warmup_fraction,
        state_dim=7,
        action_dim=7,
        max_horizon=4,
    )
    spec = WindowSpec(num_frames=3, interval_s=0.3)
    collator = LamCollator(
        frames=Frames(made, ("primary",), 32, cache_mb=10),
        buffers=Buffers(num_buffers(config.grad_accumulation_steps)),
        normalizer=Normalizer(statistics(made)),
        state_dim=7,
        action_dim=7,
    )
    torch.manual_seed(0)
    return run_of(out, distributed, config, Lam(shape), made, spec, collator, validates)


def world_run(out: Path, distributed: Distributed, config: LoopConfig, validates: bool = False) -> Trainer:
    made = reader()
    shape = world_shape("tiny", resolution=32, width=16, depth=1, num_slots=K, latent_dim=D, rollout_growth=0)
    spec = WindowSpec(num_frames=4, interval_s=0.3, latent="lam", num_latents=3)
    collator = WorldCollator(
        frames=Frames(made, ("primary",), 32, cache_mb=10), buffers=Buffers(num_buffers(config.grad_accumulation_steps))
    )
    torch.manual_seed(0)
    return run_of(out, distributed, config, World(shape), made, spec, collator, validates)


def run_of(out, distributed, config, model, made, spec, collator, validates) -> Trainer:  # type: ignore[no-untyped-def]
    sampler = WindowSampler(made.episodes, spec, batch_size=config.micro_batch_size, seed=0, mixture=HALF_HUMAN)
    loader = Loader(
        made,
        spec,
        sampler,
        collator,
        distributed.rank,
        distributed.world_size,
        num_ahead(config.grad_accumulation_steps),
    )
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        model=model,
        loader=loader,
        config=config,
        out=out,
        distributed=distributed,
        title="made",
        identity={},
        extra={},
        validation=make_validation(made, made.episodes, spec, collator, config, distributed) if validates else None,
    )
    trainer.resume()
    return trainer


RUNS = {"act": act_run, "lam": lam_run, "world": world_run}


def gradients(kind: str, out: Path, distributed: Distributed, accumulate: int, **settings: object) -> dict[str, Tensor]:
    """Take one step; give its gradients, and the figures that it logs by the names of `SAME`."""
    config = LoopConfig(
        steps=1,
        batch_size=BATCH,
        grad_accumulation_steps=accumulate,
        max_grad_norm=1e9,
        log_every=1,
        weight_decay=0,
        **settings,
    )
    run = RUNS[kind](out / f"{kind}-{accumulate}-{distributed.world_size}", distributed, config)
    gradients_seen: dict[str, Tensor] = {}
    step = run.optimizer.step

    def watched() -> None:
        seen = {n: p.grad for n, p in run.model.named_parameters() if p.grad is not None}
        gradients_seen.update({n: g.full_tensor() if isinstance(g, DTensor) else g.clone() for n, g in seen.items()})
        step()

    run.optimizer.step = watched  # type: ignore[method-assign, assignment]
    figures = run.train().figures
    run.loader.close()
    return gradients_seen | {f"logged {name}": torch.tensor(figures[name]) for name in SAME if name in figures}


def quantizer(out: Path, distributed: Distributed, accumulate: int) -> dict[str, Tensor]:
    """Train a LAM whose codebook starts midway; give codes, how often each was used, and recent tokens."""
    config = LoopConfig(steps=5, batch_size=BATCH, grad_accumulation_steps=accumulate, log_every=1)
    run = lam_run(out / f"{accumulate}-{distributed.world_size}", distributed, config, warmup_fraction=0.6)
    run.train()
    run.loader.close()
    vq = run.model.vq
    assert vq.started
    return {"codebook": vq.embedding.weight.detach(), "usage": vq.usage, "recent": vq.recent}


SAME = ("loss", "robot", "latent", "proprio", "visual", "vq", "state", "action", "state_if_held", "grad_norm")
