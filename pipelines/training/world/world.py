"""`villa train world`: from labelled episodes to a model that predicts the frames that latent actions lead to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor

from dataengine.errors import DataEngineError
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.window import EpisodeReader, LatentInfo, WindowSpec
from models.batch import WorldBatch
from models.fingerprint import fingerprint
from models.world import World, WorldConfig
from models.world.flops import forward_flops
from pipelines.device import pick_device
from pipelines.output.text_table import text_table
from pipelines.training import data
from pipelines.training.distributed import Distributed, process_group
from pipelines.training.fit import fit, open_data, write_report
from pipelines.training.frames import Buffers, Frames
from pipelines.training.loading import num_buffers
from pipelines.training.run_folder import run_folder
from pipelines.training.seen import seen
from pipelines.training.task import TrainingData, TrainReport, TrainTask, episode_counts
from pipelines.training.validation import Pictures, contact_sheet
from pipelines.training.world import scores as world_scores
from pipelines.training.world.collator import SLOT, WorldCollator
from pipelines.training.world.config import TrainWorldConfig
from pipelines.training.world.scores import RolloutScore
from pipelines.training.world.sheet import save_sheet

if TYPE_CHECKING:
    from models.lam import Lam

_EVALUATION = ("lam", "eval_horizon")
"""Settings that the losses do not depend on, beside the loop's own."""
SHEET = "rollouts.png"
NUM_PICTURES = 3
"""Held-out rollouts that TensorBoard shows."""


class TrainWorldReport(TrainReport):
    """A world model, and its frames beside those of held-out episodes."""

    level: int
    latent: str
    lam_fingerprint: str
    """Of the model that wrote the latent actions."""
    interval_s: float
    """Between two frames."""
    resolution: int
    scores: list[RolloutScore] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """What could not be evaluated, and why."""
    rollouts: str = ""
    """PNG: true frames, level 0, level 1."""

    def where(self) -> str:
        """Say how far the run is, if there is one."""
        return super().where() if self.level else "level 0, nothing to train"

    def results(self) -> Iterable[str]:
        """Print a row per embodiment and predictor, for the first step and the last one reached."""
        rows = []
        for score in self.scores:
            for p in score.predictors:
                for i in sorted({0, len(score.starts) - 1}):
                    figures = (p.ssim, p.edges, p.codes, p.cosine)
                    cells = [f"{p.psnr[i]:.2f}" if p.psnr else "-", *(f"{f[i]:.3f}" if f else "-" for f in figures)]
                    rows.append([score.embodiment, p.predictor, i + 1, score.starts[i], *cells])
        head = [self.eval_split, "predictor", "step", "rollouts", "PSNR", "SSIM", "edges", "codes back", "cosine"]
        return [text_table(head, rows), *self.notes]


def run(config: TrainWorldConfig) -> TrainWorldReport:
    """Train, or continue to train, then evaluate on held-out episodes and write weights and pictures into `out`."""
    if config.level:
        return fit(WorldTask, config)
    device = pick_device(config.device)
    with run_folder(config.out, WorldTask.name, config.data, SHEET):
        config, training_data = open_data(config)
        with process_group(device) as distributed:
            return _evaluate_level_0(config, training_data, distributed)


class WorldTask(TrainTask[TrainWorldConfig, World, WorldCollator, TrainWorldReport]):
    """Clips, and the latent actions between their frames."""

    name = "world"
    products = (SHEET,)

    def __init__(self, config: TrainWorldConfig, training_data: TrainingData, distributed: Distributed) -> None:
        super().__init__(config, training_data, distributed)
        self.latent = data.pick_latent(training_data.reader, config.latent)
        self.lam = _load_lam(config, self.latent, distributed)
        self.shape = model_config(config, training_data.reader, self.latent, training_data.train)
        self.spec = window_spec(self.latent, self.shape.context + self.shape.rollout)

    def collator(self, buffers: Buffers) -> WorldCollator:
        """Make what turns windows into clips and latent actions."""
        return _collator(self.config, self.data.reader, self.shape.resolution, buffers)

    def make(self) -> World:
        """Draw the weights."""
        return World(self.shape)

    def identity(self) -> dict[str, Any]:
        """Add the latent actions; what only the evaluation reads may change."""
        facts = {**seen(self.data.reader, self.latent), "latent actions": self.latent.fingerprint}
        return facts | _without_evaluation(self.config.fixed_on_resume())

    def extra(self) -> dict[str, Any]:
        """Add the latent actions that the model was trained on."""
        settings = _without_evaluation(self.config.recorded())
        return {**data.origin(self.data.reader), "training": settings, "latent": asdict(self.latent)}

    def evaluate(self, model: World, collator: WorldCollator, shares: Mapping[str, float]) -> dict[str, Any]:
        """Roll out on held-out episodes, beside the latent action model's own decoder."""
        return _evaluate(self.config, model, self.lam, self.data, self.latent, self.shape.resolution, self.distributed)

    def figures_of(self, model: World, means: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Call the mean over frames the loss."""
        return {"loss": means["frames"]}

    def flops(self, model: World) -> float:
        """Count a clip at the length that rollouts have now."""
        return 3 * forward_flops(model.config, model.num_steps)

    def val_pictures(self, model: World, batch: WorldBatch) -> Pictures:
        """Show rollouts: the true frames from the last one seen on, and below them those that the model predicts."""
        context = self.shape.context
        history, truth = batch.video[:NUM_PICTURES, :context], batch.video[:NUM_PICTURES, context:]
        predicted = model.render(history, batch.latent[:NUM_PICTURES, context - 1 :])
        rows = [torch.cat([history[:, -1:], frames], dim=1) for frames in (truth, predicted)]
        return {"true frames, predicted": contact_sheet(torch.stack(rows, dim=1).flatten(0, 1))}

    def report(self, facts: Mapping[str, Any]) -> TrainWorldReport:
        """Add which latent actions the frames follow."""
        return TrainWorldReport(**_about(self.config, self.latent, self.shape.resolution), **facts)


def _evaluate_level_0(
    config: TrainWorldConfig, training_data: TrainingData, distributed: Distributed
) -> TrainWorldReport:
    """Evaluate the decoder of `lam`, fed its own frames; nothing is trained."""
    latent = data.pick_latent(training_data.reader, config.latent)
    lam = _load_lam(config, latent, distributed)
    assert lam is not None
    side = int(config.model.get("resolution", lam.config.resolution))
    scores: dict[str, Any] = {}
    if distributed.is_main_process:
        config.out.mkdir(parents=True, exist_ok=True)
        scores = _evaluate(config, None, lam, training_data, latent, side, distributed)
    report = TrainWorldReport(
        out=str(config.out),
        preset=config.preset,
        step=0,
        steps=0,
        finished=True,
        parameters=0,
        **_about(config, latent, side),
        **episode_counts(training_data),
        **scores,
    )
    if distributed.is_main_process:
        write_report(report, config.out)
    return report


def _about(config: TrainWorldConfig, latent: LatentInfo, resolution: int) -> dict[str, Any]:
    """Give the fields of a report that say what was evaluated."""
    return {
        "level": config.level,
        "latent": latent.name,
        "lam_fingerprint": latent.fingerprint,
        "interval_s": latent.interval_s,
        "resolution": resolution,
    }


def _without_evaluation(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _EVALUATION}


def model_config(
    config: TrainWorldConfig, reader: EpisodeReader, latent: LatentInfo, train: Sequence[EpisodeInfo]
) -> WorldConfig:
    """Fit the preset to the latent actions' shape and size."""
    shape = {"num_slots": latent.k, "latent_dim": latent.d}
    data.check_latent_shape(config.model, shape, latent)
    scale = round(data.latent_rms(reader, latent.name, train), 6) or 1.0
    return WorldConfig(**{**config.preset_model(), **shape, "latent_scale": scale, **config.model})


def window_spec(latent: LatentInfo, num_frames: int) -> WindowSpec:
    """Ask for frames as far apart as the latent actions reach, and for the latent actions between them."""
    return WindowSpec(
        num_frames=num_frames,
        interval_s=latent.interval_s,
        slots=(SLOT,),
        latent=latent.name,
        num_latents=num_frames - 1,
    )


def _collator(config: TrainWorldConfig, reader: EpisodeReader, side: int, buffers: Buffers) -> WorldCollator:
    frames = Frames(reader, (SLOT,), side, cache_mb=config.cache_mb, num_threads=config.threads)
    return WorldCollator(frames=frames, buffers=buffers)


def _evaluate(
    config: TrainWorldConfig,
    world: World | None,
    lam: "Lam | None",
    training_data: TrainingData,
    latent: LatentInfo,
    side: int,
    distributed: Distributed,
) -> dict[str, Any]:
    """Score all that can predict frames, save the pictures, return the fields of the report."""
    # The preset's, whatever the model reads: all levels and shapes are evaluated on the same rollouts.
    context = WorldConfig(**config.preset_model()).context
    predictors: dict[str, world_scores.Predictor] = {world_scores.COPY: world_scores.copy_frame}
    notes = []
    if lam is not None:
        predictors[world_scores.LEVEL_0] = world_scores.level_0(lam, side)
    else:
        notes.append("no --lam was given: level 0 and the cycle check were left out")
    if world is not None:
        world.eval()
        predictors[world_scores.LEVEL_1] = world.render
    collator = _collator(
        config, training_data.reader, side, Buffers(num_buffers(config.grad_accumulation_steps), pinned=False)
    )
    try:
        scores, strips = world_scores.evaluate(
            predictors,
            lam,
            training_data.reader,
            collator,
            window_spec(latent, context + config.eval_horizon),
            training_data.eval_episodes,
            context=context,
            most=config.val_windows,
            device=distributed.device,
        )
    finally:
        collator.frames.close()
    notes += _missing(scores, training_data.eval_episodes, config.eval_horizon)
    saved = save_sheet(strips, config.out / SHEET)
    return {"scores": scores, "notes": notes, "rollouts": str(config.out / SHEET) if saved else ""}


def _missing(scores: Sequence[RolloutScore], episodes: Sequence[EpisodeInfo], num_steps: int) -> list[str]:
    evaluated = {s.embodiment: len(s.starts) for s in scores}
    notes = []
    for embodiment in sorted({e.embodiment for e in episodes}):
        steps = evaluated.get(embodiment, 0)
        if steps < num_steps:
            notes.append(
                f"{embodiment}: no evaluated episode is long enough for more than {steps} of {num_steps} steps"
            )
    return notes


def _load_lam(config: TrainWorldConfig, latent: LatentInfo, distributed: Distributed) -> "Lam | None":
    """Read the model that wrote the latent actions, and refuse any other."""
    if config.lam is None:
        if config.level == 0:
            raise DataEngineError("level 0 evaluates the decoder of a latent action model: give it with --lam DIR")
        return None
    from models.weights import load_lam

    lam = load_lam(config.lam, distributed.device)
    key = fingerprint(config.lam)
    if key != latent.fingerprint:
        raise DataEngineError(
            f"{config.lam} has fingerprint {key}, the latent actions '{latent.name}' are by {latent.fingerprint}; "
            f"give the model that wrote them, or label again"
        )
    return lam
