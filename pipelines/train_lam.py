"""`villa train lam`: from episodes to a model that names what happens between two frames."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from dataengine.config import MOST, MOST_WORKERS
from dataengine.errors import DataEngineError
from dataengine.mixture import Mixture, WindowSampler
from dataengine.normalize import Normalizer
from dataengine.report import Report
from dataengine.windows import EpisodeReader, WindowSpec, steps_per_latent
from models.lam import Lam, LamConfig
from models.weights import load_lam
from pipelines.mixture_recipe import NamedMixture, describe
from pipelines.text_table import text_table
from pipelines.training import data, recipes
from pipelines.training.batches import LamBatches
from pipelines.training.codebook_health import CodebookHealth, Condition
from pipelines.training.data import NormalizeBy
from pipelines.training.frames import Buffers, Frames
from pipelines.training.lam_scores import LamScores, judge, save_pictures
from pipelines.training.lam_watch import LamWatch
from pipelines.training.loading import Loader, num_ahead, num_buffers
from pipelines.training.loop import Run
from pipelines.training.ranks import join, pick_device
from pipelines.training.run_folder import run_folder
from pipelines.training.settings import LoopConfig


class TrainLamConfig(LoopConfig):
    """What to train on, how large, how long. What is not given comes from the preset's recipe."""

    data: str
    """Corpus, or folder of shards."""
    out: Path
    """Folder of the run: checkpoints, metrics, the final weights."""
    preset: Literal["tiny", "small", "paper"] = "tiny"
    model: dict[str, Any] = Field(default_factory=dict)
    """Fields of the model's own settings to change, such as `model.resolution`."""
    init: Path | None = None
    """Model to begin from, ours or a released one: its architecture and weights. What it lacks starts afresh."""
    freeze: Literal["latents"] | None = None
    """`latents`: train the proprio forward model alone; latent actions stay exactly those of `init`."""
    proprio: bool = True
    """Ground the latents in what robots felt and did, not in pixels alone."""
    context: bool = True
    """Tell the proprio forward model which embodiment moves."""
    normalize_by: NormalizeBy = "dataset"
    """Whose quantiles become -1 and 1: `dataset`, a body's in each of its datasets, which may drive it in other ways
    and at other rates; `embodiment`, a body's in all of them together."""
    mixture: NamedMixture = Mixture()
    """Keys below, or a name: `villa-x`, `villa-x-ablation`, a YAML file; key `recipe` names one to change."""
    held_out: float = Field(0.1, ge=0, lt=1)
    """Share of the episodes kept away from training, by a hash of their ids; beside those that publishers hold out."""
    val_windows: int = Field(256, ge=1, le=MOST)
    """Most held-out windows of each embodiment that the trained model is judged on."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""
    threads: int = Field(1, ge=1, le=MOST_WORKERS)
    """Threads that decode pictures."""
    cache_mb: float = Field(2000, ge=0, le=1e9)
    """Memory for decoded pictures: with room for all of them each is decoded once."""

    @model_validator(mode="before")
    @classmethod
    def _recipe(cls, given: Any) -> Any:
        return recipes.fill(recipes.LAM, given)

    @model_validator(mode="after")
    def _something_to_train(self) -> "TrainLamConfig":
        if self.freeze and (self.init is None or not self.proprio):
            raise ValueError(
                "freeze=latents needs init=DIR, whose latents to keep, and proprio=true, for what to train"
            )
        return self


class TrainLamReport(Report):
    """A latent action model and what it does on episodes that it never saw."""

    out: str
    preset: str
    proprio: bool
    step: int
    steps: int
    finished: bool
    parameters: int
    train_episodes: int
    held_out_episodes: int
    judged_on: str = "held-out episodes"
    """Or `training episodes`, where nothing was held out."""
    shares: dict[str, float]
    """How often each dataset was drawn."""
    seconds: float
    steps_per_s: float
    loader_ms: dict[str, float]
    metrics: dict[str, float]
    """The last entry of metrics.jsonl."""
    codebook_health: list[Condition] = Field(default_factory=list)
    """What went wrong with codes and latents while training, and which settings help."""
    scores: LamScores = LamScores()
    curve: str
    reconstructions: str = ""

    broken_episodes: list[str] = Field(default_factory=list)
    """Episodes with pictures that do not decode, met in this call: windows that show them were left out."""

    def summary(self) -> str:
        """Say where the model is and print a row per embodiment."""
        where = f"step {self.step} of {self.steps}, {self.parameters / 1e6:.2f} M parameters, {self.seconds:.0f} s"
        if not self.finished:
            return f"{self.out}: {where}; time is up, the same command continues"
        rows = [
            [v.embodiment, v.pairs, f"{v.ratio:.3f}", f"{v.shuffled_ratio:.3f}", f"{v.copy_frame:.5f}"]
            for v in self.scores.visual
        ]
        head = [self.judged_on, "pairs", "error / copy", "shuffled / copy", "copy error"]
        used = ", ".join(f"{s.used} of {s.size} ({s.perplexity:.1f})" for s in self.scores.codebook)
        lines = [f"{self.out}: {where}", text_table(head, rows), f"codes used by slot (perplexity): {used}"]
        return "\n".join([*lines, *(c.words for c in self.codebook_health if c.healed is None)])


def run(config: TrainLamConfig) -> TrainLamReport:
    """Train, or continue to train, then judge the model on held-out episodes and write its weights into `out`."""
    with run_folder(config.out, "lam", config.data, "reconstructions.png"):
        return _run(config)


def _run(config: TrainLamConfig) -> TrainLamReport:
    import torch

    reader = data.open_reader(config.data)
    config = data.with_mixture(config, reader)
    train, held_out = data.split(reader, config.held_out)
    normalizer = data.normalizer(reader, config.normalize_by)
    begun = load_lam(config.init) if config.init else None
    shape = model_config(config, reader, normalizer, begun.config if begun else None)
    spec = WindowSpec(num_frames=shape.num_frames, interval_s=shape.interval_s)
    with join(pick_device(config.device)) as ranks:
        sampler = WindowSampler(
            train,
            spec,
            batch_size=config.batch_size // config.accumulate,
            seed=config.seed,
            mixture=config.mixture,
        )
        ranks.tell(describe(sampler.by_dataset, config.steps * config.batch_size, sampler.missing))
        batches = LamBatches(
            frames=Frames(reader, spec.slots, shape.resolution, cache_mb=config.cache_mb, num_threads=config.threads),
            buffers=Buffers(num_buffers(config.accumulate), pinned=ranks.device.type == "cuda"),
            normalizer=normalizer,
            state_dim=shape.state_dim,
            action_dim=shape.action_dim,
        )
        loader = Loader(reader, spec, sampler, batches, ranks.rank, ranks.world_size, num_ahead(config.accumulate))
        torch.manual_seed(config.seed)
        lam = Lam(shape)
        if begun is not None:
            ranks.tell(f"begun from {config.init}; afresh: {', '.join(adopt(lam, begun)) or 'nothing'}")
        if config.freeze:
            lam.freeze_latents()
        config.out.mkdir(parents=True, exist_ok=True)
        extra = {**data.origin(reader, normalizer.stats), "training": config.lasting()}
        identity = {"data": reader.identity.fingerprint, **config.binding()}
        num_pairs = config.batch_size // (config.accumulate * ranks.world_size) * (shape.num_frames - 1)
        health = CodebookHealth(shape, config.steps, num_pairs, config.warmup_steps)
        watch = None if config.freeze else LamWatch(lam, health, config.log_every)
        training = Run(lam, loader, config, config.out, ranks, "lam", identity, extra, watch=watch)
        try:
            trained = training.train()
            loader.close()  # it shares buffers with the judge
            scores, pictures = LamScores(), ""
            if trained.finished:
                training.export(config.out)
                if ranks.leads:
                    with training.exported_weights():
                        unseen = [e for e in train if e.dataset not in sampler.shares]
                        judged = [*(held_out or train), *(unseen if held_out else ())]
                        scores, pairs = judge(lam, reader, batches, spec, judged, config.val_windows, sampler.shares)
                    pictures = str(config.out / "reconstructions.png")
                    save_pictures(pairs, Path(pictures))
        finally:
            loader.close()
            batches.frames.close()
    report = TrainLamReport(
        out=str(config.out),
        preset=config.preset,
        proprio=config.proprio,
        step=trained.step,
        steps=config.steps,
        finished=trained.finished,
        parameters=sum(p.numel() for p in lam.parameters()),
        train_episodes=len(train),
        held_out_episodes=len(held_out),
        judged_on="held-out episodes" if held_out else "training episodes",
        shares=sampler.shares,
        seconds=round(trained.seconds, 3),
        steps_per_s=round(trained.steps_per_s, 3),
        loader_ms=trained.loader_ms,
        broken_episodes=sorted(batches.frames.broken_episodes),
        metrics=trained.figures,
        codebook_health=health.conditions,
        scores=scores,
        curve=str(config.out / "metrics.jsonl"),
        reconstructions=pictures,
    )
    if ranks.leads:
        (config.out / "report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    return report


def model_config(
    config: TrainLamConfig, reader: EpisodeReader, normalizer: Normalizer, begun: LamConfig | None = None
) -> LamConfig:
    """Fit the preset, or the model begun from, to the data: widest vectors, longest stride, room for every dataset."""
    base = (
        LamConfig(**{**begun.model_dump(), **config.model})
        if begun
        else LamConfig.preset(config.preset, **config.model)
    )
    robots = normalizer.stats.values()
    needed = {
        "state_dim": max((s.state.dim for s in robots), default=1) or 1,
        "action_dim": max((s.action.dim for s in robots), default=1) or 1,
        "max_horizon": max(steps_per_latent(e.control_hz, base.interval_s) for e in reader.episodes),
        "num_datasets": max(base.num_datasets, *(e.dataset_id for e in reader.episodes)),
    }
    if begun and begun.use_proprio:  # room that it has and this data does not need costs nothing
        needed = {key: max(value, getattr(begun, key)) for key, value in needed.items()}
    fitted = {"use_proprio": config.proprio, "use_context": config.context, **needed, **config.model}
    return LamConfig(**{**base.model_dump(), **fitted})


def adopt(lam: Lam, begun: Lam) -> list[str]:
    """Copy another model's weights; name the parts that start afresh because it lacks them or has others."""
    theirs, ours = begun.state_dict(), lam.state_dict()
    other = {
        name.partition(".")[0]
        for name, value in ours.items()
        if theirs.get(name, value[..., None]).shape != value.shape
    }
    if other - {"proprio"}:
        raise DataEngineError(
            f"the model to begin from differs in {', '.join(sorted(other - {'proprio'}))}; "
            f"leave out the settings `model.*` that change its architecture"
        )
    lam.load_state_dict(
        {name: value for name, value in theirs.items() if name in ours and name.partition(".")[0] not in other},
        strict=False,
    )
    return sorted(other)
