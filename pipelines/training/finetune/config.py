"""Settings of `villa finetune`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from models.config import merged
from models.lora_config import LoraConfig
from pipelines.training import presets
from pipelines.training.act.config import PolicyConfig

Mode = Literal["full", "frozen_vision", "frozen_vlm", "lora"]
_FREEZES: Mapping[Mode, Mapping[str, Any]] = MappingProxyType(
    {
        "full": {},
        "frozen_vision": {"freeze_vision": True},
        "frozen_vlm": {"freeze_vlm": True},
        "lora": {},
    }
)


class FinetuneConfig(PolicyConfig):
    """Which policy to begin from, on which robot's data, and what of it may move. The model is the checkpoint's."""

    kind = "finetune"
    has_own_model = False

    checkpoint: Path
    """Folder of a trained policy, or of one of its checkpoints."""
    embodiments: Annotated[tuple[str, ...], Field(min_length=1)]
    """Robots of the data to train on; one that the policy does not know gets heads and tables of its own. `human_hand`
    beside a robot trains the latent expert on people's clips, too."""
    mode: Mode = "full"
    """What is trained: all; all but the vision tower; all but the vision-language model; or adapters (`lora`) and what
    is each embodiment's own. Whatever the checkpoint's training froze counts for nothing, but its token embeddings."""
    lora: LoraConfig = LoraConfig()
    """Adapters of mode `lora`; they are merged into plain weights at the end."""
    statistics: Literal["reuse", "recompute"] = "reuse"
    """Which quantiles scale a robot that the policy knows: the checkpoint's, so that its heads go on meaning what they
    meant, or the data's. One that it does not know is always measured on the data."""
    new_heads: bool = False
    """Initialise heads anew also for robots that the policy knows, as the paper does for its real robots."""

    @classmethod
    def takes_model_from_elsewhere(cls, given: Mapping[str, Any]) -> bool:
        """Take the checkpoint's model."""
        return True

    @classmethod
    def own_model_defaults(cls, name: str) -> dict[str, Any]:
        """Give the changes of a preset to the checkpoint's model."""
        return presets.load(cls.kind, name).get("model", {})

    @model_validator(mode="after")
    def _says_once_what_moves(self) -> "FinetuneConfig":
        if "lora" in self.model:
            raise ValueError("model.lora is set by mode=lora; give its settings as lora.rank, lora.alpha, lora.targets")
        return self

    def recorded(self) -> dict[str, Any]:
        """Leave out where the checkpoint lies: what its weights are is remembered beside the settings."""
        return {key: value for key, value in super().recorded().items() if key != "checkpoint"}

    def changes(self) -> dict[str, Any]:
        """Give the changes to the checkpoint's model."""
        thawed = {"freeze_vision": False, "freeze_vlm": False, "freeze_last_values": False}
        adapters = {"lora": self.lora.model_dump() if self.mode == "lora" else None}
        return merged({**thawed, **_FREEZES[self.mode], **adapters}, self.model)
