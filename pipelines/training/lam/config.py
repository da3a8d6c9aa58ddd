"""Settings of `villa train lam`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from models.config import ChangesTo
from models.lam import LamConfig
from pipelines.training.config import NormalizeBy, TrainConfig
from pipelines.training.settings import FORMER_NAMES


class TrainLamConfig(TrainConfig):
    """What to train on, how large, how long. What is not given comes from the preset."""

    renamed = MappingProxyType({**FORMER_NAMES, "init": "init_from"})
    kind = "train_lam"
    model_settings = LamConfig
    model_class = "models.lam:Lam"

    model: Annotated[dict[str, Any], ChangesTo(LamConfig)] = Field(default_factory=dict)
    """Fields of the model's own settings to change, such as `model.resolution`."""
    init_from: Path | None = None
    """Model to initialise from, ours or a released one: its architecture and weights. What it lacks is newly
    initialised."""
    freeze: Literal["latents"] | None = None
    """`latents`: train the proprio forward model alone; latent actions stay exactly those of `init_from`."""
    proprio: bool = True
    """Ground the latents in states and actions of robots, not in pixels alone."""
    context: bool = True
    """Tell the proprio forward model which embodiment moves."""
    use_hands: bool = False
    """Let the proprio forward model feel the hands of people, too, where their wrists are known in metres (EgoDex,
    HoloAssist, HOI4D, HO-Cap): wrists before the camera, how they move, and the opening of thumb and index finger
    where there are points."""
    normalize_by: NormalizeBy = "dataset"
    """Whose quantiles become -1 and 1: `dataset`, an embodiment's in each of its datasets, which may differ in
    controller and rate; `embodiment`, an embodiment's in all of them together."""

    when_unsaved: ClassVar[Mapping[str, Any]] = MappingProxyType({**TrainConfig.when_unsaved, "use_hands": False})

    @classmethod
    def fitted(cls, changes: Any) -> dict[str, Any]:
        """Vectors, strides and datasets; `proprio` and `context` have settings of their own."""
        names = ("state_dim", "action_dim", "max_horizon", "num_datasets", "use_proprio", "use_context")
        return {name: LamConfig.model_fields[name].default for name in names}

    @classmethod
    def takes_model_from_elsewhere(cls, given: Mapping[str, Any]) -> bool:
        """Take the architecture of `init_from`, where there is one."""
        return given.get("init_from") is not None

    @property
    def reads_hands(self) -> bool:
        """Take hands of people for states and actions."""
        return self.use_hands

    @model_validator(mode="after")
    def _hands_ground_something(self) -> "TrainLamConfig":
        if self.use_hands and not self.proprio:
            raise ValueError("use_hands needs proprio=true: hands ground latents by way of the proprio forward model")
        return self

    @model_validator(mode="after")
    def _something_to_train(self) -> "TrainLamConfig":
        if self.freeze and (self.init_from is None or not self.proprio):
            raise ValueError(
                "freeze=latents needs init_from=DIR, whose latents to keep, and proprio=true, for what to train"
            )
        return self
