"""The one training loop: any model with `loss` and `begin_step`, on one rank or many, stopped and continued at will."""

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, cast

import torch
import yaml
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dataengine import progress
from dataengine.errors import DataEngineError
from models.parts import Counts, Random
from models.weights import save_model
from pipelines.training import checkpoint, memory
from pipelines.training.augment import augment, generator_of
from pipelines.training.computing import is_fast_at_bf16
from pipelines.training.continuing import VERSION, changes, check_identity
from pipelines.training.data_wait import advice
from pipelines.training.distributed import Distributed
from pipelines.training.ema import Ema
from pipelines.training.events import VAL, Metrics
from pipelines.training.interrupts import Interrupts
from pipelines.training.loading import B, Loader
from pipelines.training.optimizer import make_optimizer, set_learning_rate
from pipelines.training.parts import BatchParts
from pipelines.training.protocols import Callback, Trainable
from pipelines.training.settings import LoopConfig, learning_rate
from pipelines.training.validation import Curve, Pictures, Validation

ADVISE_AFTER = 100
"""Steps of a call, before which a waiting trainer is only starting up."""


class _Loss(nn.Module):
    """Makes `loss` the forward pass, which data parallelism and compilation wrap."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Any, random: Random, counts: Counts | None) -> tuple[Tensor, dict[str, Tensor]]:
        return cast(Trainable, self.model).loss(batch, random, counts)


@dataclass(frozen=True)
class TrainResult:
    """Where a run stands."""

    step: int
    finished: bool
    seconds: float
    """Training time over all calls."""
    figures: dict[str, float]
    """The last ones written to metrics.jsonl."""
    loader_ms: dict[str, float]
    """For one batch, in this call."""
    steps_per_s: float
    """In this call, evaluations left out."""
    first: int
    """Step that this call went on from."""
    curve: Curve
    """Of the evaluations on held-out windows."""


class Trainer(Generic[B]):
    """Trains one model in its directory: `resume`, then `train`, then `export`."""

    loader: Loader[B]
    step: int
    """Optimiser steps taken so far, in all calls."""
    seconds: float
    """Training time so far, in all calls."""
    sums: dict[str, Tensor]
    """Figures since the last entry, summed on the device."""
    num_summed: int
    figures: dict[str, float]
    """The last entry of metrics.jsonl."""

    def __init__(
        self,
        *,
        model: nn.Module,
        loader: Loader[B],
        config: LoopConfig,
        out: Path,
        distributed: Distributed,
        title: str,
        identity: Mapping[str, Any],
        extra: Mapping[str, Any],
        files: Mapping[str, str] = MappingProxyType({}),
        callback: Callback | None = None,
        validation: Validation | None = None,
        lr_scale: Callable[[str], float] = lambda name: 1.0,
        deliver: Callable[[nn.Module], nn.Module] = lambda model: model,
    ) -> None:
        """Prepare a run that has taken no step.

        `identity` is what must not change between calls: settings and data. `extra` goes into `model_config.json`:
        statistics, the data's identity, the code's revision. `files` are small ones that belong beside the weights,
        by name: a tokenizer. `lr_scale` gives a weight's factor on the learning rate, by its name; `deliver` makes of
        the trained model the one that is exported.
        """
        if config.batch_size % (config.grad_accumulation_steps * distributed.world_size):
            raise DataEngineError(
                f"batch_size {config.batch_size} does not divide into "
                f"{config.grad_accumulation_steps} parts on {distributed.world_size} ranks"
            )
        self.model, self.config, self.out, self.distributed = model, config, out, distributed
        self.loader, self.validation = loader, validation
        self.parts = BatchParts(config, distributed)
        self.curve = Curve(validation.best_from, validation.num_batches) if validation else Curve()
        self.title, self.extra, self.files, self.callback = title, extra, files, callback
        self._deliver = deliver
        self.identity = {**identity, "trainer": VERSION}
        self.device = distributed.device
        self.bf16 = is_fast_at_bf16(self.device) if config.bf16 is None else config.bf16
        self.model.to(self.device)
        self.optimizer = make_optimizer(self.model, config, self.device, lr_scale)
        self.ema = Ema(self.model, config.ema_decay) if config.ema_decay else None
        self.checkpoints = out / "checkpoints"
        self.step, self.seconds, self.num_summed = 0, 0.0, 0
        self._val_seconds = 0.0
        self.sums, self.figures = {}, {}
        self._loss: nn.Module = _Loss(self.model)

    def resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one; make the loss ready for all ranks."""
        self._resume()
        if self.config.checkpoint_activations:
            memory.checkpoint_blocks(self.model)
        if self.config.compile:
            self._loss.compile()
        if self.distributed.world_size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            # Not every batch has robots, wrist views or plans, so not every parameter has a gradient.
            self._loss = DistributedDataParallel(self._loss, device_ids=ids, find_unused_parameters=True)

    def train(self) -> TrainResult:
        """Train to the end, or until the time is up. An interrupt finishes the step, saves, and is passed on."""
        start, first = time.perf_counter(), self.step
        before = self.seconds
        self.model.train()
        stop: int | None = None
        advised = ""
        guard = memory.explained(self.title, self.config, self.device)
        bar = progress.task(f"train {self.title}", self.config.steps, "steps", done=first)
        with Interrupts() as interrupts, guard, self._open_metrics() as metrics, bar as live:
            while self.step < self.config.steps:
                batch = self._one_step(is_first=self.step == first)
                self.seconds = before + time.perf_counter() - start
                done = self.step == self.config.steps
                self._record(metrics, batch, (self.step - first) / (self.seconds - before - self._val_seconds))
                if not advised and self.step - first == ADVISE_AFTER:
                    advised = self._advise((self.seconds - before) / ADVISE_AFTER)
                live.advance(1, note=self._note())
                stop = self._must_stop(interrupts, (self.seconds - before) / 60)
                if done or stop is not None or self.step % self.config.checkpoint_every == 0:
                    self._save()
                if stop is not None and not done:
                    break
        if stop and self.step < self.config.steps:
            self._say(f"stopped after step {self.step} of {self.config.steps}, saved; the same command continues")
            raise KeyboardInterrupt if stop == signal.SIGINT else SystemExit(128 + stop)
        steps_per_s = (self.step - first) / max(self.seconds - before - self._val_seconds, 1e-9)
        if not advised and self.step - first >= ADVISE_AFTER:
            self._advise(1 / steps_per_s)
        return TrainResult(
            step=self.step,
            finished=self.step == self.config.steps,
            seconds=self.seconds,
            figures=self.figures,
            loader_ms=self.loader.seconds.per_batch_ms(),
            steps_per_s=steps_per_s,
            first=first,
            curve=self.curve,
        )

    def export(self, directory: Path) -> nn.Module:
        """Write the model that is to be used, and return it."""
        model = self._deliver(self.export_model())
        if self.distributed.is_main_process:
            with checkpoint.disk_errors(directory):
                save_model(model, directory, self.extra)
                checkpoint.write_files(directory, self.files)
        self.distributed.barrier()
        return model

    def export_model(self) -> nn.Module:
        """Give the model as it is trained: with averaged weights where there are any."""
        return self.ema.model(self.model) if self.ema else self.model

    def _one_step(self, *, is_first: bool = False) -> B:
        """Take one optimiser step; return the last batch it learnt from."""
        c = self.config
        set_learning_rate(self.optimizer, learning_rate(c, self.step))
        moved = cast(Trainable, self.model).begin_step(self.step, c.steps)
        if self.distributed.any(bool(moved)):
            self.distributed.broadcast_weights(self.model)
        parts = [next(self.loader).to(self.device) for _ in range(c.grad_accumulation_steps)]
        key = f"{c.seed}|{self.step}|0|0"
        counts = self.parts.counts(cast(Trainable, self.model), parts, key)
        for part, unvaried in enumerate(parts):
            batch = self._varied(unvaried, part)
            last = part == c.grad_accumulation_steps - 1
            quiet = not last and isinstance(self._loss, DistributedDataParallel)
            with self._loss.no_sync() if quiet else contextlib.nullcontext():  # type: ignore[operator]
                watch = self._watched() if is_first and part == 0 and not c.compile else contextlib.nullcontext()
                with watch, torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                    loss, figures = self._loss(batch, self.parts.draws(key, part), counts)
                (loss / c.grad_accumulation_steps).backward()
            self._add({**figures, "loss": loss.detach()}, 1 / c.grad_accumulation_steps)
        norm = nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.grad is not None], c.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model, self.step)
        self._add({"grad_norm": norm}, 1.0)
        self.num_summed += 1
        self.step += 1
        return batch

    def _watched(self) -> contextlib.AbstractContextManager[None]:
        """Watch that a forward pass leaves room for gradients, and for the optimiser's moments while it has none."""
        need = memory.Need.of(self.model, self.config)
        still_needed = need.gradients + (0 if self.optimizer.state else need.moments)
        return memory.watched(self.title, self.config, self.device, still_needed)

    def _varied(self, batch: B, part: int) -> B:
        """Crop and colour pictures by their place in the whole batch, whichever part and rank has them."""
        generator = generator_of(self.config.seed, self.step)
        return augment(batch, self.config.augment, generator, self.parts.span(part)[0], self.config.batch_size)

    def _add(self, figures: Mapping[str, Tensor], share: float) -> None:
        """Sum figures on the device: reading them makes the host wait for it."""
        for name, value in figures.items():
            term = value.detach().double() * share
            self.sums[name] = self.sums[name] + term if name in self.sums else term

    @contextmanager
    def _open_metrics(self) -> Iterator[Metrics | None]:
        """Have the files of figures, on the main process."""
        if not self.distributed.is_main_process:
            yield None
            return
        settings = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        metrics = Metrics(self.out, self.step, settings)
        try:
            if self.callback is not None:
                for line in metrics.earlier():
                    self.callback.on_log(line["step"], line)  # it was said when it was written
            yield metrics
        finally:
            metrics.close()

    def _record(self, metrics: Metrics | None, batch: B, steps_per_s: float) -> None:
        """Look at held-out windows and write an entry, where it is time for either; stop a run that has blown up."""
        done, every = self.step == self.config.steps, self.config.validates_every
        validates = self.validation is not None and (done or (every > 0 and self.step % every == 0))
        figures, pictures = self._validate() if validates else ({}, {})
        logs = done or self.step % self.config.log_every == 0
        if logs:
            self._average()
        if metrics is not None and (logs or validates):
            entry, notes = self._entry(batch, steps_per_s) if logs else ({}, ())
            metrics.write(self.step, entry | {VAL + name: value for name, value in figures.items()}, notes, pictures)
            for message in notes:
                self._say(message)
        if logs:
            self._check(self.figures)

    def _validate(self) -> tuple[dict[str, float], Pictures]:
        """Evaluate the weights that the run would export now."""
        assert self.validation is not None
        start = time.perf_counter()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            figures, pictures = self.validation.run(self.export_model())
        self.curve.add(self.step, figures)
        self._val_seconds += time.perf_counter() - start
        return figures, pictures

    def _average(self) -> None:
        """Average what was summed since the last entry, on all ranks."""
        names = sorted(self.sums)
        sums = torch.stack([self.sums[name].to(self.device) for name in names])
        values = self.distributed.all_reduce_mean(sums) / self.num_summed
        self.figures = dict(zip(names, values.tolist(), strict=True))
        self.sums, self.num_summed = {}, 0
        self.figures["lr"] = learning_rate(self.config, self.step - 1)

    def _entry(self, batch: B, steps_per_s: float) -> tuple[dict[str, float], Sequence[str]]:
        """Give an entry of the metrics, and what there is to say of it."""
        notes: Sequence[str] = ()
        if self.callback is not None:
            self.figures.update(self.callback.extra_metrics(self.step, batch))
            notes = self.callback.on_log(self.step, self.figures)
        wait_ms = self.loader.seconds.per_batch_ms()["wait"]
        return {**self.figures, "steps_per_s": steps_per_s, "loader_wait_ms": wait_ms}, notes

    def _note(self) -> str:
        """Give the losses that the progress line shows: nothing before they are known."""
        losses = {"loss": self.figures, "val": self.curve.last}
        return ", ".join(f"{name} {figures['loss']:.4f}" for name, figures in losses.items() if figures)

    def _check(self, figures: Mapping[str, float]) -> None:
        bad = [name for name in ("loss", "grad_norm") if not math.isfinite(figures[name])]
        if bad:
            saved = checkpoint.steps(self.checkpoints)
            kept = f"checkpoint of step {saved[-1]} is whole" if saved else "no checkpoint yet"
            raise DataEngineError(
                f"{self.title}: {bad[0]} is {figures[bad[0]]} around step {self.step}, expected a number; {kept}; "
                f"try a lower lr than {self.config.lr:g} or a longer warm-up in another run"
            )

    def _advise(self, step_s: float) -> str:
        """Say what starves this trainer, if anything does."""
        sentence = advice(
            self.loader.seconds.per_batch_ms(),
            1e3 * step_s / self.config.grad_accumulation_steps,
            self.loader.collator.frames.num_threads,
        )
        if sentence:
            self._say(sentence)
        return sentence

    def _must_stop(self, interrupts: Interrupts, minutes: float) -> int | None:
        """Give the signal to stop for, 0 when time is up, None to go on; the same on every rank."""
        if self.distributed.any(interrupts.seen is not None):
            return interrupts.seen or signal.SIGINT
        limit = self.config.max_minutes
        return 0 if limit is not None and self.distributed.any(minutes >= limit) else None

    def _save(self) -> None:
        if self.sums:
            self._check({name: float(self.sums[name]) for name in ("loss", "grad_norm")})
        if self.distributed.is_main_process:
            checkpoint.save(
                self.checkpoints,
                self.step,
                model=self.model,
                optimizer=self.optimizer,
                ema=self.ema.weights() if self.ema else None,
                state={
                    "loader": self.loader.state_dict(),
                    "seconds": self.seconds,
                    "sums": {name: float(value) for name, value in self.sums.items()},
                    "num_summed": self.num_summed,
                    "figures": self.figures,
                    "validation": self.curve.state_dict(),
                    "identity": self.identity,
                    "elastic": self.config.may_change_on_resume(),
                },
                extra=self.extra,
                files=self.files,
                keep=self.config.keep_last,
            )
        self.distributed.barrier()

    def _resume(self) -> None:
        saved = checkpoint.steps(self.checkpoints)
        last = self.distributed.broadcast(saved[-1] if saved else -1)
        if last < 0:
            self.distributed.broadcast_weights(self.model)
            return
        if self.distributed.any(last not in saved):
            raise DataEngineError(
                f"{self.out}: the first rank goes on from step {last}, another finds no such checkpoint; put --out on "
                f"a disk that all machines share"
            )
        state = self._load([step for step in saved if step <= last])
        self.step, self.seconds, self.figures = state["step"], state["seconds"], state["figures"]
        self.sums = {name: torch.tensor(v, dtype=torch.float64) for name, v in state["sums"].items()}
        self.sums = {name: value.to(self.device) for name, value in self.sums.items()}
        self.num_summed = state["num_summed"]
        said = self.curve.load_state_dict(state.get("validation", {}))
        self.loader.load_state_dict({"step": self.step * self.config.grad_accumulation_steps})
        for line in changes(state["elastic"], self.config, self.step, self.out):
            self._say(line)
        if said:
            self._say(said)

    def _load(self, saved: Sequence[int]) -> dict[str, Any]:
        """Restore the newest checkpoint that is whole, and say which are not."""
        averaged = self.ema.weights() if self.ema else None
        for step in reversed(saved):
            folder, damaged = checkpoint.path(self.checkpoints, step), False
            try:
                state = checkpoint.read_state(folder)
                check_identity(state["identity"], self.identity, self.config, self.out)
                checkpoint.load(folder, state, model=self.model, optimizer=self.optimizer, ema=averaged)
            except checkpoint.DamagedCheckpointError as error:
                damaged = True
                self._say(f"{error}; going back to the checkpoint before, if there is one")
            if not self.distributed.any(damaged):
                return state
        raise DataEngineError(
            f"{self.checkpoints}: no checkpoint is whole (steps {', '.join(map(str, saved))}); copy one from "
            f"elsewhere, or delete that folder to begin anew"
        )

    def _say(self, message: str) -> None:
        if self.distributed.is_main_process:
            print(f"{self.title}: {message}", file=sys.stderr, flush=True)  # noqa: T201
