"""How any model is trained: the settings of the loop, and the learning rate that follows from them."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dataengine.config import MOST, Config, Seed
from pipelines.training.loggers.logger import LoggerName

_NOT_RECORDED = frozenset(
    (
        "out",
        "data",
        "device",
        "threads",
        "cache_mb",
        "copies_gb",
        "val_windows",
        "max_minutes",
        "log_every",
        "loggers",
        "val_every",
        "val_batches",
        "checkpoint_every",
        "keep_last",
        "launcher",
        "ray_address",
        "ray_workers",
        "ray_resources",
        "ray_max_failures",
        "hang_timeout_s",
        "peak_tflops",
        "keep_best",
        "async_checkpoint",
    )
)
"""Settings that losses do not depend on: they may differ between the calls of one run."""

_OF_ONE_RANK = frozenset(
    (
        *("out", "data", "device", "threads", "cache_mb", "copies_gb", "loggers", "peak_tflops"),
        *("launcher", "ray_address", "ray_workers", "ray_resources", "ray_max_failures"),
    )
)
"""Settings that may differ between the ranks of one call: where its machine has what, and how much of it."""

_GUARDS = ("on_bad_step", "on_spike", "spike_deviations", "spike_window")
_MAY_CHANGE_ON_RESUME = (
    *("steps", "grad_accumulation_steps", "sharding", "compile", "checkpoint_activations"),
    *_GUARDS,
)
"""Settings that a run may be continued with another value of: how far it goes, and how a step is computed. Of a step
in more parts only what is normalised over a part's pictures changes: a wrist camera's batch norm, a LAM's latents."""


NUM_VALIDATIONS, LEAST_VAL_EVERY = 20, 10
"""Looks at held-out windows in a run, where nobody says otherwise, and least steps between two."""

Decay = Annotated[float, Field(ge=0, lt=1)]


FORMER_NAMES = MappingProxyType(
    {
        "accumulate": "grad_accumulation_steps",
        "clip": "max_grad_norm",
        "ema": "ema_decay",
        "final_lr": "min_lr_ratio",
        "held_out": "val_fraction",
        "keep": "keep_last",
    }
)
"""Of settings that checkpoints of version 0.1 were saved with, and their names today."""


Share = Annotated[float, Field(ge=0, le=1)]
Aspect = Annotated[float, Field(ge=0, le=100)]


class Augment(Config):
    """How pictures vary in training. Nothing varies where nothing is set."""

    crop_area: tuple[Share, Share] = (1.0, 1.0)
    """Share of the picture's area that is cut out and scaled back, least and most; `[0.9, 0.9]` always cuts a tenth."""
    crop_aspect: tuple[Aspect, Aspect] = (1.0, 1.0)
    """Least and most width of the crop for its height, against the picture's own."""
    brightness: float = Field(0.0, ge=0, le=1)
    """Most that is added or taken, as a share of white."""
    contrast: float = Field(0.0, ge=0, lt=1)
    """Most that distances from the clip's mean colour shrink or grow, as a share."""
    saturation: float = Field(0.0, ge=0, le=1)
    """The same for distances from grey."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Most that colours turn, in turns of the colour wheel."""

    @model_validator(mode="after")
    def _is_possible(self) -> "Augment":
        low, high = self.crop_area
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_area is [{low}, {high}], expected shares above 0 up to 1, the least first")
        if not 0 < self.crop_aspect[0] <= self.crop_aspect[1]:
            raise ValueError(f"crop_aspect is {list(self.crop_aspect)}, expected numbers above 0, the least first")
        return self

    @property
    def crops(self) -> bool:
        """Tell whether pictures are cut."""
        return self.crop_area != (1.0, 1.0) or self.crop_aspect != (1.0, 1.0)

    @property
    def colours(self) -> bool:
        """Tell whether colours vary."""
        return any((self.brightness, self.contrast, self.saturation, self.hue))


class LoopConfig(Config):
    """How any model is trained."""

    renamed = FORMER_NAMES

    steps: int = Field(1000, ge=1, le=MOST)
    """Optimiser steps of the whole run; the schedule of the learning rate ends here. A run that is given more of them
    goes on, with the learning rate that the longer schedule has at its step."""
    batch_size: int = Field(16, ge=1, le=1_000_000)
    """Windows in one optimiser step, over all ranks and accumulated parts."""
    grad_accumulation_steps: int = Field(1, ge=1, le=1_000_000)
    """Parts that a step's batch is computed in, when memory is short; the losses stay the same."""
    seed: Seed = 0
    """Of weights, windows, noise and augmentation."""
    lr: float = Field(1e-4, gt=0, le=1_000)
    """Learning rate of AdamW, after the warm-up."""
    warmup_steps: int = Field(0, ge=0, le=MOST)
    """Optimiser steps in which the learning rate grows from 0."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up; cosine ends at `min_lr_ratio` of the learning rate."""
    min_lr_ratio: float = Field(0.1, ge=0, le=1)
    """Share of the learning rate that is left at the end, where the schedule is a cosine."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """`adamw_8bit` keeps its two moments in 8 bits, as the authors' code does; it needs bitsandbytes."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """Of AdamW."""
    weight_decay: float = Field(0.05, ge=0, le=1_000)
    """On the weights of linear maps and convolutions only: norms, biases, scales, tables, codebooks, queries, positions
    and gates have none."""
    max_grad_norm: float = Field(1.0, gt=0, le=1e9)
    """Longer gradients are scaled down to it."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay of the averaged weights that the run exports; 0 exports the last step's."""
    bf16: bool | None = False
    """Compute in bfloat16 where it is safe; weights, optimiser and sums stay float32. None: on devices fast at it."""
    sharding: Literal["none", "fsdp2"] = "none"
    """What is divided among processes beside the batch. `none`: each has a whole copy of the model
    (DistributedDataParallel). `fsdp2`: weights, gradients, optimizer and averages too, and blocks are put together
    while they run; for models that fit into no GPU whole."""
    compile: bool = False
    """Compile each block with torch's compiler, or the whole loss of a model without blocks; that takes minutes at the
    first steps."""
    checkpoint_activations: bool = False
    """Recompute each block in the backward pass: less memory, a third more time, equal losses."""
    augment: Augment = Augment()
    """How pictures vary each time they are seen."""
    log_every: int = Field(10, ge=1, le=MOST)
    """Optimiser steps between two entries of metrics.jsonl and TensorBoard."""
    loggers: tuple[LoggerName, ...] = ("tensorboard",)
    """Who gets the metrics beside metrics.jsonl: `tensorboard`, `wandb`, `trackio`; the last two are extras."""
    peak_tflops: float | None = Field(None, gt=0, le=1e9)
    """What a device could compute, 10^12 operations a second, to give the share that is used (`mfu`). By default it is
    known by its name; a CPU is measured."""
    val_every: int | None = Field(None, ge=0, le=MOST)
    """Steps between two looks at held-out windows; 0: at the end alone. By default twenty times in a run, and not more
    often than every 10 steps."""
    val_batches: int = Field(4, ge=1, le=MOST)
    """Held-out batches of such a look, always the same."""
    checkpoint_every: int = Field(500, ge=1, le=MOST)
    """Optimiser steps between two checkpoints."""
    keep_last: int = Field(2, ge=1, le=1_000_000)
    """Newest checkpoints that stay."""
    on_bad_step: Literal["stop", "skip"] = "stop"
    """After a step whose loss or gradient is no number. `skip` leaves weights, optimiser and buffers as they were."""
    on_spike: Literal["log", "skip", "stop"] = "log"
    """After a step whose loss or gradient norm is far above the last ones; `log` learns from it, and writes it down."""
    spike_deviations: float = Field(20.0, ge=0, le=1e6)
    """How far: so many deviations above the median, by the median absolute deviation; 0 looks for no spikes."""
    spike_window: int = Field(100, ge=2, le=10_000)
    """Last steps that a step is held against, once half of them were taken."""
    hang_timeout_s: float = Field(1800, ge=1, le=1e6)
    """Longest that the processes of a run wait for one another."""
    keep_best: bool = False
    """Save a checkpoint also when the loss on held-out windows is the lowest so far; it stays until a lower one."""
    async_checkpoint: bool = True
    """Copy what is saved to memory of the host, and write while training goes on; the copy takes as much memory again
    as weights, averages and optimizer. False: training waits until a checkpoint is on the disk."""
    max_minutes: float | None = Field(None, gt=0, le=1e6)
    """End this call with a checkpoint after so long; the same command continues."""

    @property
    def validates_every(self) -> int:
        """Steps between two looks at held-out windows; 0: at the end alone."""
        return max(self.steps // NUM_VALIDATIONS, LEAST_VAL_EVERY) if self.val_every is None else self.val_every

    @property
    def micro_batch_size(self) -> int:
        """Windows, over all ranks, that are computed at once."""
        return self.batch_size // self.grad_accumulation_steps

    def recorded(self) -> dict[str, Any]:
        """Give the settings that a run's losses depend on, for its checkpoints."""
        return {key: value for key, value in self.model_dump(mode="json").items() if key not in _NOT_RECORDED}

    def same_on_all_ranks(self) -> dict[str, Any]:
        """Give those that all ranks must have the same value of: ranks that save at other steps wait for ever."""
        return {key: value for key, value in self.model_dump(mode="json").items() if key not in _OF_ONE_RANK}

    def fixed_on_resume(self) -> dict[str, Any]:
        """Give those that a run must keep when it is continued."""
        return {key: value for key, value in self.recorded().items() if key not in _MAY_CHANGE_ON_RESUME}

    when_unsaved: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """What settings were before they existed: runs from then did not save them."""

    def saved_as_today(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Give settings that an older version saved as this one would have saved them."""
        named = {self.renamed.get(key, key): value for key, value in settings.items()}
        return {**self.when_unsaved, **named}

    def may_change_on_resume(self) -> dict[str, Any]:
        """Give those that it may be continued with another value of."""
        return {key: getattr(self, key) for key in _MAY_CHANGE_ON_RESUME}


def learning_rate(config: LoopConfig, step: int) -> float:
    """Learning rate of optimiser step `step`, counted from 0."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.lr * (config.min_lr_ratio + (1 - config.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * done)))
