"""What a run may be continued with, and what is said of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError, OtherSettingsError
from dataengine.reading import one_line
from pipelines.training.settings import LoopConfig, learning_rate

VERSION = 2
"""Of what a run's losses follow from beside its settings: a run that an older trainer began is not continued."""

_NAMES = {"data": "data (fingerprint of the episodes)", "latent actions": "latent actions (fingerprint of their model)"}
_LONGEST = 300
"""Letters of a line: a mixture may name a thousand datasets."""


def check_identity(before: Mapping[str, Any], now: Mapping[str, Any], config: LoopConfig, out: Path) -> None:
    """Refuse to continue a run with other settings or other data."""
    before = config.saved_as_today(before)
    if before.get("trainer") != now.get("trainer"):
        raise DataEngineError(
            f"{out} holds a run that another version of the trainer began, whose losses and weight decay differ; "
            f"end it with that version, or give another --out"
        )
    differing = list(_differences("", before, now))
    if differing:
        raise OtherSettingsError(
            f"{out} holds a run with other settings or data; give the same to continue it, or another --out", differing
        )


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    """Say what differs, setting by setting, however deep it lies."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            inner = f"{name}.{key}" if name else _NAMES.get(key, key)
            yield from _differences(inner, before.get(key), now.get(key))
    elif before != now:
        old, new = ("not set" if value is None else value for value in (before, now))
        yield one_line(f"{name}: {old} -> {new}", _LONGEST)


def changes(before: Mapping[str, Any], config: LoopConfig, step: int, out: Path) -> Iterator[str]:
    """Say which settings a run is continued with that it did not have, and what comes of it; refuse too few steps."""
    before = config.saved_as_today(before)
    if config.steps < step:
        raise DataEngineError(
            f"{out} holds a run of {before['steps']} steps that has taken {step}, found steps {config.steps}; give as "
            f"many or more, or another --out"
        )
    now = config.may_change_on_resume()
    changed = [f"{key} {before[key]} -> {now[key]}" for key in now if before[key] != now[key]]
    if changed:
        yield f"goes on from step {step} with {', '.join(changed)}"
    if now["steps"] != before["steps"] and step < config.steps:
        then, after = (
            learning_rate(config.model_copy(update={"steps": steps}), step) for steps in (before["steps"], now["steps"])
        )
        if then != after:
            yield f"its learning rate follows the new schedule from here on: {after:.3g} instead of {then:.3g}"
