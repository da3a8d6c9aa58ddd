"""A step in parts, on one rank or on two, has the gradients of the whole, however unevenly parts are filled."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dataengine.mixture import Mixture, WindowSampler
from dataengine.normalize import Normalizer
from dataengine.windows import WindowSpec
from models.act import Act, ActConfig
from models.lam import Lam, LamConfig
from models.world import World, WorldConfig
from pipelines.training.batches import ActBatches, LamBatches
from pipelines.training.frames import Buffers, Frames
from pipelines.training.loading import Loader, num_ahead, num_buffers
from pipelines.training.ranks import Ranks
from pipelines.training.settings import LoopConfig
from pipelines.training.tokenizer import Tokenizer
from pipelines.training.trainer import Trainer
from pipelines.training.world_batches import WorldBatches
from tests.training.readers import D, K, MadeReader, make_episode, statistics

ROOT = Path(__file__).parents[2]
BATCH = 8
HALF_HUMAN = Mixture(human_share=0.5)


def reader() -> MadeReader:
    """Robots, human clips, and episodes so short that pairs and actions are missing."""
    human = {"kind": "human", "dataset": "kitchen", "dataset_id": 2, "embodiment": "human_hand", "embodiment_id": 2}
    robots = [make_episode(row, num_steps=5 + 9 * (row % 2)) for row in range(4)]
    return MadeReader([*robots, *(make_episode(row, num_steps=7, **human) for row in range(4, 8))])


def act_run(out: Path, ranks: Ranks, config: LoopConfig) -> Trainer:
    made = reader()
    shape = ActConfig.preset(
        "tiny", state_dims=[7] * 3, action_dims=[7] * 3, num_datasets=3, codes_per_latent=K, latent_dim=D, horizon=6
    )
    spec = WindowSpec(interval_s=0.3, horizon=6, latent="lam", num_latents=2)
    batches = ActBatches(
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
    return run_of(out, ranks, config, Act(shape), made, spec, batches)


def lam_run(out: Path, ranks: Ranks, config: LoopConfig) -> Trainer:
    made = reader()
    small = {"resolution": 32, "encoder_width": 16, "decoder_width": 16, "encoder_depth": 1, "decoder_depth": 1}
    # Normalised over a part, latents would depend on the parts.
    shape = LamConfig.preset(
        "tiny", **small, normalize_latents=False, warmup_fraction=0.0, state_dim=7, action_dim=7, max_horizon=4
    )
    spec = WindowSpec(num_frames=3, interval_s=0.3)
    batches = LamBatches(
        frames=Frames(made, ("primary",), 32, cache_mb=10),
        buffers=Buffers(num_buffers(config.grad_accumulation_steps)),
        normalizer=Normalizer(statistics(made)),
        state_dim=7,
        action_dim=7,
    )
    torch.manual_seed(0)
    return run_of(out, ranks, config, Lam(shape), made, spec, batches)


def world_run(out: Path, ranks: Ranks, config: LoopConfig) -> Trainer:
    made = reader()
    shape = WorldConfig.preset("tiny", resolution=32, width=16, depth=1, num_slots=K, latent_dim=D, rollout_growth=0)
    spec = WindowSpec(num_frames=4, interval_s=0.3, latent="lam", num_latents=3)
    batches = WorldBatches(
        frames=Frames(made, ("primary",), 32, cache_mb=10), buffers=Buffers(num_buffers(config.grad_accumulation_steps))
    )
    torch.manual_seed(0)
    return run_of(out, ranks, config, World(shape), made, spec, batches)


def run_of(out, ranks, config, model, made, spec, batches) -> Trainer:  # type: ignore[no-untyped-def]
    sampler = WindowSampler(made.episodes, spec, batch_size=config.micro_batch_size, seed=0, mixture=HALF_HUMAN)
    loader = Loader(
        made, spec, sampler, batches, ranks.rank, ranks.world_size, num_ahead(config.grad_accumulation_steps)
    )
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        model=model, loader=loader, config=config, out=out, ranks=ranks, title="made", identity={}, extra={}
    )
    trainer.resume()
    return trainer


RUNS = {"act": act_run, "lam": lam_run, "world": world_run}


def gradients(kind: str, out: Path, ranks: Ranks, accumulate: int) -> dict[str, Tensor]:
    """Take one step; give its gradients, and the figures that it logs by the names of `SAME`."""
    config = LoopConfig(
        steps=1, batch_size=BATCH, grad_accumulation_steps=accumulate, max_grad_norm=1e9, log_every=1, weight_decay=0
    )
    run = RUNS[kind](out / f"{kind}-{accumulate}-{ranks.rank}-{ranks.world_size}", ranks, config)
    found: dict[str, Tensor] = {}
    step = run.optimizer.step

    def watched() -> None:
        found.update({n: p.grad.clone() for n, p in run.model.named_parameters() if p.grad is not None})
        step()

    run.optimizer.step = watched  # type: ignore[method-assign, assignment]
    figures = run.train().figures
    run.loader.close()
    return found | {f"logged {name}": torch.tensor(figures[name]) for name in SAME if name in figures}


SAME = ("loss", "robot", "latent", "proprio", "visual", "vq", "state", "action", "state_if_held", "grad_norm")


def alone() -> Ranks:
    return Ranks(0, 1, torch.device("cpu"))


def compare(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    scale = max(float(value.abs().max()) for name, value in one.items() if not name.startswith("logged"))
    for name, value in one.items():
        torch.testing.assert_close(
            other[name], value, rtol=2e-3, atol=1e-5 * max(scale, 1.0), msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("kind", RUNS)
def test_a_step_in_parts_has_the_gradients_of_the_whole(kind: str, tmp_path: Path) -> None:
    whole = gradients(kind, tmp_path, alone(), 1)
    for parts in (2, 4, 8):
        compare(whole, gradients(kind, tmp_path, alone(), parts))


def test_a_batch_of_human_clips_alone_has_no_robot_term(tmp_path: Path) -> None:
    """Parts of one clip: every second one is a human's, and its empty mean must weigh nothing."""
    masks: list[bool] = []
    config = LoopConfig(steps=1, batch_size=BATCH, grad_accumulation_steps=8, max_grad_norm=1e9, log_every=1)
    run = act_run(tmp_path, alone(), config)
    loss: Callable = run.model.loss
    run.model.loss = lambda batch, *more: (masks.append(bool(batch.action_mask.any())), loss(batch, *more))[1]
    run.train()
    assert 0 < sum(masks) < 8


@pytest.mark.slow
def test_two_ranks_have_the_gradients_of_one(tmp_path: Path) -> None:
    script = (
        "import sys, torch; from pathlib import Path; from tests.training import test_parts as t\n"
        "from pipelines.training.ranks import join\n"
        "with join(torch.device('cpu')) as ranks:\n"
        "    for kind in t.RUNS:\n"
        "        found = t.gradients(kind, Path(sys.argv[1]), ranks, 2)\n"
        "        if ranks.leads: torch.save(found, Path(sys.argv[1]) / f'{kind}.pt')\n"
    )
    (tmp_path / "two.py").write_text(script)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*torchrun, str(tmp_path / "two.py"), str(tmp_path)], cwd=ROOT, check=True, capture_output=True, env=environment
    )
    for kind in RUNS:
        two = torch.load(tmp_path / f"{kind}.pt", weights_only=True)
        compare(gradients(kind, tmp_path / "one", alone(), 1), {n.removeprefix("module."): v for n, v in two.items()})
