"""Settings of `villa ablate`, and the recipes that it compares."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from dataengine.config import MOST, MOST_WORKERS, Config
from dataengine.errors import DataEngineError
from models.config import merged
from pipelines.recipes import recipes

KIND = "ablate"
DECIDED = {
    "lam": {"data": "--corpus", "out": "--out"},
    "label": {"corpus": "--corpus", "lam": "the arm's `lam`", "name": "the ablation"},
    "act": {
        "data": "--corpus",
        "out": "--out",
        "seed": "--seeds",
        "latent": "the arm's `lam` or by --latent",
    },
    "evaluation": {
        "policy": "the ablation",
        "name": "the ablation",
        "out": "--out",
        "simulator": "--simulator",
        "tasks": "--task",
        "episodes": "--episodes",
        "processes": "--processes",
    },
}
"""Settings of trainings and plays that an ablation decides itself, by what does so."""


def _leaves_ours(given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Refuse what would be overridden."""
    for key, decides in DECIDED[str(info.field_name)].items():
        if key in given:
            raise ValueError(f"'{key}' is decided by {decides}; leave it out here")
    return given


class Defaults(Config):
    """Settings that the command's own go beyond: `--set act.steps=200` shortens every training of a recipe."""

    lam: dict[str, Any] = Field(default_factory=dict)
    """Settings of `villa train lam`."""
    act: dict[str, Any] = Field(default_factory=dict)
    """Settings of `villa train act`."""

    _leave_ours = field_validator("lam", "act")(_leaves_ours)


class Arm(Config):
    """One recipe: what it changes of trainings that are otherwise alike."""

    about: str = ""
    """What it stands for, in a line."""
    lam: dict[str, Any] = Field(default_factory=dict)
    """Settings of `villa train lam`; where there are any, this arm has a latent action model of its own."""
    label: dict[str, Any] = Field(default_factory=dict)
    """Settings of `villa label`."""
    act: dict[str, Any] = Field(default_factory=dict)
    """Settings of `villa train act`."""
    defaults: Defaults = Defaults()
    """What lengths and data it was written for; no part of what tells it from other arms."""
    published: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default_factory=dict)
    """Success in percent that was published for it, by where it was measured."""

    _leave_ours = field_validator("lam", "label", "act")(_leaves_ours)

    @property
    def has_plan(self) -> bool:
        """Tell whether it learns latent actions at all."""
        return bool(self.act.get("use_latent", True))


class AblateConfig(Config):
    """Which recipes are compared, on what, and how often each."""

    recipes: tuple[str, ...] = Field(min_length=1)
    """Names of recipes, or YAML files, each with one arm or several."""
    corpus: str
    """Corpus; or folder of shards, with `latent`, where no arm has a latent action model of its own."""
    out: Path
    """Folder of everything that is trained and played, and of the table."""
    seeds: int = Field(3, ge=1, le=1000)
    """Trainings of each arm."""
    reference: str = ""
    """Arm that the others are compared with; by default the first."""
    preset: str = "tiny"
    """Of all trainings."""
    latent: str | None = None
    """Latent actions that are there already, for the arms that have no model of their own."""
    lam: dict[str, Any] = Field(default_factory=dict)
    """Settings of `villa train lam` for all arms. An arm's own go beyond; a recipe's defaults give way."""
    act: dict[str, Any] = Field(default_factory=dict)
    """Settings of `villa train act` for all arms, likewise."""
    simulator: str = "metaworld"
    """Where policies are evaluated."""
    tasks: tuple[str, ...] | None = None
    """What they are evaluated on; by default the simulator's own choice."""
    episodes: int = Field(20, ge=1, le=MOST)
    """Unseen starts per task, the same for all."""
    evaluation: dict[str, Any] = Field(default_factory=dict)
    """Further settings of `villa eval`."""
    processes: int = Field(1, ge=1, le=MOST_WORKERS)
    """Trainings side by side, and tasks side by side in evaluation."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""

    _leave_ours = field_validator("lam", "act", "evaluation")(_leaves_ours)


def load_arms(names: tuple[str, ...]) -> dict[str, Arm]:
    """Read the arms of recipes in their order; raise DataEngineError for what is none, and for two of one name."""
    arms: dict[str, Arm] = {}
    for name in names:
        for arm, given in _arms_of(name).items():
            if arm in arms:
                raise DataEngineError(f"recipe {name}: there is an arm '{arm}' already; name it otherwise")
            try:
                arms[str(arm)] = Arm.model_validate(given)
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(map(str, first["loc"]))
                message = first["msg"].removeprefix("Value error, ")
                raise DataEngineError(f"recipe {name}: arm '{arm}', {key}: {message}") from None
    return arms


def _arms_of(name: str) -> dict[str, Any]:
    """Read the settings of a recipe's arms; what it says of `defaults` is each one's that has none."""
    content = recipes.load(KIND, name)
    if "arms" not in content:
        return {Path(name).stem.removeprefix(f"{KIND}_"): content}
    several, shared = content["arms"], {key: content[key] for key in ("defaults",) if key in content}
    if not isinstance(several, dict) or len(content) > 1 + len(shared):
        raise DataEngineError(f"recipe {name}: expected `arms:`, with `defaults:` at most, or the settings of one arm")
    return {arm: {**shared, **given} if isinstance(given, dict) else given for arm, given in several.items()}


def lam_settings(config: AblateConfig, arm: Arm) -> dict[str, Any]:
    """Give the settings of an arm's latent action model."""
    return merged(merged(arm.defaults.lam, config.lam), arm.lam)


def act_settings(config: AblateConfig, arm: Arm) -> dict[str, Any]:
    """Give the settings of an arm's policy."""
    return merged(merged(arm.defaults.act, config.act), arm.act)
