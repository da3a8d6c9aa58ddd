"""Does the model still get better on what it does not see?

The same held-out batches with the same noise are evaluated again and again. Nothing that training depends on moves: not
the model, not the loader, not the generators.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.mixture import Mixture, WindowSampler
from dataengine.windows.window import EpisodeReader, Window, WindowSpec
from models.parts import Counts, Random, by_row
from pipelines.training.by_group import GroupSums
from pipelines.training.loading import Loader
from pipelines.training.parts import BatchParts

Pictures = Mapping[str, NDArray[np.uint8]]
"""By name; (height, width, 3)."""


class Look(NamedTuple):
    """What one evaluation comes to."""

    figures: dict[str, float]
    """The loss, `loss`, and what describes it, averaged over the batches."""
    pictures: Pictures
    by_group: dict[str, float]
    """The same by dataset and embodiment, by the names that `by_group.key` gives."""


EvaluateBatch = Callable[[Any, Any, Random, Counts | None], Mapping[str, Tensor]]
"""From a model, a batch, random numbers and counts to the loss, `loss`, and figures that describe it."""

SEED = 0
"""Of windows and noise, whatever the run's own seed: curves of several seeds are over the same windows."""


class Validation:
    """A fixed number of held-out batches, as large as those of training; all ranks evaluate their share of each."""

    def __init__(
        self,
        *,
        loader: Loader[Any],
        num_batches: int,
        parts: BatchParts,
        evaluate: EvaluateBatch,
        draw: Callable[[Any, Any], Pictures],
        figures_of: Callable[[Any, Mapping[str, Tensor]], Mapping[str, Tensor]] = lambda model, means: means,
        best_from: int = 0,
    ) -> None:
        """Evaluate the first `num_batches` of a loader of held-out windows.

        `evaluate` is how the model is evaluated, `draw` makes pictures of the first batch. `figures_of` makes of the
        means over some rows of batches what is said of them. Losses count for the best one from step `best_from` on.
        """
        self.loader, self.num_batches, self.parts = loader, num_batches, parts
        self.best_from = best_from
        self._evaluate, self._draw, self._figures_of = evaluate, draw, figures_of

    def run(self, model: Any, root: Callable[..., Any] | None = None, draws: bool = True) -> Look:
        """Average the figures over the batches; pictures, where it draws some, are for the main process alone.

        A sharded model is called through its `root`, which takes a function and what follows the model in its call.
        """
        call = root or (lambda function, *args: function(model, *args))
        pictures: Pictures = {}
        sums: dict[str, Tensor] = {}
        distributed = self.parts.distributed
        groups = GroupSums.of(self.loader.reader.episodes.setups, distributed.device)
        num_parts = self.parts.config.grad_accumulation_steps
        # Arrays that are used again would be memory which training cannot have.
        with unchanged(model), self.loader.collator.buffers.apart():
            for number in range(self.num_batches):
                key = f"validation|{SEED}|{number}"
                made = [self._batch(number * num_parts + part) for part in range(num_parts)]
                batches, windows = zip(*made, strict=True)
                counts = self.parts.counts(model, batches, key)
                for part, batch in enumerate(batches):
                    with by_row(len(windows[part])) as rows:
                        figures = call(self._evaluate, batch, self.parts.draws(key, part), counts)
                    groups.add(windows[part], rows)
                    for name, value in figures.items():
                        sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach().double()
                if draws and number == 0 and distributed.is_main_process:
                    pictures = self._draw(model, batches[0])
        names = sorted(sums)
        means = distributed.all_reduce_mean(torch.stack([sums[name] for name in names]))
        by_group = groups.figures(distributed, lambda of_rows: self._figures_of(model, of_rows))
        averages = dict(zip(names, (means / (self.num_batches * num_parts)).tolist(), strict=True))
        return Look(averages, pictures, by_group)

    def _batch(self, number: int) -> tuple[Any, list[Window]]:
        batch, windows = self.loader.make_with_windows(number)
        return batch.to(self.parts.distributed.device), windows

    def close(self) -> None:
        """Stop the threads."""
        self.loader.close()
        self.loader.collator.frames.close()


@dataclass
class Curve:
    """What the evaluations of a run came to: the last one, and the one with the lowest loss.

    Each is empty or has a `step`, its `loss` and the `figures` beside it. Losses count for the lowest from step
    `best_from` on, and only those over the same `num_batches` are compared.
    """

    best_from: int = 0
    num_batches: int = 0
    last: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of a step."""
        others = {name: value for name, value in figures.items() if name != "loss"}
        self.last = {"step": step, "loss": figures["loss"], "figures": others}
        if step >= self.best_from and figures["loss"] < self.best.get("loss", math.inf):
            self.best = self.last

    def state_dict(self) -> dict[str, Any]:
        """Give all that a checkpoint must keep."""
        counted = {"num_batches": self.num_batches, "best_from": self.best_from}
        return {"last": self.last, "best": self.best, **counted}

    def load_state_dict(self, state: Mapping[str, Any]) -> str:
        """Go on from it, and say why the lowest loss is no longer that; a checkpoint of an older version has none."""
        self.last, best = state.get("last", {}), state.get("best", {})
        before = state.get("num_batches", self.num_batches)
        self.best = best if before == self.num_batches and best.get("step", 0) >= self.best_from else {}
        if not best or self.best:
            return ""
        why = f"are over {self.num_batches} batches, were over {before}"
        if before == self.num_batches:
            why = f"count from step {self.best_from} on"
        lowest = f"{best['loss']:.4f} at step {best['step']}"
        return f"the lowest loss on held-out windows, {lowest}, no longer counts: losses {why}"


def held_out_sampler(
    episodes: EpisodeTable, spec: WindowSpec, batch_size: int, shares: Mapping[str, float]
) -> WindowSampler | None:
    """Draw held-out windows by the shares that training draws by; None where there is no window."""
    drawn = episodes.select(episodes.having(s.dataset in shares for s in episodes.setups))
    long_enough = drawn.select(spec.count_windows(drawn) > 0)
    if not long_enough:
        return None
    there = {setup.dataset for setup, _, _ in long_enough.by_setup()}
    weights = {name: share for name, share in shares.items() if name in there}
    return WindowSampler(long_enough, spec, batch_size=batch_size, seed=SEED, mixture=Mixture(weights=weights))


def unseen(sampler: WindowSampler, reader: EpisodeReader, num_batches: int) -> Iterator[str]:
    """Say which datasets have held-out windows, and none among those that are looked at."""
    rows = {row for number in range(num_batches) for row, _ in sampler.batch(number)}
    seen = {reader.episodes[row].dataset for row in rows}
    if missed := sorted(set(sampler.datasets) - seen):
        yield (
            f"validation sees no window of {', '.join(missed)}: their shares of the mixture are small; a larger "
            f"--set val_batches= shows their losses, too"
        )


@contextlib.contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Evaluate a model, without gradients; afterwards it, and torch's generators, are as they were."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def contact_sheet(frames: UInt8[Tensor, "rows columns c height width"]) -> NDArray[np.uint8]:
    """Lay pictures out, a row below another."""
    return rearrange(frames, "r k c h w -> (r h) (k w) c").cpu().numpy()
