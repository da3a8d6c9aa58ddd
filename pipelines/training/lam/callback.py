"""Looks at a latent action model while it is trained, every so often closer than its losses do."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.batch import LamBatch
from models.lam import Lam
from pipelines.training.codebook_health import SWAP_COST, CodebookHealth
from pipelines.training.lam.scores import swap_cost

MEASURE_EVERY = 50
"""Steps: at preset `tiny` a look costs 0.4 of a step, on a CPU."""


@dataclass(frozen=True)
class CodebookCallback:
    """Measures what swapped latents cost, and passes on what the figures say."""

    lam: Lam
    health: CodebookHealth
    log_every: int

    def extra_metrics(self, step: int, batch: LamBatch) -> Mapping[str, float]:
        """Add to the figures of an entry, at a step that depends on nothing but the settings."""
        due = step // MEASURE_EVERY > (step - self.log_every) // MEASURE_EVERY
        return {SWAP_COST: swap_cost(self.lam, batch)} if due and step >= self.health.active_from else {}

    def on_log(self, step: int, metrics: Mapping[str, float]) -> list[str]:
        """Say what there is to say."""
        return self.health.update(step, metrics)
