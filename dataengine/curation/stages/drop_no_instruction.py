"""Episodes that nobody said anything about."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dataengine.curation.coverage import CHECKED, Coverage, Seen
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Quality
from dataengine.episode import Kind


@dataclass(frozen=True, kw_only=True)
class DropNoInstruction:
    """Drop episodes without words for what they show.

    A policy that follows language learns nothing to follow from them. A latent action model reads no text: there they
    are as good as others, which is why the default recipe keeps them.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("robot", "human")
    columns: ClassVar[tuple[str, ...]] = ("robot_words", "human_words")
    limits: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"min_robot_words": "robot_words", "min_human_words": "human_words"}
    )

    min_robot_words: int = 1
    """Fewest words in the longest text of a robot's episode."""
    min_human_words: int = 0
    """The same of a human clip; whole video datasets come without texts."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Words of the longest text; a number for each kind, NaN for the other."""
        num_words = np.array(
            [max((len(text.split()) for text in texts), default=0) for texts in rows.instruction], float
        )
        robot = np.array([kind == "robot" for kind in rows.kind], bool)
        return {"robot_words": np.where(robot, num_words, np.nan), "human_words": np.where(robot, np.nan, num_words)}

    def coverage(self, seen: Seen) -> Coverage:
        """Check every episode: no text is a text of no words."""
        return CHECKED

    def reject(self, quality: Quality) -> str | None:
        """Say why the episode must go, or return None to keep it."""
        for kind, least in (("robot", self.min_robot_words), ("human", self.min_human_words)):
            num_words = quality[f"{kind}_words"]
            if num_words < least:
                return f"{num_words:.0f} words of instruction, need {least}" if num_words else "no instruction"
        return None
