"""`villa train lam`: from episodes to a model that names what happens between two frames."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from dataengine.errors import DataEngineError
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import EpisodeReader, WindowSpec, steps_per_latent
from models.batch import LamBatch
from models.lam import Lam, LamConfig
from models.lam.flops import forward_flops
from models.weights import load_lam
from pipelines.output.text_table import text_table
from pipelines.training import data
from pipelines.training.codebook_health import CodebookHealth, Condition
from pipelines.training.collators import LamCollator
from pipelines.training.distributed import Distributed
from pipelines.training.fit import fit
from pipelines.training.frames import Buffers, Frames
from pipelines.training.lam.callback import CodebookCallback
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.lam.scores import LamScores, evaluate, save_pictures
from pipelines.training.task import TrainingData, TrainReport, TrainTask
from pipelines.training.validation import Pictures, contact_sheet

PICTURES = "reconstructions.png"
NUM_PICTURES = 4
"""Held-out pairs that TensorBoard shows."""


class TrainLamReport(TrainReport):
    """A latent action model and what it does on episodes that it never saw."""

    proprio: bool
    codebook_health: list[Condition] = Field(default_factory=list)
    """What went wrong with codes and latents while training, and which settings help."""
    scores: LamScores = LamScores()
    reconstructions: str = ""

    def results(self) -> Iterable[str]:
        """Print a row per embodiment, how the codebook is used, and what went wrong with it."""
        rows = [
            [v.embodiment, v.pairs, f"{v.ratio:.3f}", f"{v.shuffled_ratio:.3f}", f"{v.copy_frame:.5f}"]
            for v in self.scores.visual
        ]
        head = [self.eval_split, "pairs", "error / copy", "shuffled / copy", "copy error"]
        used = ", ".join(f"{s.used} of {s.size} ({s.perplexity:.1f})" for s in self.scores.codebook)
        lines = [text_table(head, rows), f"codes used by slot (perplexity): {used}"]
        return [*lines, *(c.words for c in self.codebook_health if c.healed is None)]


def run(config: TrainLamConfig) -> TrainLamReport:
    """Train, or continue to train, then evaluate the model on held-out episodes and write its weights into `out`."""
    return fit(LamTask, config)


class LamTask(TrainTask[TrainLamConfig, Lam, LamCollator, TrainLamReport]):
    """Clips of episodes, and what robots felt and did between their frames."""

    name = "lam"
    products = (PICTURES,)

    def __init__(self, config: TrainLamConfig, training_data: TrainingData, distributed: Distributed) -> None:
        super().__init__(config, training_data, distributed)
        self.normalizer = data.normalizer(training_data.reader, config.normalize_by)
        self.init_model = load_lam(config.init_from) if config.init_from else None
        self.shape = model_config(
            config, training_data.reader, self.normalizer, self.init_model.config if self.init_model else None
        )
        self.spec = WindowSpec(num_frames=self.shape.num_frames, interval_s=self.shape.interval_s)
        num_pairs = config.micro_batch_size // distributed.world_size * (self.shape.num_frames - 1)
        self.health = CodebookHealth(self.shape, config.steps, num_pairs, config.warmup_steps)

    def collator(self, buffers: Buffers) -> LamCollator:
        """Make what turns windows into clips with states and actions."""
        c = self.config
        frames = Frames(
            self.data.reader, self.spec.slots, self.shape.resolution, cache_mb=c.cache_mb, num_threads=c.threads
        )
        return LamCollator(
            frames=frames,
            buffers=buffers,
            normalizer=self.normalizer,
            state_dim=self.shape.state_dim,
            action_dim=self.shape.action_dim,
        )

    def make(self) -> Lam:
        """Draw the weights, and freeze those that stay as they are."""
        lam = Lam(self.shape)
        if self.config.freeze:
            lam.freeze_latents()
        return lam

    def build(self) -> Lam:
        """Take the weights of the model to initialise from, if there is one."""
        lam = self.make()
        if self.init_model is not None:
            missing = ", ".join(load_matching_weights(lam, self.init_model)) or "nothing"
            self.distributed.print0(f"initialised from {self.config.init_from}; newly initialised: {missing}")
        return lam

    def extra(self) -> dict[str, Any]:
        """Add the statistics that normalised, and which row of the table of datasets is whose."""
        origin = data.origin(self.data.reader, self.normalizer.stats)
        dataset_ids = {setup.dataset: setup.dataset_id for setup in self.data.reader.episodes.setups}
        return {**origin, "dataset_ids": dataset_ids, "training": self.config.recorded()}

    def callback(self, model: Lam) -> CodebookCallback | None:
        """Look after the codebook, where it is trained."""
        return None if self.config.freeze else CodebookCallback(model, self.health, self.config.log_every)

    def figures_of(self, model: Lam, means: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Add up the loss."""
        return model.figures(means)

    def flops(self, model: Lam) -> float | None:
        """Count a clip, where all of the model is trained."""
        return None if self.config.freeze else 3 * forward_flops(self.shape)

    def val_pictures(self, model: Lam, batch: LamBatch) -> Pictures:
        """Show pairs of frames: now, next, and the next one that the decoder predicts."""
        now, after = batch.video[:NUM_PICTURES, 0], batch.video[:NUM_PICTURES, 1]
        latents = model.encode(batch.video[:NUM_PICTURES]).quantized[:, 0]
        return {"now, next, predicted": contact_sheet(torch.stack([now, after, model.render(now, latents)], dim=1))}

    @property
    def val_best_from(self) -> int:
        """Leave out the warm-up of the codebook, in which latents are not yet rounded to codes."""
        return math.ceil(self.shape.warmup_fraction * self.config.steps) + 1

    def report(self, facts: Mapping[str, Any]) -> TrainLamReport:
        """Add what grounded the latents, and how the codebook fared."""
        return TrainLamReport(proprio=self.config.proprio, codebook_health=self.health.conditions, **facts)

    def evaluate(self, model: Lam, collator: LamCollator, shares: Mapping[str, float]) -> dict[str, Any]:
        """Predict next frames of held-out episodes, and of datasets that the mixture leaves out; save some of them."""
        training_data, c = self.data, self.config
        train = training_data.train
        parted = len(training_data.held_out) > 0
        unseen = train.select(train.having(parted and s.dataset not in shares for s in train.setups))
        scores, pairs = evaluate(
            model,
            training_data.reader,
            collator,
            self.spec,
            [*training_data.eval_episodes, *unseen],
            c.val_windows,
            shares,
        )
        save_pictures(pairs, c.out / PICTURES)
        return {"scores": scores, "reconstructions": str(c.out / PICTURES)}


def model_config(
    config: TrainLamConfig, reader: EpisodeReader, normalizer: Normalizer, init_config: LamConfig | None = None
) -> LamConfig:
    """Fit the preset, or the initial model, to the data: widest vectors, longest stride, room for every dataset."""
    start = init_config.model_dump() if init_config else config.preset_model()
    base = LamConfig(**{**start, **config.model})
    robots = normalizer.stats.values()
    needed = {
        "state_dim": max((s.state.dim for s in robots), default=1) or 1,
        "action_dim": max((s.action.dim for s in robots), default=1) or 1,
        "max_horizon": max(steps_per_latent(s.control_hz, base.interval_s) for s in reader.episodes.setups),
        "num_datasets": max(base.num_datasets, *(s.dataset_id for s in reader.episodes.setups)),
    }
    if init_config and init_config.use_proprio:  # room that it has and this data does not need costs nothing
        needed = {key: max(value, getattr(init_config, key)) for key, value in needed.items()}
    fitted = {"use_proprio": config.proprio, "use_context": config.context, **needed, **config.model}
    return LamConfig(**{**base.model_dump(), **fitted})


def load_matching_weights(lam: Lam, init_model: Lam) -> list[str]:
    """Copy another model's weights; name the parts that stay newly initialised because it lacks them or has others."""
    theirs, ours = init_model.state_dict(), lam.state_dict()
    other = {
        name.partition(".")[0]
        for name, value in ours.items()
        if theirs.get(name, value[..., None]).shape != value.shape
    }
    if other - {"proprio"}:
        raise DataEngineError(
            f"the model to initialise from differs in {', '.join(sorted(other - {'proprio'}))}; "
            f"leave out the settings `model.*` that change its architecture"
        )
    lam.load_state_dict(
        {name: value for name, value in theirs.items() if name in ours and name.partition(".")[0] not in other},
        strict=False,
    )
    return sorted(other)
