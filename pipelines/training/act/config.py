"""Settings of `villa train act`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dataengine.config import Config
from models.act import ActConfig
from models.act.config import HEADS
from models.config import ChangesTo
from pipelines.training.config import NormalizeBy, PaddedActions, TrainConfig

Factor = Annotated[float, Field(ge=0, le=1_000)]


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
        {**TrainConfig.when_unsaved, "lr_scales": LrScales().model_dump()}
    )

    @model_validator(mode="before")
    @classmethod
    def _knows_padded_actions(cls, given: Any) -> Any:
        if isinstance(given, dict) and "count_padded_actions" in given:
            raise ValueError(
                "count_padded_actions is now padded_actions: repeat (it was true), rest, middle, or skip (false)"
            )
        return given


class TrainActConfig(PolicyConfig):
    """What to train on, how large, how long. What is not given comes from the preset."""

    kind = "train_act"

    vlm: Literal["random"] | None = None
    """Where the vision-language model's weights come from: `random` draws them, as `tiny` and `small` do anyhow.
    `paper` is made for pretrained ones, which cannot be loaded yet, so it must be given."""
    use_latent: bool = True
    """False drops the latent expert: the baseline that plans nothing."""
    scale_latents: bool = True
    """Divide latents by their root mean square, so that noise of size 1 suits them; the authors do not."""
    tokenizer: Path | None = None
    """A tokenizer.json; without it a small one is learnt from the instructions."""

    @classmethod
    def fitted(cls, changes: Any) -> dict[str, Any]:
        """Every body's vectors, datasets, and the latent actions' shape and size."""
        names = ("num_datasets", "use_latent", "codes_per_latent", "latent_dim", "latent_scale")
        found = {name: ActConfig.model_fields[name].default for name in names}
        given = changes if isinstance(changes, Mapping) else {}
        # One row for each body in both, so one stands in for the other.
        dims = {"state_dims": given.get("action_dims", (1,)), "action_dims": given.get("state_dims", (1,))}
        return found | dims

    @model_validator(mode="after")
    def _has_weights(self) -> "TrainActConfig":
        if self.preset in ("paper", "authors") and self.vlm is None:
            raise ValueError(
                f"preset {self.preset} needs the weights of PaliGemma, which cannot be loaded yet: three billion "
                f"random ones, the words' frozen, learn next to nothing; take --preset small, or insist with "
                "--set vlm=random"
            )
        return self
