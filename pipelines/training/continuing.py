"""What a run may be continued with, and what is said of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataengine.differences import differences
from dataengine.errors import DataEngineError, OtherSettingsError
from pipelines.training.seen import TITLES, with_unsaved
from pipelines.training.settings import LoopConfig, learning_rate

VERSION = 2
"""Of what a run's losses follow from beside its settings: a run that an older trainer began is not continued."""


def check_identity(before: Mapping[str, Any], now: Mapping[str, Any], config: LoopConfig, out: Path) -> None:
    """Refuse to continue a run with other settings or other data."""
    before = with_unsaved(config.saved_as_today(before), now)
    if before.get("trainer") != now.get("trainer"):
        raise DataEngineError(
            f"{out} holds a run that another version of the trainer began, whose losses and weight decay differ; "
            f"end it with that version, or give another --out"
        )
    differing = list(differences(before, now, TITLES))
    if differing:
        raise OtherSettingsError(
            f"{out} holds a run with other settings or data; give the same to continue it, or another --out", differing
        )


def changes(before: Mapping[str, Any], config: LoopConfig, step: int, out: Path) -> Iterator[str]:
    """Say which settings a run is continued with that it did not have, and what comes of it; refuse too few steps."""
    now = config.may_change_on_resume()
    defaults = {key: info.default for key, info in type(config).model_fields.items() if key in now}
    before = {**defaults, "sharding": "none", **config.saved_as_today(before)}  # what a setting was before it existed
    if config.steps < step:
        raise DataEngineError(
            f"{out} holds a run of {before['steps']} steps that has taken {step}, found steps {config.steps}; give as "
            f"many or more, or another --out"
        )
    changed = [f"{key} {before[key]} -> {now[key]}" for key in now if before[key] != now[key]]
    if changed:
        yield f"goes on from step {step} with {', '.join(changed)}"
    if now["steps"] != before["steps"] and step < config.steps:
        then, after = (
            learning_rate(config.model_copy(update={"steps": steps}), step) for steps in (before["steps"], now["steps"])
        )
        if then != after:
            yield f"its learning rate follows the new schedule from here on: {after:.3g} instead of {then:.3g}"
