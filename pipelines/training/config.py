"""What every training is told: the loop's settings, the data, and which model, as a preset and changes to it."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dataengine.config import MOST, MOST_WORKERS
from dataengine.errors import DataEngineError
from dataengine.windows.mixture import Mixture
from models.config import Config as ModelConfig
from models.config import merged
from pipelines.recipes.mixture import NamedMixture
from pipelines.training import presets
from pipelines.training.settings import LoopConfig

PaddedActions = Literal["repeat", "rest", "middle", "skip"]
"""What a chunk holds beyond an episode's end: the last action again; standing still (no change, no speed, the same
pose and gripper); the same, with the middle of the common changes in place of no change; nothing that counts."""

NormalizeBy = Literal["dataset", "embodiment"]


class TrainConfig(LoopConfig):
    """What to train on, how large, how long. What is not given comes from the preset."""

    kind: ClassVar[str] = "train_custom"
    """Of its presets, which are `<kind>_<name>.yaml`; a model may have none."""
    model_settings: ClassVar[type[ModelConfig]]
    """Class of the model's settings."""
    has_own_model: ClassVar[bool] = True
    """False where presets say nothing of a model's shape, which comes from elsewhere."""
    model_class: ClassVar[str]
    """`module:Class` of the model, whose import takes a second."""

    data: str
    """Corpus, or folder of shards."""
    out: Path
    """Folder of the run: checkpoints, metrics, the final weights, the report."""
    preset: str = "tiny"
    """Size, learning rate and length: the name of a preset, or a YAML file of settings."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Fields of the model's own settings to change."""
    mixture: NamedMixture = Mixture()
    """Keys below, or a name: `villa-x`, `villa-x-ablation`, a YAML file; key `recipe` names one to change."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the episodes kept away from training, by a hash of their ids; beside those that publishers hold out."""
    val_windows: int = Field(256, ge=1, le=MOST)
    """Most held-out windows of each embodiment that the trained model is evaluated on."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""
    threads: int = Field(1, ge=1, le=MOST_WORKERS)
    """Threads that decode pictures."""
    cache_mb: float = Field(2000, ge=0, le=1e9)
    """Memory for decoded pictures: with room for all of them each is decoded once."""
    copies_gb: float = Field(500, gt=0, le=1e9)
    """Room on this machine's disk for copies of shards, or of a corpus that fits, from an object store; the longest
    unused go."""
    launcher: Literal["local", "ray"] = "local"
    """Who starts the processes: `local`, this one or torchrun; `ray`, Ray Train on a cluster."""
    ray_address: str | None = None
    """Ray cluster to join; by default that of RAY_ADDRESS, or a new one in this machine."""
    ray_workers: int | None = Field(None, ge=1, le=MOST_WORKERS)
    """Workers of `launcher=ray`; by default one for each GPU of the cluster."""
    ray_resources: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(default_factory=dict)
    """What each takes of the cluster, such as `{GPU: 1, CPU: 8}`; by default a GPU where there are some, and a core."""
    ray_max_failures: int = Field(3, ge=0, le=MOST)
    """Lost workers, after which `launcher=ray` starts all of them again from the last checkpoint."""

    when_unsaved: ClassVar[Mapping[str, Any]] = MappingProxyType({"optimizer": "adamw"})

    @property
    def reads_hands(self) -> bool:
        """Tell whether states and actions of people are read, where the data tells of their hands."""
        return False

    @model_validator(mode="before")
    @classmethod
    def _lay_over_preset(cls, given: Any) -> Any:
        """Lay what was given over its preset; what is no preset is left for the settings to refuse."""
        given = cls.named_as_today(given)
        if not isinstance(given, dict) or not isinstance(preset := given.get("preset", "tiny"), str):
            return given
        if not given.get("preset") and not presets.names(cls.kind):
            return {**given, "preset": ""}
        base = presets.load(cls.kind, preset, cls._preset_as_today)
        changes = cls.model_settings.named_as_today(given.get("model", {}))
        base_model = cls.base_model(base.pop("model", {}), changes, {**base, **given})
        if not cls.takes_model_from_elsewhere({**base, **given}):
            changes = cls._whole_model(base_model, changes)
        elif cls.takes_model_from_elsewhere(base):  # what the preset says of the model are changes, too
            changes = {**base_model, **changes} if isinstance(changes, dict) else changes
        return merged(base, {**given, "model": changes})

    @classmethod
    def base_model(cls, preset: Any, changes: Any, given: Mapping[str, Any]) -> Any:
        """Give the model's settings that changes are laid over: the preset's, where nothing else decides some of them.

        Raise ValueError where changes contradict what is decided.
        """
        return preset

    @classmethod
    def _preset_as_today(cls, preset: dict[str, Any]) -> dict[str, Any]:
        """Give all settings of a preset's file their names of today, with a line for each former one."""
        named = cls.named_as_today(preset)
        return {
            key: cls.model_settings.named_as_today(value) if key == "model" else value for key, value in named.items()
        }

    @classmethod
    def _whole_model(cls, base: Any, changes: Any) -> Any:
        return presets.whole_model(cls.model_settings, cls.fitted(changes), base, changes)

    @classmethod
    def fitted(cls, changes: Any) -> dict[str, Any]:
        """Name the model's settings that the data decide unless they are given, with values to stand in for them."""
        return {}

    @classmethod
    def takes_model_from_elsewhere(cls, given: Mapping[str, Any]) -> bool:
        """Tell whether another model, not the preset, says what is not given of the model."""
        return False

    @classmethod
    def preset_defaults(cls) -> dict[str, dict[str, Any]]:
        """Give every setting of each preset, its whole model among them."""
        optional = {name: info for name, info in cls.model_fields.items() if not info.is_required()}
        defaults = {name: info.get_default(call_default_factory=True) for name, info in optional.items()}
        by_preset = {}
        for name in presets.names(cls.kind):
            said = {key: value for key, value in presets.load(cls.kind, name).items() if key != "model"}
            model = cls.own_model_defaults(name)
            by_preset[name] = dict(presets.flat(merged(defaults, {**said, "model": model})))
        return by_preset

    @classmethod
    def own_model_defaults(cls, name: str) -> dict[str, Any]:
        """Give the model's settings of a preset."""
        return cls.model_of_preset(name).model_dump(mode="json")

    @classmethod
    def decided_by_data(cls) -> frozenset[str]:
        """Name what `fitted` stands in for."""
        return frozenset(f"model.{name}" for name in cls.fitted({}))

    @classmethod
    def model_of_preset(cls, name: str) -> ModelConfig:
        """Make the model's settings of a preset, with stand-ins for what the data decide."""
        return cls.model_settings.model_validate(merged(cls.fitted({}), presets.model(cls.kind, name)))

    def preset_model(self) -> dict[str, Any]:
        """Give what the preset says of the model, whatever was changed."""
        return presets.model(self.kind, self.preset, self.model_settings)

    def saved_as_today(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Give the model's settings their names of today; complete those of a run that saved changes to its preset."""
        saved = super().saved_as_today(settings)
        if "model" in saved:
            saved["model"] = self.model_settings.saved_as_today(saved["model"])
        if "model" in saved and not self.takes_model_from_elsewhere(saved):
            with suppress(DataEngineError, ValueError):  # a file that is gone: what differs is said setting by setting
                preset = presets.model(self.kind, saved["preset"], self.model_settings)
                saved["model"] = self._whole_model(preset, saved["model"])
        return saved
