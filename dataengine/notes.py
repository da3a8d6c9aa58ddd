"""Notes of episodes: what a source decided, by key; and which of them everybody must be told of.

A note is serious when one of these is a word of its key (`doubt`, `texts_lost`, `cameras_left_out`):

doubt      what numbers mean is a guess
unknown    nobody says it, a unit for example: `state_units_unknown`
missing    something that episodes have is not there (also `absent`)
lost       it was there, and could not be kept (also `bad`)
left_out   it was there, and nothing of the corpus takes it

Its text says which columns or files, and what to do next. Equal cases say it in equal words: `villa ingest` and
`villa corpus info` tell each dataset's serious notes once, with the number of episodes and the commonest text. That an
episode has no state, action or instruction need not be noted; it is counted without.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from dataengine.framing import FITS, SQUASH, Fit
from dataengine.report import Report

_PATTERN: Final = "doubt|unknown|missing|absent|lost|bad|left_out"

_SERIOUS: Final = re.compile(rf"(?:^|_)(?:{_PATTERN})(?:_|$)")
_ANYWHERE: Final = re.compile(_PATTERN)

ROBOT_TYPE: Final = "robot_type"
"""Note of what the publisher calls the robot, where the embodiment has another name."""
OUTCOME: Final = "outcome"
"""Note of whether the attempt succeeded, as the publisher or a simulator says; without it nobody says."""
OUTCOMES: Final[Mapping[str, bool]] = {"success": True, "failure": False}
"""Its texts."""
FIT: Final = "frames_fit"
"""Key of the note that says how frames that are not square became so; without it they were squashed."""

MAX_TEXT: Final = 1000
"""Letters of a text that are told; the episode keeps all of it."""

MAX_TEXTS: Final = 200
"""Different texts of one key that are counted each by itself."""

OTHERS: Final = ""
"""Stands for texts beyond those."""


class NoteCount(Report):
    """A serious note of a dataset."""

    key: str
    episodes: int
    """That have it."""
    of: int
    """Episodes of the dataset that were looked at."""
    text: str
    """The commonest."""
    texts: int
    """How many different ones there are, at least."""

    def line(self) -> str:
        """Print it."""
        share = f"all {self.of:,}" if self.episodes == self.of else f"{self.episodes:,} of {self.of:,}"
        more = f" (and {self.texts - 1} other text{'s' if self.texts > 2 else ''})" if self.texts > 1 else ""
        return f"{self.key} ({share} episodes): {self.text}{more}"


class NoteTally:
    """Serious notes counted over the episodes of a dataset; tallies add up."""

    def __init__(self) -> None:
        self.episodes = 0
        self._texts: dict[str, Counter[str]] = {}

    def add(self, serious: Mapping[str, str], episodes: int = 1) -> None:
        """Count episodes that have these."""
        self.episodes += episodes
        for key, text in serious.items():
            self._count(key, text, episodes)

    def merge(self, counts: Mapping[str, Mapping[str, int]], episodes: int) -> None:
        """Take in what `counts` of another tally gave."""
        self.episodes += episodes
        for key, texts in counts.items():
            for text, count in texts.items():
                self._count(key, text, count)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Episodes by key and text."""
        return {key: dict(texts) for key, texts in self._texts.items()}

    def summed(self) -> list[NoteCount]:
        """Sum up, the notes of most episodes first."""
        counts = []
        for key, texts in self._texts.items():
            text, _ = max(texts.items(), key=lambda item: (item[0] != OTHERS, item[1]))
            counts.append(NoteCount(key=key, episodes=texts.total(), of=self.episodes, text=text, texts=len(texts)))
        return sorted(counts, key=lambda each: (-each.episodes, each.key))

    def _count(self, key: str, text: str, count: int) -> None:
        texts, text = self._texts.setdefault(key, Counter()), text[:MAX_TEXT]
        texts[text if text in texts or len(texts) < MAX_TEXTS else OTHERS] += count


def fit_notes(fit: Fit) -> dict[str, str]:
    """Note how frames came to rest, unless it is as always."""
    return {} if fit == SQUASH else {FIT: fit}


def fit_noted(notes: Mapping[str, str]) -> Fit:
    """Undo `fit_notes`."""
    noted = notes.get(FIT)
    return next((fit for fit in FITS if fit == noted), SQUASH)


def outcome_notes(succeeded: bool | None) -> dict[str, str]:
    """Note whether an attempt succeeded; None where nobody says."""
    return {} if succeeded is None else {OUTCOME: next(text for text, won in OUTCOMES.items() if won == succeeded)}


def parsed(text: str | None) -> dict[str, str]:
    """Read the notes of a row; none where they are damaged, which `villa corpus verify` tells."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    return {key: said for key, said in values.items() if isinstance(said, str)} if isinstance(values, dict) else {}


def serious(
    notes: Mapping[str, str], *, kind: str, has_state: bool, has_action: bool, has_instruction: bool
) -> dict[str, str]:
    """Pick what everybody must be told of an episode."""
    picked = {key: text for key, text in notes.items() if is_serious(key)}
    for key, what in _missing(kind, has_state, has_action, has_instruction):
        picked.setdefault(key, what)
    return picked


@lru_cache(maxsize=4096)
def is_serious(key: str) -> bool:
    """Tell by its key whether everybody must be told of a note."""
    return _SERIOUS.search(key) is not None


def may_be_serious(text: str) -> bool:
    """Tell, without parsing it, whether the JSON of notes may have a serious one."""
    return _ANYWHERE.search(text) is not None


def _missing(kind: str, has_state: bool, has_action: bool, has_instruction: bool) -> Iterator[tuple[str, str]]:
    if kind == "robot" and not has_state:
        yield "state_missing", "no state"
    if kind == "robot" and not has_action:
        yield "action_missing", "no action: it trains no policy"
    if not has_instruction:
        yield "instruction_missing", "no instruction"
