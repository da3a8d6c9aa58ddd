"""`villa train world`: from labelled episodes to a model that paints what latent actions lead to."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from dataengine.config import MOST, MOST_WORKERS
from dataengine.errors import DataEngineError
from dataengine.mixture import Mixture, WindowSampler
from dataengine.report import Report
from dataengine.windows import EpisodeInfo, EpisodeReader, LatentInfo, WindowSpec
from models.fingerprint import fingerprint
from models.world import World, WorldConfig
from pipelines.mixture_recipe import NamedMixture, describe
from pipelines.text_table import text_table
from pipelines.training import data, recipes, world_scores
from pipelines.training.frames import Buffers, Frames
from pipelines.training.loading import Loader, num_ahead, num_buffers
from pipelines.training.loop import Run
from pipelines.training.ranks import Ranks, join, pick_device
from pipelines.training.run_folder import run_folder
from pipelines.training.settings import LoopConfig
from pipelines.training.world_batches import SLOT, WorldBatches
from pipelines.training.world_scores import BodyScore
from pipelines.training.world_sheet import save_sheet

if TYPE_CHECKING:
    from models.lam import Lam

_JUDGING = ("lam", "judge_steps")
"""Settings that the losses do not depend on, beside the loop's own."""


class TrainWorldConfig(LoopConfig):
    """What to train on, how large, how long. What is not given comes from the preset's recipe."""

    data: str
    """Corpus, or folder of shards, with latent actions."""
    out: Path
    """Folder of the run: checkpoints, metrics, the final weights, the report and its pictures."""
    lam: Path | None = None
    """Directory of the model that wrote the latent actions: for level 0 and the cycle check. Training needs none."""
    level: Literal[0, 1] = 1
    """0 trains nothing and judges the painter of `lam`, fed its own frames; 1 trains a model with context frames."""
    preset: Literal["tiny", "small"] = "tiny"
    model: dict[str, Any] = Field(default_factory=dict)
    """Fields of the model's own settings to change, such as `model.rollout`."""
    latent: str | None = None
    """Name of the latent actions; may be left out where there are only one model's."""
    mixture: NamedMixture = Mixture()
    """Keys below, or a name: `villa-x`, `villa-x-ablation`, a YAML file; key `recipe` names one to change."""
    held_out: float = Field(0.1, ge=0, lt=1)
    """Share of the episodes kept away from training, by a hash of their ids; beside those that publishers hold out."""
    val_windows: int = Field(256, ge=1, le=MOST)
    """Most held-out rollouts of each embodiment that are judged."""
    judge_steps: int = Field(6, ge=1, le=4_096)
    """Steps of a judged rollout; shorter ones count as far as they go."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""
    threads: int = Field(1, ge=1, le=MOST_WORKERS)
    """Threads that decode pictures."""
    cache_mb: float = Field(2000, ge=0, le=1e9)
    """Memory for decoded pictures: with room for all of them each is decoded once."""

    @model_validator(mode="before")
    @classmethod
    def _recipe(cls, given: Any) -> Any:
        return recipes.fill(recipes.WORLD, given)


class TrainWorldReport(Report):
    """A world model, and its frames beside those of held-out episodes."""

    out: str
    level: int
    preset: str
    latent: str
    lam_fingerprint: str
    """Of the model that wrote the latent actions."""
    interval_s: float
    """Between two frames."""
    resolution: int
    step: int
    steps: int
    finished: bool
    parameters: int
    train_episodes: int
    held_out_episodes: int
    judged_on: str = "held-out episodes"
    """Or `training episodes`, where nothing was held out."""
    shares: dict[str, float] = Field(default_factory=dict)
    """How often each dataset was drawn."""
    seconds: float = 0.0
    steps_per_s: float = 0.0
    loader_ms: dict[str, float] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    """The last entry of metrics.jsonl."""
    scores: list[BodyScore] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """What could not be judged, and why."""
    curve: str = ""
    rollouts: str = ""
    """PNG: true frames, level 0, level 1."""

    broken_episodes: list[str] = Field(default_factory=list)
    """Episodes with pictures that do not decode, met in this call: windows that show them were left out."""

    def summary(self) -> str:
        """Say where the model is; a row per embodiment and painter, for the first step and the last one reached."""
        where = f"step {self.step} of {self.steps}, {self.parameters / 1e6:.2f} M parameters, {self.seconds:.0f} s"
        if not self.finished:
            return f"{self.out}: {where}; time is up, the same command continues"
        rows = []
        for body in self.scores:
            for p in body.painters:
                for i in sorted({0, len(body.starts) - 1}):
                    figures = (p.ssim, p.edges, p.codes, p.cosine)
                    cells = [f"{p.psnr[i]:.2f}" if p.psnr else "-", *(f"{f[i]:.3f}" if f else "-" for f in figures)]
                    rows.append([body.embodiment, p.painter, i + 1, body.starts[i], *cells])
        head = [self.judged_on, "painter", "step", "rollouts", "PSNR", "SSIM", "edges", "codes back", "cosine"]
        title = f"{self.out}: {where}" if self.level else f"{self.out}: level 0, nothing to train"
        return "\n".join([title, text_table(head, rows), *self.notes])


def run(config: TrainWorldConfig) -> TrainWorldReport:
    """Train, or continue to train, then judge on held-out episodes and write weights and pictures into `out`."""
    with run_folder(config.out, "world", config.data, "rollouts.png"):
        return _run(config)


def _run(config: TrainWorldConfig) -> TrainWorldReport:
    import torch

    reader = data.open_reader(config.data)
    config = data.with_mixture(config, reader)
    train, held_out = data.split(reader, config.held_out)
    latent = data.pick_latent(reader, config.latent)
    with join(pick_device(config.device)) as ranks:
        lam = _load_lam(config, latent, ranks)
        if config.level == 0:
            assert lam is not None
            side = int(config.model.get("resolution", lam.config.resolution))
            report = _report(config, latent, side, train, held_out, finished=True)
            if ranks.leads:
                config.out.mkdir(parents=True, exist_ok=True)
                _judge(report, config, None, lam, reader, held_out or train, ranks)
            return report
        shape = model_config(config, reader, latent, train)
        spec = window_spec(latent, shape.context + shape.rollout)
        sampler = WindowSampler(
            train, spec, batch_size=config.batch_size // config.accumulate, seed=config.seed, mixture=config.mixture
        )
        ranks.tell(describe(sampler.by_dataset, config.steps * config.batch_size, sampler.missing))
        batches = _batches(config, reader, shape.resolution, pinned=ranks.device.type == "cuda")
        loader = Loader(reader, spec, sampler, batches, ranks.rank, ranks.world_size, num_ahead(config.accumulate))
        torch.manual_seed(config.seed)
        world = World(shape)
        config.out.mkdir(parents=True, exist_ok=True)
        lasting, binding = (
            {key: value for key, value in some.items() if key not in _JUDGING}
            for some in (config.lasting(), config.binding())
        )
        identity = {"data": reader.identity.fingerprint, "latent actions": latent.fingerprint, **binding}
        extra = {**data.origin(reader), "training": lasting, "latent": asdict(latent)}
        training = Run(world, loader, config, config.out, ranks, "world", identity, extra)
        try:
            trained = training.train()
        finally:
            loader.close()
            batches.frames.close()
        report = _report(config, latent, shape.resolution, train, held_out, finished=trained.finished).model_copy(
            update={
                "step": trained.step,
                "parameters": sum(p.numel() for p in world.parameters()),
                "shares": sampler.shares,
                "seconds": round(trained.seconds, 3),
                "steps_per_s": round(trained.steps_per_s, 3),
                "loader_ms": trained.loader_ms,
                "broken_episodes": sorted(batches.frames.broken_episodes),
                "metrics": trained.figures,
                "curve": str(config.out / "metrics.jsonl"),
            }
        )
        if trained.finished:
            training.export(config.out)
        if ranks.leads:
            with training.exported_weights():
                _judge(report, config, world, lam, reader, held_out or train, ranks)
    return report


def _report(
    config: TrainWorldConfig,
    latent: LatentInfo,
    resolution: int,
    train: Sequence[EpisodeInfo],
    held_out: Sequence[EpisodeInfo],
    *,
    finished: bool,
) -> TrainWorldReport:
    return TrainWorldReport(
        out=str(config.out),
        level=config.level,
        preset=config.preset,
        latent=latent.name,
        lam_fingerprint=latent.fingerprint,
        interval_s=latent.interval_s,
        resolution=resolution,
        step=0,
        steps=config.steps if config.level else 0,
        finished=finished,
        parameters=0,
        train_episodes=len(train),
        held_out_episodes=len(held_out),
        judged_on="held-out episodes" if held_out else "training episodes",
    )


def model_config(
    config: TrainWorldConfig, reader: EpisodeReader, latent: LatentInfo, train: Sequence[EpisodeInfo]
) -> WorldConfig:
    """Fit the preset to the latent actions' shape and size."""
    shape = {"num_slots": latent.k, "latent_dim": latent.d}
    data.check_latent_shape(config.model, shape, latent)
    scale = round(data.latent_rms(reader, latent.name, train), 6) or 1.0
    return WorldConfig.preset(config.preset, **{**shape, "latent_scale": scale, **config.model})


def window_spec(latent: LatentInfo, num_frames: int) -> WindowSpec:
    """Ask for frames as far apart as the latent actions reach, and for the latent actions between them."""
    return WindowSpec(
        num_frames=num_frames,
        interval_s=latent.interval_s,
        slots=(SLOT,),
        latent=latent.name,
        num_latents=num_frames - 1,
    )


def _batches(config: TrainWorldConfig, reader: EpisodeReader, side: int, *, pinned: bool) -> WorldBatches:
    frames = Frames(reader, (SLOT,), side, cache_mb=config.cache_mb, num_threads=config.threads)
    return WorldBatches(frames=frames, buffers=Buffers(num_buffers(config.accumulate), pinned=pinned))


def _judge(
    report: TrainWorldReport,
    config: TrainWorldConfig,
    world: World | None,
    lam: "Lam | None",
    reader: EpisodeReader,
    episodes: Sequence[EpisodeInfo],
    ranks: Ranks,
) -> None:
    """Fill in the scores of a finished run, and write the report and its pictures."""
    if report.finished:
        # The preset's, whatever the model reads: all levels and shapes are judged on the same rollouts.
        context = WorldConfig.preset(config.preset).context
        painters: dict[str, world_scores.Painter] = {world_scores.COPY: world_scores.copy_painter}
        if lam is not None:
            painters[world_scores.LEVEL_0] = world_scores.level_0(lam, report.resolution)
        else:
            report.notes.append("no --lam was given: level 0 and the cycle check were left out")
        if world is not None:
            world.eval()
            painters[world_scores.LEVEL_1] = world.render
        latent = reader.latent_info(report.latent)
        batches = _batches(config, reader, report.resolution, pinned=False)
        try:
            report.scores, strips = world_scores.judge(
                painters,
                lam,
                reader,
                batches,
                window_spec(latent, context + config.judge_steps),
                episodes,
                context=context,
                most=config.val_windows,
                device=ranks.device,
            )
        finally:
            batches.frames.close()
        report.notes.extend(_missing(report.scores, episodes, config.judge_steps))
        if save_sheet(strips, config.out / "rollouts.png"):
            report.rollouts = str(config.out / "rollouts.png")
    (config.out / "report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")


def _missing(scores: Sequence[BodyScore], episodes: Sequence[EpisodeInfo], num_steps: int) -> list[str]:
    judged = {s.embodiment: len(s.starts) for s in scores}
    notes = []
    for embodiment in sorted({e.embodiment for e in episodes}):
        steps = judged.get(embodiment, 0)
        if steps < num_steps:
            notes.append(f"{embodiment}: no judged episode is long enough for more than {steps} of {num_steps} steps")
    return notes


def _load_lam(config: TrainWorldConfig, latent: LatentInfo, ranks: Ranks) -> "Lam | None":
    """Read the model that wrote the latent actions, and refuse any other."""
    if config.lam is None:
        if config.level == 0:
            raise DataEngineError("level 0 is a latent action model's own painter: say which with --lam DIR")
        return None
    from models.weights import load_lam

    lam = load_lam(config.lam, ranks.device)
    found = fingerprint(config.lam)
    if found != latent.fingerprint:
        raise DataEngineError(
            f"{config.lam} has fingerprint {found}, the latent actions '{latent.name}' are by {latent.fingerprint}; "
            f"give the model that wrote them, or label again"
        )
    return lam
