"""A run's figures: summed on the device, averaged over steps and ranks, written where it is time for it."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor, nn

from pipelines.training.data_wait import advice
from pipelines.training.distributed import Distributed
from pipelines.training.grad_norms import grad_norms
from pipelines.training.loading import B, Loader
from pipelines.training.loggers.logger import VAL
from pipelines.training.metrics import Metrics
from pipelines.training.protocols import Callback
from pipelines.training.settings import LoopConfig, learning_rate
from pipelines.training.speed import FlopsPerWindow, Speed
from pipelines.training.validation import Curve, Look, Validation

SKIPPED = "skipped_steps"
Evaluate = Callable[[Validation], Look]


class Recorder(Generic[B]):
    """Writes the entries of one run, and looks at held-out windows."""

    loader: Loader[B]
    sums: dict[str, Tensor]
    """Figures since the last entry, summed on the device."""
    num_summed: int
    """Optimiser steps since the last entry."""
    figures: dict[str, float]
    """The last entry of metrics.jsonl."""
    val_seconds: float
    """Time that evaluations took, in this call."""

    def __init__(
        self,
        *,
        loader: Loader[B],
        config: LoopConfig,
        distributed: Distributed,
        title: str,
        callback: Callback | None,
        validation: Validation | None,
        flops: FlopsPerWindow = lambda: None,
    ) -> None:
        self.loader = loader
        self.speed = Speed(config, distributed, flops)
        self.config, self.distributed, self.title = config, distributed, title
        self.callback, self.validation = callback, validation
        self.curve = Curve(validation.best_from, validation.num_batches) if validation else Curve()
        self.sums, self.figures = {}, {}
        self.num_summed, self.val_seconds = 0, 0.0
        self._metrics: Metrics | None = None
        self._grad_norms: dict[str, Tensor] = {}

    def logs(self, step: int) -> bool:
        """Tell whether an entry is due after a step."""
        return step == self.config.steps or step % self.config.log_every == 0

    def see_gradients(self, step: int, model: nn.Module) -> None:
        """Look at the gradients of a step with an entry, before they are cut."""
        if self.logs(step):
            self._grad_norms = grad_norms(model)

    def add(self, parts: Sequence[Mapping[str, Tensor]], grad_norm: Tensor, skipped: Tensor | None = None) -> None:
        """Sum a step's figures, the mean over its parts, on the device: reading them makes the host wait for it.

        Those of a step that was skipped do not count, but for `skipped_steps`.
        """
        names = {name for part in parts for name in part}
        of_parts = {n: [part[n].detach().double() for part in parts if n in part] for n in names}
        terms = {n: torch.stack(values).sum(0) / len(parts) for n, values in of_parts.items()}
        terms["grad_norm"] = grad_norm.detach().double()
        if skipped is not None:
            terms = {name: torch.where(skipped, torch.zeros_like(term), term) for name, term in terms.items()}
            terms[SKIPPED] = skipped.double()
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term if name in self.sums else term
        self.num_summed += 1

    @contextmanager
    def open(self, out: Path, step: int) -> Iterator[None]:
        """Have the files of figures, on the main process; go on after a step."""
        if not self.distributed.is_main_process:
            yield
            return
        self._metrics = Metrics(out, step, self.config.model_dump(mode="json"), self.config.loggers)
        self.speed.begin(step)
        try:
            if self.callback is not None:
                for line in self._metrics.earlier():
                    self.callback.on_log(line["step"], line)  # it was said when it was written
            yield
        finally:
            self._metrics.close()
            self._metrics = None

    def record(self, step: int, batch: B, steps_per_s: float, evaluate: Evaluate) -> bool:
        """Look at held-out windows and write an entry, where it is time for either; say whether there are new figures.

        `evaluate` applies a validation to the weights that the run would export now.
        """
        done, every = step == self.config.steps, self.config.validates_every
        validates = self.validation is not None and (done or (every > 0 and step % every == 0))
        look = self._validate(step, evaluate) if validates else Look({}, {}, {})
        logs = self.logs(step)
        if logs:
            self._average(step)
        if self._metrics is not None and (logs or validates):
            entry, notes = self._entry(step, batch, steps_per_s) if logs else ({}, ())
            held_out = {VAL + name: value for name, value in (look.figures | look.by_group).items()}
            self._metrics.write(step, entry | held_out, notes, look.pictures)
            for message in notes:
                self.say(message)
        return logs

    def _validate(self, step: int, evaluate: Evaluate) -> Look:
        assert self.validation is not None
        start = time.perf_counter()
        look = evaluate(self.validation)
        self.curve.add(step, look.figures)
        self.val_seconds += time.perf_counter() - start
        return look

    def _average(self, step: int) -> None:
        """Average what was summed since the last entry, on all ranks."""
        names = sorted(self.sums)
        sums = torch.stack([self.sums[name].to(self.distributed.device) for name in names])
        figures = dict(zip(names, self.distributed.all_reduce_mean(sums).tolist(), strict=True))
        skipped = figures.pop(SKIPPED, None)
        num_taken = self.num_summed - int(skipped or 0)
        self.figures = {name: value / num_taken for name, value in figures.items()} if num_taken else {}
        if skipped is not None:
            self.figures[SKIPPED] = skipped
        norms = {name: float(norm) for name, norm in self._grad_norms.items()}
        self.figures |= {name: norm for name, norm in norms.items() if math.isfinite(norm)}
        self.sums, self.num_summed, self._grad_norms = {}, 0, {}
        self.figures["lr"] = learning_rate(self.config, step - 1)

    def _entry(self, step: int, batch: B, steps_per_s: float) -> tuple[dict[str, float], Sequence[str]]:
        """Give an entry of the metrics, and what there is to say of it."""
        notes: Sequence[str] = ()
        if self.callback is not None and "loss" in self.figures:
            self.figures.update(self.callback.extra_metrics(step, batch))
            notes = self.callback.on_log(step, self.figures)
        wait_ms = self.loader.seconds.per_batch_ms()["wait"]
        speed = self.speed.figures(step, self.loader.seconds.wait, self.val_seconds)
        return {**self.figures, **speed, "steps_per_s": steps_per_s, "loader_wait_ms": wait_ms}, notes

    def note(self) -> str:
        """Give the losses that the progress line shows: nothing before they are known."""
        losses = {"loss": self.figures, "val": self.curve.last}
        return ", ".join(f"{name} {figures['loss']:.4f}" for name, figures in losses.items() if "loss" in figures)

    def advise(self, step_s: float) -> str:
        """Say what starves this trainer, if anything does."""
        sentence = advice(
            self.loader.seconds.per_batch_ms(),
            1e3 * step_s / self.config.grad_accumulation_steps,
            self.loader.collator.frames.num_threads,
        )
        if sentence:
            self.say(sentence)
        return sentence

    def say(self, message: str) -> None:
        """Print a line on stderr, from the main process."""
        if self.distributed.is_main_process:
            print(f"{self.title}: {message}", file=sys.stderr, flush=True)  # noqa: T201

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint must keep."""
        return {
            "sums": {name: float(value) for name, value in self.sums.items()},
            "num_summed": self.num_summed,
            "figures": self.figures,
            "validation": self.curve.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> str:
        """Go on from it; say why the lowest loss on held-out windows no longer counts, if it does not."""
        self.figures, self.num_summed = state["figures"], state["num_summed"]
        sums = {name: torch.tensor(value, dtype=torch.float64) for name, value in state["sums"].items()}
        self.sums = {name: value.to(self.distributed.device) for name, value in sums.items()}
        return self.curve.load_state_dict(state.get("validation", {}))
