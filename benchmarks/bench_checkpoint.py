"""How long a training waits for a checkpoint, written beside it or waited for.

The steps are those of the trainer itself, of a latent action model on one batch in memory; every so many steps it
saves. The wait of a save is the time of `Checkpoints.save`, in the training's own thread: the copy to memory, and what
is left of the checkpoint before. Writing beside the training takes time of the CPU from it, on a CPU: that is in the
time of the steps after a save, which is given too.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import torch
from bench_lam_step import Draws
from claims import Claim, say
from lam_model import make_batch

from models.lam import Lam, LamConfig
from pipelines.training import presets
from pipelines.training.distributed import Distributed
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.saving import Checkpoints
from pipelines.training.trainer import Trainer

GOAL = 0.05
"""Most of a step's time that a save may keep the training waiting."""


def measure(preset: str, batch_size: int, num_saves: int, every: int, is_async: bool) -> tuple[float, float, float]:
    """Return seconds of a step without, of a step after a save with its share of writing, and of the wait."""
    shape = presets.shape(LamConfig, "train_lam", preset)
    draws = Draws(make_batch(shape, batch_size, "cpu"), 1, on_gpu=False)
    saved_at: list[tuple[int, float]] = []
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        config = TrainLamConfig(
            data="",
            out=Path(folder),
            preset=preset,
            steps=every * (num_saves + 1),
            batch_size=batch_size,
            ema_decay=0.999,
            checkpoint_every=every,
            async_checkpoint=is_async,
        )
        torch.manual_seed(0)
        trainer = Trainer(
            model=Lam(shape),
            loader=draws,  # type: ignore[arg-type]
            config=config,
            out=config.out,
            distributed=Distributed(0, 1, torch.device("cpu")),
            title="lam",
            identity={},
            extra={},
        )
        begin_step, save = trainer.model.begin_step, Checkpoints.save

        def timed_begin(step: int, num_steps: int) -> bool:
            starts.append(time.perf_counter())
            return begin_step(step, num_steps)

        def timed_save(self: Checkpoints, step: int, *more: object) -> None:
            start = time.perf_counter()
            save(self, step, *more)  # type: ignore[arg-type]
            saved_at.append((step, time.perf_counter() - start))

        trainer.model.begin_step = timed_begin  # type: ignore[method-assign]
        Checkpoints.save = timed_save  # type: ignore[method-assign]
        try:
            trainer.train()
        finally:
            Checkpoints.save = save  # type: ignore[method-assign]
    times = [b - a for a, b in itertools.pairwise(starts)]
    # The first save uses memory for the first time, the last one ends the run.
    waits = [seconds for _, seconds in saved_at[1:-1]]
    plain = [t for i, t in enumerate(times) if i > every and (i + 1) % every and i % every]
    beside = [times[step] for step, _ in saved_at[1:-1]]
    return statistics.median(plain), statistics.median(beside), statistics.median(waits)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch", type=int, default=8, help="clips in a step")
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--every", type=int, default=4, help="steps between two saves")
    options = parser.parse_args()
    torch.set_num_threads(1)
    waits = {}
    for is_async in (False, True):
        plain, beside, wait = measure(options.preset, options.batch, options.saves, options.every, is_async)
        waits[is_async] = wait / plain
        how = "beside the training" if is_async else "waited for"
        print(
            f"{options.preset}, {options.batch} clips, {how}: a step {plain:.3f} s, the step after a save "
            f"{beside:.3f} s, the wait of a save {1e3 * wait:.1f} ms = {100 * wait / plain:.2f} % of a step"
        )
    print(f"waited for / beside: {waits[False] / waits[True]:.1f}")
    peer = f"{100 * GOAL:.0f} % of a step"
    say([Claim("checkpoint_wait", GOAL / waits[True], 1.0, peer, "share of a step, wall time; larger is better")])


if __name__ == "__main__":
    main()
