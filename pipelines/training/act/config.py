"""Settings of `villa train act`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from dataengine.config import Config
from models.act import ActConfig
from models.act.config import HEADS
from models.config import ChangesTo
from pipelines.training import presets
from pipelines.training.act import pretrained
from pipelines.training.config import NormalizeBy, PaddedActions, TrainConfig

Factor = Annotated[float, Field(ge=0, le=1_000)]

MADE_FOR_PRETRAINED = "paper"
"""Preset that is hopeless from random weights, and so is what begins from it."""
RANDOM = "random"
"""What `vlm` is called where its weights are drawn."""


class LrScales(Config):
    """Factors on the learning rate by part of the policy; 0 leaves a part as it is."""

    vlm: Factor = 1.0
    """The vision-language model."""
    experts: Factor = 1.0
    """The latent expert, and of the robot expert what all embodiments share, context tokens among it."""
    heads: Factor = 1.0
    """What every embodiment has of its own: state encoder, action encoder, action decoder."""

    def of(self, name: str) -> float:
        """Give the factor of a weight by its name."""
        if name.startswith("vlm."):
            return self.vlm
        return self.heads if name.startswith(HEADS) else self.experts


class PolicyConfig(TrainConfig):
    """What every training of a policy is told."""

    model_settings = ActConfig
    model_class = "models.act:Act"

    data: str
    """Corpus, or folder of shards; with latent actions, unless `use_latent` is false."""
    model: Annotated[dict[str, Any], ChangesTo(ActConfig)] = Field(default_factory=dict)
    """Fields of the model's own settings to change, such as `model.horizon`."""
    latent: str | None = None
    """Name of the latent actions to learn; may be left out where there are only one model's."""
    lam: Path | None = None
    """Latent action model that computes latent actions from the frames while training, in place of a column of the
    data; it sees the frames from the observation on. Slower, and nothing need be labelled."""
    lr_scales: LrScales = LrScales()
    """How fast parts of the policy learn, against `lr`."""
    padded_actions: PaddedActions = "rest"
    """What a chunk teaches beyond an episode's end: `rest` to stand still (no change, no speed, the same pose and
    gripper); `middle` the same but that changes become 0 after they are normalised, as in the authors' code; `repeat`
    the last action, whatever it was; `skip` nothing."""
    normalize_by: NormalizeBy = "dataset"
    """Whose quantiles become -1 and 1: `dataset`, an embodiment's in each of its datasets, which may differ in
    controller and rate; `embodiment`, an embodiment's in all of them together."""

    when_unsaved: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {**TrainConfig.when_unsaved, "lr_scales": LrScales().model_dump(), "lam": None}
    )

    @model_validator(mode="before")
    @classmethod
    def _knows_padded_actions(cls, given: Any) -> Any:
        if isinstance(given, dict) and "count_padded_actions" in given:
            raise ValueError(
                "count_padded_actions is now padded_actions: repeat (it was true), rest, middle, or skip (false)"
            )
        return given

    @model_validator(mode="after")
    def _has_one_source_of_latents(self) -> "PolicyConfig":
        if self.lam is not None and self.latent is not None:
            raise ValueError(f"latent={self.latent} names a column and lam={self.lam} computes them; give one of both")
        return self


class TrainActConfig(PolicyConfig):
    """What to train on, how large, how long. What is not given comes from the preset."""

    kind = "train_act"

    vlm: str | None = None
    """Where the vision-language model's weights and sizes come from: a folder of a published one, its id on the Hugging
    Face hub, or `random`, which draws them, as presets `tiny` and `small` do where nothing is given."""
    wrist_weights: Path | None = None
    """Weights of the wrist camera's ResNet-18: a safetensors or torchvision file; by default they are drawn."""
    use_latent: bool = True
    """False drops the latent expert: the baseline that plans nothing."""
    scale_latents: bool = True
    """Divide latents by their root mean square, so that noise of size 1 suits them; the authors do not."""
    tokenizer: Path | None = None
    """A tokenizer.json; by default the one of `vlm`, and where that is random a small one, learnt from instructions."""

    when_unsaved: ClassVar[Mapping[str, Any]] = MappingProxyType({**PolicyConfig.when_unsaved, "wrist_weights": None})

    @classmethod
    def base_model(cls, preset: Any, changes: Any, given: Mapping[str, Any]) -> Any:
        """Lay the sizes of pretrained weights over the preset's."""
        vlm = given.get("vlm")
        if not isinstance(vlm, str) or vlm == RANDOM or not isinstance(preset, Mapping):
            return preset
        decided = pretrained.settings(vlm, given.get("out"))
        if isinstance(changes, Mapping):
            pretrained.refuse_changes(vlm, decided, changes)
        return ActConfig.changed(preset, {"vlm": decided})

    @classmethod
    def fitted(cls, changes: Any) -> dict[str, Any]:
        """Every body's vectors, datasets, and the latent actions' shape and size."""
        names = ("num_datasets", "use_latent", "codes_per_latent", "latent_dim", "latent_scale")
        scalars = {name: ActConfig.model_fields[name].default for name in names}
        given = changes if isinstance(changes, Mapping) else {}
        # One row for each body in both, so one stands in for the other.
        dims = {"state_dims": given.get("action_dims", (1,)), "action_dims": given.get("state_dims", (1,))}
        return scalars | dims

    @model_validator(mode="after")
    def _has_weights(self) -> "TrainActConfig":
        if self.vlm is None and MADE_FOR_PRETRAINED in presets.lineage(self.kind, self.preset):
            raise ValueError(
                f"preset {self.preset} needs pretrained weights: --set vlm=DIR, or an id on the hub such as "
                f"google/paligemma-3b-pt-224; three billion random ones, the words' frozen, learn next to nothing: "
                f"take --preset small, or insist with --set vlm=random"
            )
        return self
