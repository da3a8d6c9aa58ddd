"""The one act of training: from data and settings to weights, a curve and scores, whatever the model."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dataengine.errors import DataEngineError
from dataengine.naming import class_at
from dataengine.whole_file import write_whole
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import WindowSpec
from pipelines.device import pick_device
from pipelines.recipes.mixture import describe
from pipelines.training import checkpoint, data, held_out, memory
from pipelines.training.agreement import require_same
from pipelines.training.deferred import ReadsWeightsError, Weights, make_without_memory
from pipelines.training.distributed import process_group
from pipelines.training.frames import Buffers
from pipelines.training.loading import Loader, num_ahead
from pipelines.training.loggers.logger import require_loggers
from pipelines.training.parts import BatchParts
from pipelines.training.run_folder import run_folder
from pipelines.training.task import A, C, M, R, TrainingData, TrainReport, TrainTask, Validated, episode_counts
from pipelines.training.trainer import Trainer, TrainResult
from pipelines.training.validation import Validation, held_out_sampler, unseen


def fit(make: type[TrainTask[C, M, A, R]], config: C) -> R:
    """Train, or continue to train, then evaluate the model and write its weights and its report into `config.out`.

    Raise DataEngineError where data and settings do not fit together, or `out` holds something else.
    """
    if config.launcher != "local":
        raise ValueError(
            f"launcher={config.launcher}: only `pipelines.training.launch.launch.run` starts processes elsewhere"
        )
    require_loggers(config.loggers)
    device = pick_device(config.device)
    # Ranks meet first: from then on one that ends tells the others why.
    group = process_group(device, config.hang_timeout_s, alone=config.sharding == "fsdp2")
    saved = report_what_is_saved(config.out, config.steps)
    with saved, group as distributed, run_folder(config.out, make.name, config.data, *make.products):
        config, training_data = open_data(config)
        return _fit(make(config, training_data, distributed))


def task_at(path: str) -> type[TrainTask[Any, Any, Any, Any]]:
    """Import the task `module:Class`; raise DataEngineError that says what is wrong with the path."""
    task_class = class_at("task", path)
    if not issubclass(task_class, TrainTask):
        raise DataEngineError(f"no task '{path}': {task_class.__name__} is no pipelines.training.task.TrainTask")
    return task_class


def open_data(config: C) -> tuple[C, TrainingData]:
    """Open the data, take the mixture that is pinned to it, and part its episodes."""
    reader = data.open_reader(config.data, use_hands=config.reads_hands, copies_gb=config.copies_gb)
    config = data.with_mixture(config, reader)
    return config, TrainingData(reader, *held_out.split(reader, config.val_fraction))


def _fit(task: TrainTask[C, M, A, R]) -> R:
    config, distributed, reader = task.config, task.distributed, task.data.reader
    require_same(distributed, {**task.identity(), **config.same_on_all_ranks()})
    sampler = _sampler(task)
    collator = task.collator(task.make_buffers())
    loader = Loader(
        reader,
        task.spec,
        sampler,
        collator,
        distributed.rank,
        distributed.world_size,
        num_ahead(config.grad_accumulation_steps),
    )
    validation = make_validation(task, collator, sampler.shares)
    try:
        memory.require(task.make, config, distributed, window_bytes(task.spec, collator.frames.side))
        model, weights = _build(task)
        config.out.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(
            model=model,
            loader=loader,
            config=config,
            out=config.out,
            distributed=distributed,
            title=task.name,
            identity=task.identity(),
            extra=task.extra(),
            files=task.files(),
            callback=task.callback(model),
            validation=validation,
            lr_scale=task.lr_scale,
            deliver=cast(Callable[[nn.Module], nn.Module], task.deliver),
            flops=lambda: task.flops(model),
            weights=weights,
        )
        trainer.resume()
        if trainer.step == config.steps:
            distributed.print0(f"{task.name}: already finished at step {trainer.step}; it is evaluated again")
        trained = trainer.train()
        loader.close()  # it shares buffers with the evaluation
        scores: Mapping[str, Any] = {}
        if trained.finished:
            exported = cast(M, trainer.export(config.out))
            if distributed.is_main_process:
                scores = task.evaluate(exported, collator, sampler.shares)
    finally:
        loader.close()
        collator.frames.close()
        if validation is not None:
            validation.close()
    report = task.report({**_facts(task, model, trained, collator), "shares": sampler.shares, **scores})
    if distributed.is_main_process:
        write_report(report, config.out)
    return report


def _build(task: TrainTask[C, M, A, R]) -> tuple[M, Weights | None]:
    """Make the model; one that will be sharded without memory, of which each rank then takes its share."""
    if task.config.sharding == "fsdp2":
        try:
            torch.manual_seed(task.config.seed)
            return make_without_memory(task.build)
        except ReadsWeightsError as error:
            task.distributed.print0(f"{task.name}: every process makes the whole model before it is sharded: {error}")
    torch.manual_seed(task.config.seed)
    return task.build(), None


def _sampler(task: TrainTask[C, M, A, R]) -> WindowSampler:
    """Print what will be drawn and every warning of it; return the sampler of training."""
    config, distributed = task.config, task.distributed
    for note in held_out.one_sided(task.data.train, task.data.held_out, config.val_fraction):
        distributed.print0(note)
    sampler = WindowSampler(
        task.data.train,
        task.spec,
        batch_size=config.micro_batch_size,
        seed=config.seed,
        mixture=config.mixture,
    )
    distributed.print0(describe(sampler.by_dataset, config.steps * config.batch_size, sampler.missing))
    for warning in task.check():
        distributed.print0(warning)
    return sampler


def make_validation(task: TrainTask[C, M, A, R], collator: A, shares: Mapping[str, float]) -> Validation | None:
    """Prepare the looks at held-out windows, which are drawn by the shares of training; None where there are none."""
    config, distributed, reader = task.config, task.distributed, task.data.reader
    sampler = held_out_sampler(task.data.held_out, task.spec, config.micro_batch_size, shares)
    if sampler is None:
        why = "no held-out episode is long enough for a window"
        if not len(task.data.held_out):
            why = f"no episode is held out (val_fraction={config.val_fraction:g})"
        distributed.print0(f"{why}: there is no validation while training")
        return None
    num_batches = min(config.val_batches, -(-sampler.windows_per_epoch // config.batch_size))
    for note in unseen(sampler, reader, num_batches * config.grad_accumulation_steps):
        distributed.print0(note)
    own = task.collator(Buffers(0))  # the loader fills its buffers, and notes its times, while training goes on
    own.frames.broken_episodes = collator.frames.broken_episodes  # each is told once
    return Validation(
        loader=Loader(reader, task.spec, sampler, own, distributed.rank, distributed.world_size),
        num_batches=num_batches,
        parts=BatchParts(config, distributed),
        evaluate=task.evaluate_batch,
        draw=task.val_pictures,
        figures_of=task.figures_of,
        best_from=task.val_best_from,
    )


@contextlib.contextmanager
def report_what_is_saved(out: Path, steps: int) -> Iterator[None]:
    """Say with an interrupt what the same command will do."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        saved = checkpoint.steps(out / "checkpoints")
        if not saved:
            then = "begins anew, as no step was saved yet"
        elif saved[-1] >= steps:
            then = "evaluates it, its training is finished"
        else:
            then = f"goes on from step {saved[-1]}"
        raise KeyboardInterrupt(f"the same command {then}") from interrupt


def window_bytes(spec: WindowSpec, side: int) -> int:
    """Count the bytes of the RGB pictures that every window has."""
    return spec.num_frames * len(spec.slots) * 3 * side**2


def _facts(task: TrainTask[C, M, A, R], model: M, trained: TrainResult, collator: A) -> dict[str, Any]:
    """Give the fields that every report has."""
    config = task.config
    return {
        "out": str(config.out),
        "preset": config.preset,
        "step": trained.step,
        "steps": config.steps,
        "finished": trained.finished,
        "resumed_from": trained.first,
        "parameters": sum(p.numel() for p in model.parameters()),
        **episode_counts(task.data),
        "seconds": round(trained.seconds, 3),
        "steps_per_s": round(trained.steps_per_s, 3),
        "loader_ms": trained.loader_ms,
        "metrics": trained.figures,
        "val_last": Validated(**trained.curve.last) if trained.curve.last else None,
        "val_best": Validated(**trained.curve.best) if trained.curve.best else None,
        "curve": str(config.out / "metrics.jsonl"),
        "broken_episodes": sorted(collator.frames.broken_episodes),
    }


def write_report(report: TrainReport, out: Path) -> None:
    """Write a run's report into its folder."""
    write_whole(out / "report.json", report.model_dump_json(indent=1))
