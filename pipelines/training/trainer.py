"""The one training loop: any model with `loss` and `begin_step`, on one rank or many, stopped and continued at will."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, cast

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from dataengine import progress
from dataengine.errors import DataEngineError
from models.parts import Counts, Random
from models.weights import save_model
from pipelines.training import checkpoint, memory
from pipelines.training.augment import augment, generator_of
from pipelines.training.blocks import checkpoint_blocks, compile_blocks
from pipelines.training.checkpoint.snapshot import Trained
from pipelines.training.computing import is_fast_at_bf16
from pipelines.training.deferred import Weights
from pipelines.training.distributed import Distributed
from pipelines.training.ema import Ema
from pipelines.training.guards.bad_steps import BadStepError, BadSteps
from pipelines.training.guards.hang import Watchdog
from pipelines.training.guards.stragglers import Stragglers
from pipelines.training.interrupts import Interrupts
from pipelines.training.loading import B, Loader
from pipelines.training.optimizer import make_optimizer, parameter_order, set_learning_rate
from pipelines.training.parts import BatchParts
from pipelines.training.protocols import Callback, EndsSteps, Trainable
from pipelines.training.recorder import Recorder
from pipelines.training.saving import Checkpoints
from pipelines.training.settings import LoopConfig, learning_rate
from pipelines.training.sharding import Call, Skeleton, clip_gradients, is_sharded, reduce_whole_gradients, shard
from pipelines.training.speed import FlopsPerWindow
from pipelines.training.transfer import Transfer
from pipelines.training.validation import Curve, Look, Validation

ADVISE_AFTER = 100
"""Steps of a call, before which a waiting trainer is only starting up."""


def _varying_buffers(model: nn.Module, ending: Sequence[nn.Module]) -> set[str]:
    """Name the saved buffers that ranks may come to hold other values of."""
    agreed = {id(buffer) for module in ending for buffer in module.buffers()}
    return {name for name, buffer in model.named_buffers() if id(buffer) not in agreed} & model.state_dict().keys()


def _loss(model: nn.Module, batch: Any, random: Random, counts: Counts | None) -> tuple[Tensor, dict[str, Tensor]]:
    return cast(Trainable, model).loss(batch, random, counts)


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
    recorder: Recorder[B]
    step: int
    """Optimiser steps taken so far, in all calls."""
    seconds: float
    """Training time so far, in all calls."""

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
        flops: FlopsPerWindow = lambda: None,
        weights: Weights | None = None,
    ) -> None:
        """Prepare a run that has taken no step.

        `identity` is what must not change between calls: settings and data. `extra` goes into `model_config.json`:
        statistics, the data's identity, the code's revision. `files` are small ones that belong beside the weights,
        by name: a tokenizer. `lr_scale` gives a weight's factor on the learning rate, by its name; `deliver` makes of
        the trained model the one that is exported. `weights` are the values of a model that was made without memory,
        for a sharded run.
        """
        self.model, self.config, self.out, self.distributed = model, config, out, distributed
        self.loader, self.validation = loader, validation
        self.title, self.extra, self.files = title, extra, files
        self.parts = BatchParts(config, distributed)
        self._deliver = deliver
        self.device = distributed.device
        self._transfer = Transfer(self.device)
        self.bf16 = is_fast_at_bf16(self.device) if config.bf16 is None else config.bf16
        self._skeleton = Skeleton(self.model)
        self._ending = [module for module in self.model.modules() if isinstance(module, EndsSteps)]
        self._varying = _varying_buffers(self.model, self._ending)
        self._root: nn.Module = self._shard(weights)
        self.optimizer = make_optimizer(self.model, config, self.device, lr_scale)
        self.ema = Ema(self.model, config.ema_decay) if config.ema_decay else None
        self.recorder = Recorder(
            loader=loader,
            config=config,
            distributed=distributed,
            title=title,
            callback=callback,
            validation=validation,
            flops=flops,
        )
        order = parameter_order(self.model, lr_scale)
        averages = self.ema.weights() if self.ema else None
        self.checkpoints = self._make_checkpoints(Trained(self.model, self.optimizer, order, averages), identity)
        self.bad_steps: BadSteps[B] = BadSteps(
            config, distributed, self.model, self.optimizer, loader, out, self.recorder.say
        )
        self.stragglers = Stragglers(distributed, self.recorder.say)
        self.watchdog = Watchdog(out, title, distributed, config.hang_timeout_s)
        self.step, self.seconds = 0, 0.0

    def _make_checkpoints(self, trained: Trained, identity: Mapping[str, Any]) -> Checkpoints:
        return Checkpoints(
            out=self.out,
            config=self.config,
            distributed=self.distributed,
            trained=trained,
            is_sharded=is_sharded(self._root),
            identity=identity,
            extra=self.extra,
            files=self.files,
            say=self.recorder.say,
        )

    def resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one; make the loss ready for all ranks."""
        state = self.checkpoints.restore()
        if state is not None:
            self.step, self.seconds = state["step"], state["seconds"]
            self.loader.load_state_dict({"step": self.step * self.config.grad_accumulation_steps})
            message = self.recorder.load_state_dict(state)
            if message:
                self.recorder.say(message)
        self.bad_steps.resume(self.step, (state or {}).get("bad_steps", {}))
        if self.config.checkpoint_activations:
            checkpoint_blocks(self.model)
        if self.config.compile:
            compile_blocks(self._root)
        else:
            self.stragglers.watch(self._root, self.model)
        if self.distributed.world_size > 1 and not is_sharded(self._root):
            ids = [self.device.index] if self.device.type == "cuda" else None
            # Not every batch has robots, wrist views or plans, so not every parameter has a gradient.
            self._root = DistributedDataParallel(
                self._root,
                device_ids=ids,
                find_unused_parameters=True,
                gradient_as_bucket_view=True,
                broadcast_buffers=False,
            )

    def train(self) -> TrainResult:
        """Train to the end, or until the time is up. An interrupt finishes the step, saves, and is passed on."""
        start, first, before = time.perf_counter(), self.step, self.seconds
        recorder = self.recorder
        self.model.train()
        stop: int | None = None
        advised = ""
        guard = memory.explained(self.title, self.config, self.device)
        bar = progress.task(f"train {self.title}", self.config.steps, "steps", done=first)
        saving = self.checkpoints.settled()
        watched = self.watchdog.watching(self.step)
        with Interrupts() as interrupts, guard, watched, saving, recorder.open(self.out, self.step), bar as live:
            while self.step < self.config.steps:
                batch = self._one_step(is_first=self.step == first)
                self.seconds = before + time.perf_counter() - start
                done = self.step == self.config.steps
                steps_per_s = (self.step - first) / (self.seconds - before - recorder.val_seconds)
                self.watchdog.at(self.step, "metrics")
                if recorder.logs(self.step):
                    self._check()
                    self.stragglers.check(self.config.log_every, self.loader.seconds.wait)
                recorder.record(self.step, batch, steps_per_s, self._evaluate)
                if not advised and self.step - first == ADVISE_AFTER:
                    advised = recorder.advise((self.seconds - before) / ADVISE_AFTER)
                live.advance(1, note=recorder.note())
                stop = self._must_stop(interrupts, (self.seconds - before) / 60)
                if done or stop is not None or self._must_save():
                    self._save()
                if stop is not None and not done:
                    break
            self.checkpoints.wait()
        if stop and self.step < self.config.steps:
            recorder.say(f"stopped after step {self.step} of {self.config.steps}, saved; the same command continues")
            raise KeyboardInterrupt if stop == signal.SIGINT else SystemExit(128 + stop)
        steps_per_s = (self.step - first) / max(self.seconds - before - recorder.val_seconds, 1e-9)
        if not advised and self.step - first >= ADVISE_AFTER:
            recorder.advise(1 / steps_per_s)
        return TrainResult(
            step=self.step,
            finished=self.step == self.config.steps,
            seconds=self.seconds,
            figures=recorder.figures,
            loader_ms=self.loader.seconds.per_batch_ms(),
            steps_per_s=steps_per_s,
            first=first,
            curve=recorder.curve,
        )

    def export(self, directory: Path) -> nn.Module:
        """Write the model that is to be used, and return it; of a sharded one the other ranks return their shards."""
        model = self.export_model()
        if self.distributed.is_main_process:
            model = self._deliver(model)
            with checkpoint.disk_errors(directory):
                save_model(model, directory, self.extra)
                checkpoint.write_files(directory, self.files)
        self.distributed.barrier()
        return model

    def export_model(self) -> nn.Module:
        """Give the model as it is trained: with averaged weights where there are any."""
        if self.ema is None and not is_sharded(self._root):
            return self.model
        averages = self.ema.weights() if self.ema else {}
        keep = self.distributed.is_main_process or not is_sharded(self._root)
        return self._skeleton.filled(self.model, averages, keep) or self.model

    def _one_step(self, *, is_first: bool = False) -> B:
        """Take one optimiser step; return the last batch it learnt from."""
        c, number = self.config, self.step + 1
        self.watchdog.at(number, "data")
        set_learning_rate(self.optimizer, learning_rate(c, self.step))
        moved = cast(Trainable, self.model).begin_step(self.step, c.steps)
        if self.distributed.any(bool(moved)):
            self.distributed.broadcast_weights(self.model)
        self.distributed.broadcast_buffers(self.model, self._varying)
        self.bad_steps.begin()
        of_parts: list[Mapping[str, Tensor]] = []
        parts = [self._transfer(next(self.loader)) for _ in range(c.grad_accumulation_steps)]
        key = f"{c.seed}|{self.step}|0|0"
        counts = self.parts.counts(cast(Trainable, self.model), parts, key)
        for part, unvaried in enumerate(parts):
            batch = self._varied(unvaried, part)
            last = part == c.grad_accumulation_steps - 1
            with self._synchronized(last):
                self.watchdog.at(number, "forward")
                watch = self._watched() if is_first and part == 0 and not c.compile else contextlib.nullcontext()
                with watch, torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                    loss, figures = self._root(_loss, batch, self.parts.draws(key, part), counts)
                self.watchdog.at(number, "backward")
                (loss / c.grad_accumulation_steps).backward()
            of_parts.append({**figures, "loss": loss.detach()})
        for module in self._ending:
            module.end_step(self.distributed.add_up)
        self.watchdog.at(number, "optimizer")
        if is_sharded(self._root):
            reduce_whole_gradients(self.model)
        self.recorder.see_gradients(number, self.model)
        norm = clip_gradients(self.model, c.max_grad_norm)
        skipped = self.bad_steps.update(number, [figures["loss"] for figures in of_parts], norm)
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model, self.step)
        self.recorder.add(of_parts, norm, skipped)
        self.step += 1
        return batch

    def _shard(self, weights: Weights | None) -> Call:
        """Make the forward pass a module of its own, on the device; shard it where the settings say so."""
        root = Call(self.model)
        if weights is None:
            self.model.to(self.device)
        if self.config.sharding == "fsdp2":
            if weights is None:
                self.distributed.broadcast_weights(self.model)
            # Only autocast on GPUs takes weights of norms in bfloat16 beside inputs in float32.
            shard(root, self.device, self.bf16 and self.device.type == "cuda")
        if weights is not None:
            weights.fill(root, self.model, self.device)
        return root

    @contextlib.contextmanager
    def _synchronized(self, last: bool) -> Iterator[None]:
        """Sum gradients over ranks with the last part of a step, and not before."""
        root = self._root
        if isinstance(root, FSDPModule):
            root.set_requires_gradient_sync(last)
        with contextlib.nullcontext() if last or not isinstance(root, DistributedDataParallel) else root.no_sync():
            yield

    def _watched(self) -> contextlib.AbstractContextManager[None]:
        """Watch that a forward pass leaves room for gradients, and for the optimiser's moments while it has none."""
        need = memory.Need.of(self.model, self.config)
        still_needed = need.gradients + (0 if self.optimizer.state else need.moments)
        return memory.watched(self.title, self.config, self.device, still_needed)

    def _varied(self, batch: B, part: int) -> B:
        """Crop and colour pictures by their place in the whole batch, whichever part and rank has them."""
        generator = generator_of(self.config.seed, self.step)
        return augment(batch, self.config.augment, generator, self.parts.span(part)[0], self.config.batch_size)

    def _evaluate(self, validation: Validation) -> Look:
        """Evaluate the weights that the run would export now."""
        averaged = self.ema.applied(self.model) if self.ema else contextlib.nullcontext()
        with averaged, torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            if is_sharded(self._root):
                return validation.run(self.model, self._root, draws=False)
            return validation.run(self.model)

    def _check(self) -> None:
        try:
            self.bad_steps.check()
        except BadStepError as error:
            policy = "on-spike" if error.is_finite else "on-bad-step"
            raise DataEngineError(
                f"{self.title}: {error}; {self.checkpoints.newest()}; --{policy} skip goes on without such steps, else "
                f"try a lower lr than {self.config.lr:g} or a longer warm-up in another run"
            ) from error

    def _must_stop(self, interrupts: Interrupts, minutes: float) -> int | None:
        """Give the signal to stop for, 0 when time is up, None to go on; the same on every rank."""
        if self.distributed.any(interrupts.seen is not None or self.checkpoints.background.failed):
            if self.distributed.any(self.checkpoints.background.failed):
                self.checkpoints.wait()  # raises
            return self.distributed.max(interrupts.seen or 0) or signal.SIGINT
        limit = self.config.max_minutes
        return 0 if limit is not None and self.distributed.any(minutes >= limit) else None

    def _save(self) -> None:
        self.watchdog.at(self.step, "checkpoint")
        self._check()
        self.checkpoints.save(
            self.step,
            {
                "loader": self.loader.state_dict(),
                "seconds": self.seconds,
                "bad_steps": self.bad_steps.state_dict(),
                **self.recorder.state_dict(),
            },
            self._best_step() if self.config.keep_best else None,
        )

    def _must_save(self) -> bool:
        """Tell whether it is time for a checkpoint."""
        is_best = self.config.keep_best and self._best_step() == self.step
        return is_best or self.step % self.config.checkpoint_every == 0

    def _best_step(self) -> int | None:
        return self.recorder.curve.best.get("step")
