"""Attempts that did not succeed."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Quality
from dataengine.episode import Kind
from dataengine.notes import OUTCOME, OUTCOMES, parsed

NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class DropFailures:
    """Drop attempts that the publisher, or the simulator that they were played in, calls failed.

    A policy that imitates a failure learns it. A latent action model and a world model learn from failures what actions
    lead to, which is why the default recipe keeps them.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot",)
    columns: ClassVar[tuple[str, ...]] = ("success",)
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"min_success": "success"})

    min_success: float = 1.0
    """Least success, 0 or 1; 0 keeps failures, and measures them all the same."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """1 for a success and 0 for a failure; NaN where nobody says."""
        said = (OUTCOMES.get(parsed(notes).get(OUTCOME, "")) for notes in rows.notes)
        return {"success": np.array([NAN if succeeded is None else float(succeeded) for succeeded in said])}

    def coverage(self, seen: Seen) -> Coverage:
        """Check episodes whose outcome is known."""
        return CHECKED if "success" in seen.known else unchecked("nobody says whether attempts succeeded")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        return "the attempt failed" if quality["success"] < self.min_success else None
