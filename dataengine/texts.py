"""What is said of an episode, and when: each text holds for some of its steps.

A task usually holds for the whole episode, its parts for some steps each, and texts may overlap: at a step all that
hold there are candidates. Texts take turns over start frames, and so do the paraphrases of each.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from dataengine.episode import Text

SHOWN = 6
"""Texts, and paraphrases of each, that a line has room for."""


def distinct(phrases: Iterable[Any]) -> tuple[str, ...]:
    """Distinct phrases in order, stripped; what is empty or no text is left out."""
    stripped = (phrase.strip() for phrase in phrases if isinstance(phrase, str))
    return tuple(dict.fromkeys(phrase for phrase in stripped if phrase))


def whole_episode(phrases: Iterable[Any], num_steps: int) -> tuple[Text, ...]:
    """Let paraphrases hold for all steps of an episode; nothing where there are none."""
    different = distinct(phrases)
    return (Text(0, num_steps, different),) if different and num_steps > 0 else ()


def spans(steps: Iterable[Sequence[str]]) -> tuple[Text, ...]:
    """Make texts of what is said at each step: neighbours with equal paraphrases are one text, silence is none."""
    texts, start = [], 0
    for phrases, group in groupby(map(distinct, steps)):
        end = start + sum(1 for _ in group)
        if phrases:
            texts.append(Text(start, end, phrases))
        start = end
    return tuple(texts)


def without_repetition(columns: Sequence[tuple[Text, ...]]) -> tuple[Text, ...]:
    """Leave out what another column says too, at all steps of it: a task is often repeated as an instruction."""

    def is_said_by(other: tuple[Text, ...], text: Text, before: bool) -> bool:
        """Tell whether one text of another column, whose texts come one after another, says as much or more."""
        i = bisect_right(other, text.start, key=lambda t: t.start) - 1
        if i < 0 or other[i].end < text.end or not {*text.phrases} <= {*other[i].phrases}:
            return False
        return before or other[i] != text

    return tuple(
        text
        for i, column in enumerate(columns)
        for text in column
        if not any(is_said_by(other, text, j < i) for j, other in enumerate(columns) if j != i)
    )


def cut(texts: Iterable[Text], start: int, end: int) -> tuple[Text, ...]:
    """Keep what holds for steps `start` to `end`, without `end`, counted from `start`."""
    return tuple(
        Text(max(t.start, start) - start, min(t.end, end) - start, t.phrases)
        for t in texts
        if max(t.start, start) < min(t.end, end)
    )


def at(texts: Iterable[Text], step: int) -> tuple[Text, ...]:
    """Texts that hold at a step."""
    return tuple(text for text in texts if text.start <= step < text.end)


def num_silent(texts: Iterable[Text], num_steps: int) -> int:
    """Count the steps at which nothing is said."""
    silent, reached = 0, 0
    for text in sorted(texts, key=lambda t: t.start):
        silent += max(text.start - reached, 0)
        reached = max(reached, text.end)
    return silent + max(num_steps - reached, 0)


def said_at(texts: Iterable[Text], step: int) -> str:
    """Choose the phrase of a step, the same every time; empty where nothing holds."""
    there = at(texts, step)
    if not there:
        return ""
    turn, which = divmod(step, len(there))
    phrases = there[which].phrases
    return phrases[turn % len(phrases)]


def narrowest(texts: Sequence[Text], num_steps: int) -> list[str]:
    """Choose one phrase for each step, for formats that have no more: of the texts that hold, that of fewest steps."""
    by_step = [""] * num_steps
    order = sorted(enumerate(texts), key=lambda each: (each[1].start - each[1].end, -each[0]))
    for _, text in order:  # of equal length the first is written last
        by_step[text.start : text.end] = [text.phrases[0]] * (text.end - text.start)
    return by_step


def summary(texts: Sequence[Text], num_steps: int) -> str:
    """Say in one line what is said and when; empty where nothing is."""
    lines = []
    for text in texts[:SHOWN]:
        when = "" if (text.start, text.end) == (0, num_steps) else f"steps {text.start} to {text.end}: "
        lines.append(when + " | ".join(text.phrases[:SHOWN]))
    return "; ".join([*lines, *([f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else [])])


def from_row(
    rows: Sequence[Mapping[str, Any]] | None, instruction: Iterable[str] | None, num_steps: int
) -> tuple[Text, ...]:
    """Read a row's column `texts`; where an older villa wrote none, the instructions hold for the whole episode."""
    if rows is None:
        return whole_episode(instruction or (), num_steps)
    return tuple(Text(row["start"], row["end"], tuple(row["phrases"])) for row in rows)


def to_row(texts: Iterable[Text]) -> list[dict[str, Any]]:
    """Lay texts out as the column `texts`; `from_row` undoes it."""
    return [{"start": t.start, "end": t.end, "phrases": list(t.phrases)} for t in texts]
