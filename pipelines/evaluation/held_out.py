"""Which episodes a model's training never saw, as its checkpoint says."""

from collections.abc import Mapping
from typing import Any

USUAL = 0.1
"""Share that a training holds out unless its settings say otherwise."""


def held_out_by(stated: Mapping[str, Any], asked: float | None = None) -> float:
    """Give the share of episodes that a training held out: as asked for, else as its checkpoint says."""
    if asked is not None:
        return asked
    training = stated.get("training")
    known = training if isinstance(training, dict) else {}
    share = known.get("val_fraction", known.get("held_out"))
    return float(share) if isinstance(share, int | float) else USUAL
