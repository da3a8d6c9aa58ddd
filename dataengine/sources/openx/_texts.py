"""What RLDS episodes say, and at which steps: a text at every step, several of them, or one beside the steps."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dataengine.episode import Text
from dataengine.errors import RecordError
from dataengine.texts import distinct, spans, whole_episode, without_repetition

Said = Sequence[Any]
"""What is said at each of the t steps: a text, or several that are paraphrases of one another."""

MARK = "texts_lost"
"""Key of the note that says what could not be kept."""


def texts_of(whole: Iterable[Any], columns: Iterable[Said], steps: range) -> tuple[tuple[Text, ...], dict[str, str]]:
    """Make texts of what is said of the `whole` episode and, in `columns`, at each step; keep those of some `steps`.

    A column that says one thing and is silent at other steps says it of the whole episode: some publishers write a text
    at the first step alone. What is no text, or not UTF-8, is lost by itself and noted.
    """
    tracks: list[tuple[Text, ...]] = []
    problems: dict[str, None] = {}
    readable, lost = _readable(whole)
    problems |= dict.fromkeys(f"of the episode: {what}" for what in lost)
    tracks.append(whole_episode(readable, len(steps)))
    for column in columns:
        if len(column) < steps.stop:
            raise RecordError(f"found texts of {len(column)} steps, expected those of {steps.stop}")
        said: list[tuple[str, ...]] = []
        bad: dict[str, list[int]] = {}
        before: Any = None
        for index, step in enumerate(steps):
            value = column[step]
            if isinstance(value, str) and value == before:  # of nearly all steps: it was looked at already
                said.append(said[-1])
                continue
            readable, lost = _readable([value])
            said.append(readable)
            before = value if isinstance(value, str) else None
            for what in lost:
                bad.setdefault(what, []).append(index)
        different = {phrases for phrases in said if phrases}
        alone = len(different) == 1 and not bad
        tracks.append(whole_episode(different.pop(), len(steps)) if alone else spans(said))
        problems |= {f"{what} at {len(at)} steps, the first is {at[0]}": None for what, at in bad.items()}
    return without_repetition(tracks), {MARK: "; ".join(problems)} if problems else {}


def _readable(values: Iterable[Any]) -> tuple[tuple[str, ...], list[str]]:
    """Part texts from what is none, which is told."""
    flat = [*_flat(values)]
    lost = dict.fromkeys(
        "a text that is not UTF-8" if isinstance(value, bytes) else f"{type(value).__name__} instead of a text"
        for value in flat
        if not isinstance(value, str)
    )
    return distinct(flat), [*lost]


def _flat(values: Any) -> Iterator[Any]:
    """Yield what is nested in lists and arrays; an optional feature that is not there is no text."""
    for value in values:
        if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
            yield from _flat(value)
        elif value is not None:
            yield value
