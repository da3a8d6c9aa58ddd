"""Clips whose text is about something else than handling things."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import pyarrow as pa

from dataengine.curation.coverage import unchecked
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.stage import Measured, Survey
from dataengine.episode import Kind

WORD = re.compile(r"[a-z]+")
MOST_WORDS = 64
"""Of all texts of a clip; captions of language models are long."""
SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class DropNoManipulation:
    """Drop clips whose texts name no action on a thing: walks, looks, talks.

    Narrations tell all that a person does. The verbs that count are data: a recipe lists them in their plain form, and
    `picks`, `picked` and `picking` are `pick`. Clips without a text are not checked.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("human",)
    columns: ClassVar[tuple[str, ...]] = ()
    signatures: ClassVar[Mapping[str, pa.DataType]] = MappingProxyType({"text_words": pa.list_(pa.string())})
    limits: ClassVar[Mapping[str, str]] = MappingProxyType({})

    verbs: tuple[str, ...] = ()
    """Plain forms of verbs of which one must occur; without any no clip is checked."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """List the different words of each episode's texts, in lower case."""
        return {"text_words": [_distinct_words(texts) for texts in rows.instruction]}

    def survey(self, episodes: Measured) -> Survey:
        """Look for one of the verbs in each text."""
        verbs = frozenset(form for verb in self.verbs for form in forms(verb.lower()))
        objections, coverage = {}, {}
        for row, said in enumerate(episodes.column("text_words").to_pylist()):
            if not said or not verbs:
                coverage[row] = unchecked("no text" if verbs else "the recipe lists no verbs")
            elif verbs.isdisjoint(said):
                objections[row] = f"no verb of handling things in: {' '.join(said[:SHOWN])}"
        return Survey(numbers={}, objections=objections, coverage=coverage)


def forms(verb: str) -> set[str]:
    """Spell the forms in which a regular verb occurs: take, takes, taking; cut, cutting; carry, carries, carried."""
    stem = verb.removesuffix("e")
    forms_of_verb = {verb, f"{verb}s", f"{verb}ed", f"{verb}ing", f"{stem}ing", f"{stem}ed"}
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        forms_of_verb.add(f"{verb}es")
    if verb.endswith("y"):
        forms_of_verb |= {f"{verb[:-1]}ies", f"{verb[:-1]}ied"}
    if re.search(r"[^aeiou][aeiou][^aeiouwxy]$", verb):
        forms_of_verb |= {f"{verb}{verb[-1]}ing", f"{verb}{verb[-1]}ed"}
    return forms_of_verb


def _distinct_words(texts: list[str]) -> list[str]:
    all_words = (word for text in texts for word in WORD.findall(text.lower()))
    return list(dict.fromkeys(all_words))[:MOST_WORDS]
