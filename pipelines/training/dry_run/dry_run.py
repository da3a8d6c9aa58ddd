"""`--dry-run` of a training or a fine-tuning: what it takes, and whether that fits.

It opens the data and makes the model without memory for it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import EpisodeReader
from pipelines.output.text_table import human_bytes
from pipelines.training import fit
from pipelines.training.config import TrainConfig
from pipelines.training.distributed import Distributed
from pipelines.training.dry_run.cost import PassCost, pass_cost
from pipelines.training.dry_run.hardware import HardwareConfig
from pipelines.training.dry_run.memory import Sizes, Way, alternatives
from pipelines.training.dry_run.report import DatasetDraws, DryRunReport
from pipelines.training.loading import Loader, num_ahead
from pipelines.training.memory import Need
from pipelines.training.parts import BatchParts
from pipelines.training.task import TrainTask

MOST_MEASURED = 16
"""Windows of the batch that is measured; a GPU's own batch is so many times that."""


def run(path: str, config: TrainConfig, hardware: HardwareConfig) -> DryRunReport:
    """Plan the training of the task `module:Class`.

    Raise DataEngineError where data and settings do not fit together; what does not fit into memory is reported.
    """
    config, training_data = fit.open_data(config)
    gpus = hardware.gpus
    BatchParts(config, Distributed(0, gpus, torch.device("cpu")))  # refuses what does not divide
    task = fit.task_at(path)(config, training_data, Distributed(0, 1, torch.device("cpu")))
    training_data = task.data  # of which a fine-tuning takes the robots that it is asked for
    sampler = WindowSampler(
        training_data.train, task.spec, batch_size=config.micro_batch_size, seed=config.seed, mixture=config.mixture
    )
    bf16 = config.bf16 is not False
    with torch.device("meta"):
        model = task.make()
    need = Need.of(model, config)
    sizes = Sizes.of(model, need)
    measured = min(config.micro_batch_size // gpus, MOST_MEASURED)
    costs, side = _measured(task, measured, need.gradients, bf16)
    way = Way(gpus, config.sharding, config.checkpoint_activations, config.grad_accumulation_steps, bf16)
    pictures = fit.window_bytes(task.spec, side)
    windows = config.batch_size
    memory = way.parts(sizes, costs, windows, 4 * pictures)  # as float32
    each = config.micro_batch_size // gpus
    draws = config.steps * config.batch_size
    flops = costs[False].flops
    report = DryRunReport(
        preset=config.preset,
        parameters=need.num_parameters,
        trained_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        steps=config.steps,
        batch_size=windows,
        gpus=gpus,
        gpu=hardware.gpu,
        sharding=config.sharding,
        windows_per_gpu=each,
        memory=memory,
        needed_bytes=sum(memory.values()),
        usable_bytes=hardware.usable_bytes,
        activations={"kept": costs[False].activations * each, "recomputed": costs[True].activations * each},
        host_bytes=each * pictures * (num_ahead(config.grad_accumulation_steps) + 1),
        flops_per_step=flops * windows,
        flops_per_window=flops,
        mfu=hardware.mfu,
        hours=flops * draws / (gpus * hardware.peak_flops(bf16) * hardware.mfu) / 3600,
        datasets=_draws(sampler, draws),
        missing=list(sampler.missing),
        read_bytes=_read_bytes(task, sampler, draws),
        data_bytes=sum(training_data.reader.num_bytes(e.row) for e in training_data.train),
        notes=[*task.check()],
    )
    return _refused(report, way, sizes, costs, 4 * pictures)


def _refused(report: DryRunReport, way: Way, sizes: Sizes, costs: dict[bool, PassCost], pictures: int) -> DryRunReport:
    """Say what does not fit, and the first other way that would."""
    if report.needed_bytes <= report.usable_bytes:
        return report
    report.ok = False
    wanted = f"{human_bytes(report.needed_bytes)} on each {report.gpu}, {human_bytes(report.usable_bytes)} are there"
    for other in alternatives(way, report.batch_size):
        needed = sum(other.parts(sizes, costs, report.batch_size, pictures).values())
        if needed <= report.usable_bytes:
            report.advice = f"does not fit: {wanted}; {way.settings(other)} needs {human_bytes(needed)}"
            return report
    report.advice = f"does not fit: {wanted}; take a smaller batch_size or --preset, or a GPU with more memory"
    return report


def _measured(
    task: TrainTask[Any, Any, Any, Any], windows: int, gradients: int, bf16: bool
) -> tuple[dict[bool, PassCost], int]:
    """Measure a pass with and without recomputation, for one window each; give the side of its pictures, too."""
    config = task.config
    collator = task.collator(task.make_buffers())
    sampler = WindowSampler(task.data.train, task.spec, batch_size=windows, seed=config.seed, mixture=config.mixture)
    loader = Loader(task.data.reader, task.spec, sampler, collator)
    try:
        batch = loader.make(0)
        costs = {again: pass_cost(task.make, batch, recompute=again, bf16=bf16) for again in (False, True)}
    finally:
        loader.close()
        collator.frames.close()
    each = {recompute: cost.scaled(1 / windows, gradients) for recompute, cost in costs.items()}
    return each, collator.frames.side


def _draws(sampler: WindowSampler, draws: int) -> list[DatasetDraws]:
    return [
        DatasetDraws(
            dataset=each.dataset,
            episodes=each.episodes,
            windows=each.windows,
            share=each.share,
            draws=round(draws * each.share),
            epochs=draws * each.share / each.windows,
        )
        for each in sampler.by_dataset
    ]


def _read_bytes(task: TrainTask[Any, Any, Any, Any], sampler: WindowSampler, draws: int) -> int:
    """Multiply draws by the pictures of a window and the mean size of one, dataset by dataset."""
    frames = task.spec.num_frames * len(task.spec.slots)
    by_dataset: dict[str, list[EpisodeInfo]] = {}
    for episode in task.data.train:
        by_dataset.setdefault(episode.dataset, []).append(episode)
    means = {name: _mean_bytes(task.data.reader, episodes) for name, episodes in by_dataset.items()}
    return round(sum(draws * each.share * frames * means[each.dataset] for each in sampler.by_dataset))


def _mean_bytes(reader: EpisodeReader, episodes: Sequence[EpisodeInfo]) -> float:
    """Give the mean size of an encoded picture."""
    sizes: Iterable[int] = (reader.num_bytes(episode.row) for episode in episodes)
    return sum(sizes) / max(sum(e.num_steps * len(e.cameras) for e in episodes), 1)
