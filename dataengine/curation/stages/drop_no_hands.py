"""Clips of people without their hands."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from dataengine.curation.coverage import CHECKED, Coverage, Seen, unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Quality
from dataengine.episode import Kind


@dataclass(frozen=True, kw_only=True)
class DropNoHands:
    """Drop clips in which no hand is there for most of the time.

    Of somebody who walks or looks around a latent action model learns how heads move. Hands are those that publishers
    tell of, or that `villa hands` estimated: clips without stay, as do those of which a few frames were annotated.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ("hands_share",)
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({"min_share": "hands_share"})

    min_share: float = 0.3
    """Least share of steps at which one hand or more is there."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Share of steps with a hand, left or right."""
        return {"hands_share": rows.hands_share}

    def coverage(self, seen: Seen) -> Coverage:
        """Tell clips of whose hands nobody tells step by step."""
        return CHECKED if "hands_share" in seen.known else unchecked("nobody tells of hands step by step")

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        if quality["hands_share"] < self.min_share:
            return f"a hand is there at {quality['hands_share']:.0%} of the steps, need {self.min_share:.0%}"
        return None
