"""A policy at rest: the folder of a run or of a checkpoint, and all that it says of its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dataengine.errors import DataEngineError
from dataengine.windows.stats import EmbodimentStatistics
from models import weights
from models.act import Act, ActConfig
from pipelines.training import checkpoint
from pipelines.training.act.stated import stated
from pipelines.training.tokenizer import FILE_NAME, Tokenizer

LONGEST_INTERVAL_S = 3600
"""Between two frames of a latent action, as a latent action model's own setting has it."""


@dataclass(frozen=True)
class SavedPolicy:
    """A policy that was read: its weights, the averaged ones where there are any, and what it knows of robots."""

    path: Path
    """Folder of the weights."""
    about: dict[str, Any]
    """All that its settings say."""
    model: Act
    statistics: dict[str, EmbodimentStatistics]
    bodies: dict[str, dict[str, Any]]
    """For each robot it was trained on: `embodiment_id`, and the facts of each of its `datasets`."""
    tokenizer: Tokenizer

    @classmethod
    def read(cls, directory: str | Path, device: torch.device | str = "cpu") -> "SavedPolicy":
        """Read a finished run, one of its checkpoints, or of an unfinished run the newest checkpoint.

        Raise DataEngineError or ValueError, in one line, for what is none or is damaged.
        """
        path, about = stated(directory)
        model = weights.load_act(path, device)
        checkpoint.load_ema(path, model)
        numbers = about.get("statistics")
        if not isinstance(numbers, dict):
            raise DataEngineError(f"{path}: {weights.CONFIG_NAME} has no statistics; copy it again")
        where = path / weights.CONFIG_NAME
        statistics = {name: _statistics(one, f"{where}: embodiment '{name:.80}'") for name, one in numbers.items()}
        if not (path / FILE_NAME).exists():
            raise DataEngineError(f"{path}: has no {FILE_NAME}; copy it again")
        tokenizer = Tokenizer.read(path / FILE_NAME, model.config.vlm.prompt)
        if tokenizer.vocab_size > model.config.vlm.vocab_size:
            raise DataEngineError(
                f"{path / FILE_NAME}: has {tokenizer.vocab_size} tokens, the policy knows "
                f"{model.config.vlm.vocab_size}; copy the one that it was trained with"
            )
        bodies = _checked_bodies(about["bodies"], statistics, model.config, where)
        _check_latent(about.get("latent"), where)
        return cls(path, about, model, statistics, bodies, tokenizer)


def _checked_bodies(
    given: Any, statistics: Mapping[str, EmbodimentStatistics], config: ActConfig, where: Path
) -> dict[str, dict[str, Any]]:
    """Return the bodies that a file states; raise DataEngineError where the model has no place for one."""
    if not isinstance(given, dict):
        raise DataEngineError(f"{where}: 'bodies' is a {type(given).__name__}, expected an object; copy it again")
    for name, body in given.items():
        stated = body if isinstance(body, dict) else {}
        apart = stated.get("datasets", {})
        in_datasets = [*apart.values()] if isinstance(apart, dict) else [apart]
        for facts in (stated, *({"embodiment_id": stated.get("embodiment_id"), **_dict(one)} for one in in_datasets)):
            _check_facts(facts, config, f"{where}: embodiment '{name:.80}'")
        known = statistics.get(name)
        row = stated["embodiment_id"]
        fits = known is not None and all(
            one.state.dim <= config.state_dims[row] and one.action.dim <= config.action_dims[row]
            for one in (known, *known.by_dataset.values())
        )
        if not fits:
            raise DataEngineError(
                f"{where}: embodiment '{name:.80}' has no statistics that fit the model; copy it again"
            )
    return given


def _statistics(one: Any, where: str) -> EmbodimentStatistics:
    """Read an embodiment's statistics; raise DataEngineError, with where they are, for what are none."""
    try:
        return EmbodimentStatistics.from_json(one)
    except DataEngineError as error:
        raise DataEngineError(f"{where}: {error}") from error


def _check_latent(latent: Any, where: Path) -> None:
    """Raise DataEngineError where what a file states of the latent actions that are planned is none of that."""
    if latent is None:  # of a policy without any, and of older ones
        return
    facts = _dict(latent)
    for key in ("name", "fingerprint"):
        if not isinstance(facts.get(key), str):
            raise DataEngineError(f"{where}: latent has {key} {facts.get(key)!r:.80}, expected text; copy it again")
    seconds = facts.get("interval_s")
    if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_INTERVAL_S:
        raise DataEngineError(
            f"{where}: latent has interval_s {seconds!r:.80}, expected seconds above 0, at most {LONGEST_INTERVAL_S}; "
            f"copy it again"
        )


def _dict(value: Any) -> dict[str, Any]:
    """Take an object; what is none has no facts, which the check then says."""
    return value if isinstance(value, dict) else {}


def _check_facts(facts: Mapping[str, Any], config: ActConfig, where: str) -> None:
    """Raise DataEngineError where what a file states of an embodiment in a dataset is out of the model's range."""
    for key, count in {"embodiment_id": len(config.state_dims), "dataset_id": config.num_datasets}.items():
        value = facts.get(key)
        if not isinstance(value, int) or not 0 <= value < count:
            raise DataEngineError(f"{where}: {key} is {value!r:.80}, the model has {count} rows")
    for key in ("steps_per_latent", "control_hz"):
        value = facts.get(key)
        if not isinstance(value, int | float) or not 0 < value < 1e6:
            raise DataEngineError(f"{where}: {key} is {value!r:.80}, expected a number above 0")
