"""`villa finetune`: a trained policy goes on with another robot's data, or more of one that it knows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import Field

from dataengine.errors import DataEngineError
from dataengine.framing import stated_framings
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import EpisodeReader, LatentInfo
from models import weights
from models.act import Act, ActConfig
from models.config import merged
from models.fingerprint import fingerprint
from pipelines.training import data
from pipelines.training.act.online import OnlineLatents
from pipelines.training.act.policy_task import PolicyReport, PolicyTask
from pipelines.training.act.saved import SavedPolicy
from pipelines.training.distributed import Distributed
from pipelines.training.finetune import numbering
from pipelines.training.finetune.config import FinetuneConfig
from pipelines.training.finetune.numbering import Numbering
from pipelines.training.finetune.statistics import joined
from pipelines.training.finetune.warm_start import WarmStart, check_shapes, load_matching
from pipelines.training.fit import fit
from pipelines.training.task import TrainingData


class FinetuneReport(PolicyReport):
    """A fine-tuned policy, and what it began from."""

    mode: str
    trained: int = 0
    """Parameters that were trained, of all; adapters are among them."""
    warm_start: WarmStart = Field(default_factory=lambda: WarmStart(checkpoint=""))

    def results(self) -> Iterable[str]:
        """Print what it began from, then how it imitates."""
        return [f"mode {self.mode}: {self.trained:,} parameters trained", self.warm_start.summary(), *super().results()]


def run(config: FinetuneConfig) -> FinetuneReport:
    """Fine-tune, or continue to, then evaluate the policy on held-out episodes and write its weights into `out`."""
    return fit(FinetuneTask, config)


class FinetuneTask(PolicyTask[FinetuneConfig, FinetuneReport]):
    """A policy whose heads, tables, statistics and tokenizer are a checkpoint's, extended by what the data adds."""

    name = "finetune"

    def __init__(self, config: FinetuneConfig, training_data: TrainingData, distributed: Distributed) -> None:
        self.saved = SavedPolicy.read(config.checkpoint)
        mine = numbering.pick(training_data, config.embodiments)
        self.numbering = Numbering.extending(self.saved, mine)
        super().__init__(config, self.numbering.apply(training_data, config.embodiments), distributed)
        robots = sorted({e.embodiment for e in mine if e.kind == "robot"})
        measured = data.normalizer(training_data.reader, config.normalize_by).stats
        statistics, self.origins = joined(self.saved.statistics, measured, robots, config.statistics)
        self.normalizer = Normalizer(statistics)
        if config.lam is not None and self.saved.model.config.use_latent:
            self.online = OnlineLatents.read(config.lam, self.data.reader, distributed.device, config.cache_mb)
        self.latent = _latent(config, training_data.reader, self.saved, self.online)
        self.shape = _shape(config, self.saved.model.config, self.numbering, self.normalizer)
        self.tokenizer = self.saved.tokenizer
        self.spec = self._window_spec()
        self.began = WarmStart(
            checkpoint=str(config.checkpoint),
            new_embodiments=list(self.numbering.new_embodiments),
            new_datasets=list(self.numbering.new_datasets),
            statistics=self.origins,
        )
        self.num_trained = 0
        self.weights = self.saved.model.merged().state_dict()
        check_shapes(self.shape, self.weights, str(config.checkpoint))

    def check(self) -> Iterator[str]:
        """Say also what of the instructions is lost: the tokenizer of a small policy takes new words to pieces."""
        yield from super().check()
        length = self.shape.vlm.text_length
        said = self.data.train.phrases()
        longest = max(map(self.tokenizer.num_tokens, said), default=0)
        if longest > length:
            yield (
                f"instructions have up to {longest} tokens of the checkpoint's tokenizer, the model reads {length}: "
                f"what is longer loses its end; --set model.vlm.text_length={longest} reads it whole"
            )

    def build(self) -> Act:
        """Take the checkpoint's weights; say what was loaded, extended and newly initialised."""
        model = self.make()
        anew = {self.numbering.embodiments[name] for name in self.origins} if self.config.new_heads else set()
        parts = load_matching(model, self.weights, anew)
        self.began = self.began.model_copy(update={"parts": parts})
        self.num_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.distributed.print0(self.began.summary())
        return model

    def identity(self) -> dict[str, Any]:
        """Add the weights that it began from."""
        return {**super().identity(), "checkpoint": fingerprint(self.saved.path)}

    def extra(self) -> dict[str, Any]:
        """Keep what the checkpoint said of its robots and datasets beside what the data add."""
        mine, before = super().extra(), self.saved.about
        framings = stated_framings(before, self.saved.path / weights.CONFIG_NAME)
        known = {name: asdict(framing) for name, framing in framings.items()}
        return {
            **mine,
            "data": {**mine["data"], "framings": {**known, **mine["data"].get("framings", {})}},
            "bodies": _joined_bodies(self.saved.bodies, mine["bodies"]),
            "warm_start": self.began.model_dump(mode="json"),
        }

    def report(self, facts: Mapping[str, Any]) -> FinetuneReport:
        """Add what was trained, and what it began from."""
        return FinetuneReport(
            mode=self.config.mode,
            trained=self.num_trained,
            warm_start=self.began,
            **self.facts_of_policy(),
            **facts,
        )


def _latent(
    config: FinetuneConfig, reader: EpisodeReader, saved: SavedPolicy, online: OnlineLatents | None
) -> LatentInfo | None:
    """Find the latent actions that the policy plans; refuse those of another model, which mean something else."""
    if not saved.model.config.use_latent:
        return None
    given = saved.about.get("latent")
    planned = given if isinstance(given, dict) else {}
    wanted = planned.get("fingerprint")
    models = [online.info] if online is not None else [reader.latent_info(name) for name in reader.latents]
    fitting = [one for one in models if one.fingerprint == wanted and config.latent in (None, one.name)]
    alike = [one for one in fitting if one.past_frames == planned.get("past_frames", True)]
    fitting = alike if len(alike) == 1 else fitting  # labels with and without the past lie side by side
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"'{one.name}' of {one.fingerprint}" for one in models) or "none"
    if config.latent is not None and config.latent not in (one.name for one in models):
        raise DataEngineError(f"{reader.uri}: no latent actions '{config.latent}', found {there}")
    if fitting:
        raise DataEngineError(
            f"{reader.uri}: found latent actions {there}, expected one; say which with --set latent=NAME"
        )
    raise DataEngineError(
        f"{reader.uri}: the policy plans latent actions of model {wanted or 'unknown'}, found {there}; label with the "
        f"model that labelled its training data, `villa label {reader.uri} --lam DIR --name NAME`, or give that as "
        f"lam=DIR"
    )


def _shape(config: FinetuneConfig, before: ActConfig, rows: Numbering, normalizer: Normalizer) -> ActConfig:
    """Extend the checkpoint's model by rows for new robots and datasets, then change what the settings say."""
    dims = {
        f"{column}_dims": [
            *getattr(before, f"{column}_dims"),
            *(max(normalizer.dim(name, column), 1) for name in rows.new_embodiments),
        ]
        for column in ("state", "action")
    }
    extended = {**dims, "num_datasets": before.num_datasets + len(rows.new_datasets)}
    base = merged(before.model_dump(), extended)
    return ActConfig.model_validate(ActConfig.changed(base, config.changes()))


def _joined_bodies(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Keep every robot and dataset that the policy knew; it acts as in what it learnt last, unless told otherwise."""
    joined = dict(before)
    for name, body in now.items():
        datasets = {**joined.get(name, {}).get("datasets", {}), **body["datasets"]}
        joined[name] = {**body, "datasets": datasets}
    return joined
