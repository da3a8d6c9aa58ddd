"""Settings of `villa train act`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from models.act import ActConfig
from models.config import ChangesTo
from pipelines.training.config import NormalizeBy, PaddedActions, TrainConfig


class TrainActConfig(TrainConfig):
    """What to train on, how large, how long. What is not given comes from the preset."""

    kind = "train_act"
    model_settings = ActConfig
    model_class = "models.act:Act"

    data: str
    """Corpus, or folder of shards; with latent actions, unless `use_latent` is false."""
    model: Annotated[dict[str, Any], ChangesTo(ActConfig)] = Field(default_factory=dict)
    """Fields of the model's own settings to change, such as `model.horizon`."""
    vlm: Literal["random"] | None = None
    """Where the vision-language model's weights come from: `random` draws them, as `tiny` and `small` do anyhow.
    `paper` is made for pretrained ones, which cannot be loaded yet, so it must be given."""
    use_latent: bool = True
    """False drops the latent expert: the baseline that plans nothing."""
    latent: str | None = None
    """Name of the latent actions to learn; may be left out where there are only one model's."""
    scale_latents: bool = True
    """Divide latents by their root mean square, so that noise of size 1 suits them; the authors do not."""
    tokenizer: Path | None = None
    """A tokenizer.json; without it a small one is learnt from the instructions."""
    padded_actions: PaddedActions = "rest"
    """What a chunk teaches beyond an episode's end: `rest` to stand still (no change, no speed, the same pose and
    gripper), as the authors do; `repeat` the last action, whatever it was; `skip` nothing."""
    normalize_by: NormalizeBy = "dataset"
    """Whose quantiles become -1 and 1: `dataset`, an embodiment's in each of its datasets, which may differ in
    controller and rate; `embodiment`, an embodiment's in all of them together."""

    @model_validator(mode="before")
    @classmethod
    def _knows_padded_actions(cls, given: Any) -> Any:
        if isinstance(given, dict) and "count_padded_actions" in given:
            raise ValueError("count_padded_actions is now padded_actions: repeat (it was true), rest, or skip (false)")
        return given

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
        if self.preset == "paper" and self.vlm is None:
            raise ValueError(
                "preset paper needs the weights of PaliGemma, which cannot be loaded yet: three billion random ones, "
                "the words' frozen, learn next to nothing; take --preset small, or insist with --set vlm=random"
            )
        return self
