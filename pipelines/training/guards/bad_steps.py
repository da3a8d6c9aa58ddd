"""Steps whose loss or gradient is no number, or far above the last ones: written down, then skipped or the end.

All ranks judge the same numbers, so they decide alike. They judge on the device, which no step waits for: what they
decided is read when an entry of the metrics is due, and before a checkpoint. A skipped step leaves weights, optimiser
and buffers as they were; that, too, is decided on the device.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor, nn

from dataengine.errors import DataEngineError
from pipelines.training.distributed import Distributed
from pipelines.training.guards.spikes import NAMES, Spikes
from pipelines.training.json_lines import cut_after
from pipelines.training.loading import B, Loader
from pipelines.training.settings import LoopConfig

FILE = "bad_steps.jsonl"
MOST_IN_A_ROW = 10
"""Skipped steps, after which skipping does not help."""
MOST_NAMED = 3
"""Episodes that a message names; the file has all."""


@dataclass(frozen=True)
class _Step:
    """What is known of a step, on the host."""

    step: int
    skipped: bool
    median: Mapping[str, float]
    limits: Mapping[str, float]
    losses: Sequence[Sequence[float]]
    """Of each part, by rank."""
    grad_norm: float

    @property
    def values(self) -> dict[str, float]:
        """Give loss and gradient norm of the whole step."""
        losses = [loss for parts in self.losses for loss in parts]
        return {"loss": sum(losses) / len(losses), "grad_norm": self.grad_norm}

    @property
    def reason(self) -> str:
        """Say what is wrong; nothing where nothing is."""
        for name, value in self.values.items():
            if not math.isfinite(value):
                return f"{name} is {value}"
        for name, value in self.values.items():
            if value > self.limits[name]:
                return f"{name} is {value:.4g}, above {self.limits[name]:.4g} (median {self.median[name]:.4g})"
        return ""

    @property
    def is_finite(self) -> bool:
        """Tell whether there are numbers to go on with."""
        return all(math.isfinite(value) for value in self.values.values())

    def suspects(self) -> list[tuple[int, int]]:
        """Name the ranks and their parts that a bad loss came from: all of them, where only the gradient is bad."""
        parts = {(r, p): loss for r, losses in enumerate(self.losses) for p, loss in enumerate(losses)}
        bad = [which for which, loss in parts.items() if not math.isfinite(loss)]
        if bad or not self.is_finite:
            return bad or list(parts)
        return [max(parts, key=lambda which: parts[which])]


class BadSteps(Generic[B]):
    """Judges every step: `begin`, then `update` in the optimiser's place, and now and then `check`."""

    def __init__(
        self,
        config: LoopConfig,
        distributed: Distributed,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: Loader[B],
        out: Path,
        say: Callable[[str], None],
    ) -> None:
        self.config, self.distributed = config, distributed
        self.loader: Loader[B] = loader
        self.path, self._say = out / FILE, say
        self._optimizer, self._buffers = optimizer, list(model.buffers())
        self._kept: list[Tensor] = []
        self._spikes = Spikes(config.spike_deviations, config.spike_window, distributed.device)
        self._unread: list[tuple[int, Tensor]] = []
        self._in_a_row, self._last_said = 0, -math.inf
        self.skips = "skip" in (config.on_bad_step, config.on_spike)

    def begin(self) -> None:
        """Keep what a forward pass changes: a step that is skipped gives it back."""
        if self.skips:
            self._kept = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def update(self, step: int, losses: Sequence[Tensor], grad_norm: Tensor) -> Tensor | None:
        """Take the optimiser's step `step`, counted from 1, unless the losses of its parts or the gradient are bad.

        Returns, on the device, whether it was skipped; None where none ever is.
        """
        own = torch.stack([*(loss.detach().double() for loss in losses), grad_norm.detach().double()])
        every = self.distributed.all_gather(own)  # (ranks, parts + 1)
        values = torch.stack([every[:, :-1].mean(), every[0, -1]])
        median, limits = self._spikes.limits()
        is_finite, is_spike = values.isfinite(), values > limits
        skip = torch.zeros((), dtype=torch.bool, device=values.device)
        if self.config.on_bad_step == "skip":
            skip = skip | ~is_finite.all()
        if self.config.on_spike == "skip":
            skip = skip | is_spike.any()
        self._spikes.add(values, is_finite & ~skip, median)
        self._unread.append((step, torch.cat([skip.double()[None], median, limits, every.flatten()])))
        self._step_unless(skip)
        return skip if self.skips else None

    def _step_unless(self, skip: Tensor) -> None:
        """Take the optimiser's step, or give the buffers back what they held before the forward pass."""
        if not self.skips:
            self._optimizer.step()
            return
        if getattr(self._optimizer, "_step_supports_amp_scaling", False):  # as torch's gradient scaler asks
            self._optimizer.found_inf = skip.float()  # type: ignore[attr-defined]
            self._optimizer.step()
        elif not bool(skip):  # of 8 bits: it cannot decide on the device, so every step waits for it
            self._optimizer.step()
        for buffer, before in zip(self._buffers, self._kept, strict=True):
            buffer.copy_(torch.where(skip, before, buffer))
        self._kept = []

    def check(self) -> None:
        """Read what was judged since the last call and write down what is bad; all ranks call it at the same step.

        Raise DataEngineError where a step ends the run.
        """
        if not self._unread:
            return
        numbers = torch.stack([judged for _, judged in self._unread]).tolist()
        steps = [self._read(step, row) for (step, _), row in zip(self._unread, numbers, strict=True)]
        self._unread = []
        for one in steps:
            self._in_a_row = self._in_a_row + 1 if one.skipped else 0
            if one.reason:
                self._handle(one)

    def _read(self, step: int, row: Sequence[float]) -> _Step:
        skipped, *others = row
        median, limits = (dict(zip(NAMES, others[i : i + 2], strict=True)) for i in (0, 2))
        width = self.config.grad_accumulation_steps + 1
        ranks = [others[i : i + width] for i in range(4, len(others), width)]
        return _Step(step, bool(skipped), median, limits, [rank[:-1] for rank in ranks], ranks[0][-1])

    def _handle(self, one: _Step) -> None:
        """Write a bad step down, say it, and end the run where it must."""
        policy = self.config.on_spike if one.is_finite else self.config.on_bad_step
        suspects = [
            {
                "rank": rank,
                "part": part,
                "loss": _number(one.losses[rank][part]),
                "episodes": self._episodes(one, rank, part),
            }
            for rank, part in one.suspects()
        ]
        if self.distributed.is_main_process:
            values = {name: _number(value) for name, value in one.values.items()}
            entry = {"step": one.step, "reason": one.reason, "policy": policy, **values, "batches": suspects}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        message = f"{one.reason} at step {one.step}: {_shown(suspects)}; all in {self.path}"
        if policy == "stop":
            raise BadStepError(message, is_finite=one.is_finite)
        if self._in_a_row >= MOST_IN_A_ROW:
            raise BadStepError(f"{MOST_IN_A_ROW} steps in a row are bad, the last: {message}", is_finite=one.is_finite)
        if policy == "skip" or one.step - self._last_said > self.config.spike_window:
            self._last_said = one.step
            self._say(f"{message} ({'skipped' if policy == 'skip' else 'learnt from all the same'})")

    def _episodes(self, one: _Step, rank: int, part: int) -> list[dict[str, str]]:
        """Name the episodes of a rank's part, as they were drawn; those whose pictures do not decode were not shown."""
        loader = self.loader
        micro_step = (one.step - 1) * self.config.grad_accumulation_steps + part
        rows = [row for row, _ in loader.sampler.batch(micro_step, rank, self.distributed.world_size)]
        episodes = (loader.reader.episodes[row] for row in dict.fromkeys(rows))
        broken = loader.collator.frames.broken_episodes
        return [{"dataset": e.dataset, "episode": e.episode_id} for e in episodes if e.episode_id not in broken]

    def resume(self, step: int, state: Mapping[str, Any]) -> None:
        """Go on after a step, with what a checkpoint kept: nothing, if it is of an older version."""
        if self.distributed.is_main_process:
            cut_after(self.path, step)
        if state:
            self._spikes.load_state_dict(state["recent"])
            self._in_a_row = state["in_a_row"]

    def state_dict(self) -> dict[str, Any]:
        """Give all that a checkpoint must keep; `check` comes before."""
        return {"recent": self._spikes.state_dict(), "in_a_row": self._in_a_row}


class BadStepError(DataEngineError):
    """A step that the run must not go on after."""

    def __init__(self, message: str, *, is_finite: bool) -> None:
        super().__init__(message)
        self.is_finite = is_finite


def _number(value: float) -> float | None:
    """Give a number that JSON has."""
    return value if math.isfinite(value) else None


def _shown(suspects: Sequence[Mapping[str, Any]]) -> str:
    """Name a few episodes of each rank's part, few parts at most."""
    parts = []
    for one in suspects[:MOST_NAMED]:
        names = [f"{e['dataset']}/{e['episode']}" for e in one["episodes"]]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        parts.append(f"rank {one['rank']} had {', '.join(names[:MOST_NAMED])}{more}")
    others = len(suspects) - MOST_NAMED
    return "; ".join(parts) + (f"; {others} more" if others > 0 else "")
