"""`villa train act`: from episodes, mostly labelled ones, to a policy that plans latent actions and moves a robot."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field

from dataengine import texts
from dataengine.errors import DataEngineError
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import EpisodeInfo, EpisodeReader, LatentInfo, WindowSpec, steps_per_latent
from models.act import Act, ActConfig
from models.config import merged
from pipelines.text_table import text_table
from pipelines.training import data, tokenizer
from pipelines.training.act import cameras
from pipelines.training.act.config import TrainActConfig
from pipelines.training.act.scores import ActScores, evaluate
from pipelines.training.collators import ActCollator
from pipelines.training.distributed import Distributed
from pipelines.training.fit import fit
from pipelines.training.frames import Buffers, Frames
from pipelines.training.task import TrainingData, TrainReport, TrainTask
from pipelines.training.tokenizer import Tokenizer

LEAST_SILENT = 0.01
"""Share of steps without an instruction that is told."""
PLAIN_INTERVAL_S = 0.7
"""What `steps_per_latent` tells a policy that has no latent actions to space."""


class TrainActReport(TrainReport):
    """A policy, and how well it imitates episodes that it never saw."""

    use_latent: bool
    latent: str
    cameras: list[str] = Field(default_factory=list)
    """Slots that it reads, of those that the data has."""
    cameras_left_out: list[str] = Field(default_factory=list)
    """Slots of the data that it does not read."""
    scores: ActScores = ActScores()

    def results(self) -> Iterable[str]:
        """Print a row per embodiment, and the losses."""
        rows = [
            [s.embodiment, s.windows, f"{s.action_error:.4f}", f"{s.held_error:.4f}"] for s in self.scores.embodiments
        ]
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.scores.losses.items())
        head = [self.eval_split, "windows", "action error", "if the mean is always done"]
        return [text_table(head, rows), f"losses on {self.eval_split}: {losses}"]


def run(config: TrainActConfig) -> TrainActReport:
    """Train, or continue to train, then evaluate the policy on held-out episodes and write its weights into `out`."""
    return fit(ActTask, config)


class ActTask(TrainTask[TrainActConfig, Act, ActCollator, TrainActReport]):
    """A picture, a state and an instruction; the latent actions and the chunk of actions that follow."""

    name = "act"
    products = (tokenizer.FILE_NAME,)

    def __init__(self, config: TrainActConfig, found: TrainingData, distributed: Distributed) -> None:
        super().__init__(config, found, distributed)
        reader = found.reader
        self.normalizer = data.normalizer(reader, config.normalize_by)
        self.use_latent = bool(config.model.get("use_latent", config.use_latent))
        self.latent = data.pick_latent(reader, config.latent) if self.use_latent else None
        self.shape = model_config(config, reader, self.normalizer, self.latent, found.train)
        self.tokenizer = _tokenizer(config, self.shape, found.train)
        self.spec = WindowSpec(
            interval_s=self.latent.interval_s if self.latent else PLAIN_INTERVAL_S,
            optional_slots=("wrist",) if self.shape.wrist else (),
            horizon=self.shape.horizon,
            latent=self.latent.name if self.latent else "",
            num_latents=self.shape.num_latents if self.latent else 0,
        )

    def check(self) -> Iterator[str]:
        """Say which cameras are read, and what may go wrong with this data and these settings."""
        yield cameras.describe(self.spec, self.data.train)
        yield from find_warnings(self.config, self.data.reader, self.normalizer, self.latent, self.data.train)

    def collator(self, buffers: Buffers) -> ActCollator:
        """Make what turns windows into observations, plans and chunks."""
        c, shape = self.config, self.shape
        frames = Frames(
            self.data.reader,
            (*self.spec.slots, *self.spec.optional_slots),
            shape.vlm.vision.image_size,
            cache_mb=c.cache_mb,
            num_threads=c.threads,
        )
        return ActCollator(
            frames=frames,
            buffers=buffers,
            normalizer=self.normalizer,
            tokenizer=self.tokenizer,
            text_length=shape.vlm.text_length,
            state_dim=max(shape.state_dims),
            action_dim=max(shape.action_dims),
            horizon=shape.horizon,
            latent_shape=(shape.num_latents if self.latent else 0, shape.codes_per_latent, shape.latent_dim),
            use_wrist=shape.wrist is not None,
            padded_actions=c.padded_actions,
        )

    def make(self) -> Act:
        """Draw the weights."""
        return Act(self.shape)

    def lr_scale(self, name: str) -> float:
        """Give each part its own learning rate."""
        return self.config.lr_scales.of(name)

    def identity(self) -> dict[str, Any]:
        """Add the latent actions: those of another model would mean something else."""
        fingerprint = self.latent.fingerprint if self.latent else ""
        return {
            "data": self.data.reader.identity.fingerprint,
            "latent actions": fingerprint,
            **self.config.fixed_on_resume(),
        }

    def extra(self) -> dict[str, Any]:
        """Add what a policy needs to act: statistics, embodiments, the latent actions that it plans."""
        return {
            **data.origin(self.data.reader, self.normalizer.stats),
            "training": self.config.recorded(),
            "bodies": bodies(self.data.train, self.spec),
            "latent": self.latent and asdict(self.latent),
        }

    def files(self) -> dict[str, str]:
        """Keep the tokenizer with the weights."""
        return {tokenizer.FILE_NAME: self.tokenizer.text}

    def evaluate(self, model: Act, collator: ActCollator, shares: Mapping[str, float]) -> dict[str, Any]:
        """Compare losses and sampled actions with episodes that it never saw."""
        found, most = self.data, self.config.val_windows
        return {"scores": evaluate(model, found.reader, collator, self.spec, found.eval_episodes, most)}

    def report(self, facts: Mapping[str, Any]) -> TrainActReport:
        """Add which latent actions it plans, and which cameras it reads."""
        latent = self.latent.name if self.latent else ""
        read, left_out = cameras.read_and_left_out(self.spec, self.data.train)
        return TrainActReport(
            use_latent=self.use_latent, latent=latent, cameras=read, cameras_left_out=left_out, **facts
        )


def model_config(
    config: TrainActConfig,
    reader: EpisodeReader,
    normalizer: Normalizer,
    latent: LatentInfo | None,
    train: Sequence[EpisodeInfo],
) -> ActConfig:
    """Fit the preset to the data: a head for every body, the latent actions' shape and size."""
    num_bodies = 1 + max(e.embodiment_id for e in reader.episodes)
    # Row 0 is for bodies that nobody knows, and human hands have no vectors: every head has one dimension at least.
    state_dims, action_dims = [1] * num_bodies, [1] * num_bodies
    for e in reader.episodes:
        if e.embodiment in normalizer.stats:
            state_dims[e.embodiment_id] = max(normalizer.dim(e.embodiment, "state"), 1)
            action_dims[e.embodiment_id] = max(normalizer.dim(e.embodiment, "action"), 1)
    state_dims[0], action_dims[0] = max(state_dims), max(action_dims)
    fitted: dict[str, Any] = {
        "state_dims": state_dims,
        "action_dims": action_dims,
        "num_datasets": 1 + max(e.dataset_id for e in reader.episodes),
        "use_latent": latent is not None,
    }
    if latent is not None:
        shape = {"codes_per_latent": latent.k, "latent_dim": latent.d}
        data.check_latent_shape(config.model, shape, latent)
        fitted |= shape
        if config.scale_latents:
            fitted["latent_scale"] = round(data.latent_rms(reader, latent.name, train), 6)
    return ActConfig.model_validate(merged(merged(config.preset_model(), fitted), config.model))


def find_warnings(
    config: TrainActConfig,
    reader: EpisodeReader,
    normalizer: Normalizer,
    latent: LatentInfo | None,
    train: Sequence[EpisodeInfo],
) -> Iterator[str]:
    """Say what may go wrong with this data and these settings."""
    if silent := _silent(train):
        yield (
            f"steps without an instruction: {', '.join(silent)}; windows there train without words. Stage "
            f"drop_no_instruction of `villa curate` drops episodes that have none at all"
        )
    if config.padded_actions in ("rest", "middle"):
        robots = sorted({(e.embodiment, e.dataset) for e in train if e.kind == "robot"})
        unsaid = [
            f"{body} in {dataset}" for body, dataset in robots if normalizer.of(body, dataset).action.moves is None
        ]
        if unsaid:
            yield (
                f"which action numbers are changes is not known of {', '.join(unsaid)}: steps beyond an episode's end "
                f"teach nothing there; `villa stats` or `villa shard` again may tell"
            )
    if latent is not None and not config.scale_latents:
        size = data.latent_rms(reader, latent.name, train)
        if not 0.5 <= size <= 2.0:
            yield (
                f"latent actions '{latent.name}' have a root mean square of {size:.3g}, the noise that they are mixed "
                f"with has 1: most of the learning goes to waste; scale_latents=true divides by it"
            )


def _silent(train: Sequence[EpisodeInfo]) -> list[str]:
    """Name the datasets of which nothing is said at a share of the steps, with it."""
    steps, silent = Counter[str](), Counter[str]()
    for e in train:
        steps[e.dataset] += e.num_steps
        silent[e.dataset] += texts.num_silent(e.texts, e.num_steps)
    return [
        f"{dataset} {silent[dataset] / num_steps:.0%}"
        for dataset, num_steps in sorted(steps.items())
        if silent[dataset] >= LEAST_SILENT * num_steps
    ]


def bodies(train: Sequence[EpisodeInfo], spec: WindowSpec) -> dict[str, dict[str, Any]]:
    """Describe each robot by name, as a policy must know it: ids, rate and spacing in each of its datasets.

    `dataset` names the one that it is in most, and the same facts stand beside it.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({e.embodiment for e in train if e.kind == "robot"}):
        mine = [e for e in train if e.embodiment == name]
        datasets: dict[str, dict[str, Any]] = {}
        for dataset in sorted({e.dataset for e in mine}):
            there = [e for e in mine if e.dataset == dataset]
            rates = Counter[float]()
            for e in there:
                rates[e.control_hz] += e.num_steps
            hz = max(rates, key=lambda hz: (rates[hz], -hz))
            datasets[dataset] = {
                "dataset_id": there[0].dataset_id,
                "control_hz": hz,
                "steps_per_latent": steps_per_latent(hz, spec.interval_s),
                "steps": sum(rates.values()),
            }
        most = max(datasets, key=lambda dataset: (datasets[dataset]["steps"], -datasets[dataset]["dataset_id"]))
        facts = {"embodiment_id": mine[0].embodiment_id, "dataset": most, **datasets[most]}
        found[name] = {**facts, "datasets": datasets}
    return found


def _tokenizer(config: TrainActConfig, shape: ActConfig, train: Sequence[EpisodeInfo]) -> Tokenizer:
    """Take the tokenizer that was given, or learn one; the run keeps it."""
    if config.tokenizer is None:
        said = sorted({words for e in train for words in e.instruction})
        return Tokenizer.train(said, shape.vlm.vocab_size)
    given = Tokenizer.read(config.tokenizer)
    if given.vocab_size > shape.vlm.vocab_size:
        raise DataEngineError(
            f"{config.tokenizer} has {given.vocab_size} tokens, the model has room for {shape.vlm.vocab_size}; "
            f"give a smaller one, or a larger model.vlm.vocab_size"
        )
    return given
