"""`villa train act`: from episodes, mostly labelled ones, to a policy that plans latent actions and moves a robot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dataengine.errors import DataEngineError
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import EpisodeReader, LatentInfo
from models.act import Act, ActConfig
from models.config import merged
from pipelines.training import data
from pipelines.training.act import beginning
from pipelines.training.act.beginning import Beginning
from pipelines.training.act.config import TrainActConfig
from pipelines.training.act.online import OnlineLatents
from pipelines.training.act.policy_task import PolicyReport, PolicyTask
from pipelines.training.distributed import Distributed
from pipelines.training.fit import fit
from pipelines.training.task import TrainingData
from pipelines.training.tokenizer import Tokenizer


class TrainActReport(PolicyReport):
    """A policy that was trained from scratch."""


def run(config: TrainActConfig) -> TrainActReport:
    """Train, or continue to train, then evaluate the policy on held-out episodes and write its weights into `out`."""
    return fit(ActTask, config)


class ActTask(PolicyTask[TrainActConfig, TrainActReport]):
    """A policy from scratch: its heads, tables and tokenizer are those of its data."""

    name = "act"

    def __init__(self, config: TrainActConfig, training_data: TrainingData, distributed: Distributed) -> None:
        super().__init__(config, training_data, distributed)
        reader = training_data.reader
        self.normalizer = data.normalizer(reader, config.normalize_by)
        use_latent = bool(config.model.get("use_latent", config.use_latent))
        if use_latent and config.lam is not None:
            self.online = OnlineLatents.read(config.lam, reader, distributed.device, config.cache_mb)
            self.latent, size = self.online.info, self.online.rms
        else:
            self.latent = data.pick_latent(reader, config.latent) if use_latent else None
            size = data.latent_rms(reader, self.latent.name, training_data.train) if self.latent else 1.0
        self.shape = model_config(config, reader, self.normalizer, self.latent, size)
        self.begins = beginning.begin(config, self.shape)
        self.tokenizer = _tokenizer(config, self.shape, training_data.train, self.begins)
        self.spec = self._window_spec()

    def check(self) -> Iterator[str]:
        """Say also what differs from the preset by what was loaded."""
        yield from super().check()
        yield from self.begins.describe(self.config, self.shape)

    def build(self) -> Act:
        """Draw the weights, then fill in those that were given; a run that goes on has its own."""
        model = self.make()
        self.begins.load(model)
        return model

    def extra(self) -> dict[str, Any]:
        """Keep what pretrained weights decided: a run that goes on does not look at them again."""
        return {**super().extra(), **self.begins.recorded()}

    def report(self, facts: Mapping[str, Any]) -> TrainActReport:
        """Add which latent actions it plans, and which cameras it reads."""
        return TrainActReport(**self.facts_of_policy(), **facts)


def model_config(
    config: TrainActConfig,
    reader: EpisodeReader,
    normalizer: Normalizer,
    latent: LatentInfo | None,
    latent_rms: float,
) -> ActConfig:
    """Fit the preset to the data: a head for every body, the latent actions' shape and size."""
    num_bodies = 1 + max(s.embodiment_id for s in reader.episodes.setups)
    # Row 0 is for bodies that nobody knows, and human hands have no vectors: every head has one dimension at least.
    state_dims, action_dims = [1] * num_bodies, [1] * num_bodies
    for s in reader.episodes.setups:
        if s.embodiment in normalizer.stats:
            state_dims[s.embodiment_id] = max(normalizer.dim(s.embodiment, "state"), 1)
            action_dims[s.embodiment_id] = max(normalizer.dim(s.embodiment, "action"), 1)
    state_dims[0], action_dims[0] = max(state_dims), max(action_dims)
    fitted: dict[str, Any] = {
        "state_dims": state_dims,
        "action_dims": action_dims,
        "num_datasets": 1 + max(s.dataset_id for s in reader.episodes.setups),
        "use_latent": latent is not None,
    }
    if latent is not None:
        shape = {"codes_per_latent": latent.k, "latent_dim": latent.d}
        data.check_latent_shape(config.model, shape, latent)
        fitted |= shape
        if config.scale_latents:
            fitted["latent_scale"] = round(latent_rms, 6)
    return ActConfig.model_validate(merged(merged(config.preset_model(), fitted), config.model))


def _tokenizer(config: TrainActConfig, shape: ActConfig, train: Sequence[EpisodeInfo], begins: Beginning) -> Tokenizer:
    """Take the tokenizer that was given, or that of the pretrained weights, or learn one; the run keeps it."""
    prompt, path = shape.vlm.prompt, config.tokenizer or begins.tokenizer
    if path is None:
        said = sorted(EpisodeTable.of(train).phrases())
        return Tokenizer.train(said, shape.vlm.vocab_size, prompt)
    given = Tokenizer.read(path, prompt)
    if given.vocab_size > shape.vlm.vocab_size:
        raise DataEngineError(
            f"{path} has {given.vocab_size} tokens, the model has room for {shape.vlm.vocab_size}; "
            f"give a smaller one, or a larger model.vlm.vocab_size"
        )
    begins.check_tokenizer(path, given)
    return given
