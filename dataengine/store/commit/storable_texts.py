r"""Texts that a table can hold: whatever a source gives comes by here before it becomes a row.

JSON may spell half a letter (a lone surrogate, "\ud800"), and the name of a file may be no text at all: neither can be
written as UTF-8. In texts and notes such a place becomes U+FFFD and a note says so; in names, which must stay
different, it is spelt out. What is longer than any text or name is cut, which is noted, too, or costs the record.
"""

import re
from dataclasses import replace
from typing import Any

from dataengine.episode import Episode, Text, plain_name, spelt
from dataengine.errors import RecordError
from dataengine.texts import distinct

MAX_PHRASE = 10_000
"""Letters of one phrase; the longest instructions of published datasets have some hundreds."""
MAX_TEXTS = 10_000_000
"""Letters of all texts of an episode."""
MAX_NOTE = 1_000_000
"""Letters of one note: a thousand labelled segments fit."""
MAX_NAME = 1_000
"""Letters of a record's name; of a longer one a hash stands for the rest."""
MAX_URI = 10_000
"""Letters of a path or URI and of what else has a name."""
LOST = "texts_lost"
"""Key of the note that says what could not be kept."""
HALVES = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def writable(episode: Episode) -> Episode:
    """Give an episode whose texts can all be written; raise RecordError where its name is none."""
    changes: list[str] = []
    names = {key: spelt(getattr(episode, key)) for key in ("source_record", "source_uri", "split", "licence")}
    if len(names["source_record"]) > MAX_NAME:
        names["source_record"] = plain_name(episode.source_record)
    for key, name in names.items():
        if len(name) > MAX_URI:
            raise RecordError(f"{key} has {len(name)} letters ({name[:40]}...), expected at most {MAX_URI}")
    said = tuple(_text(text, changes) for text in episode.texts)
    total = sum(len(phrase) for text in said for phrase in text.phrases)
    if total > MAX_TEXTS:
        raise RecordError(f"its texts have {total} letters, expected at most {MAX_TEXTS}; do they all say what to do?")
    notes = {spelt(key): _phrase(text, MAX_NOTE, f"note {key!a:.80}", changes) for key, text in episode.notes.items()}
    if not changes and notes == episode.notes and all(name == getattr(episode, key) for key, name in names.items()):
        return episode
    if changes:
        notes[LOST] = "; ".join(dict.fromkeys([*([notes[LOST]] if LOST in notes else []), *changes]))
    whole: dict[str, Any] = {**names, "texts": said, "notes": notes}
    return replace(episode, **whole)


def _text(text: Text, changes: list[str]) -> Text:
    phrases = [_phrase(phrase, MAX_PHRASE, "a text", changes) for phrase in text.phrases]
    return text if phrases == [*text.phrases] else replace(text, phrases=distinct(phrases))


def _phrase(phrase: str, most: int, what: str, changes: list[str]) -> str:
    """Replace halves of letters, and cut what is too long."""
    whole = phrase if phrase.isascii() else HALVES.sub(REPLACEMENT, phrase)
    if whole != phrase:
        changes.append(f"{what} has halves of letters (lone surrogates)")
        phrase = whole
    if len(phrase) > most:
        changes.append(f"{what} has {len(phrase)} letters, of which {most} are kept")
        phrase = phrase[:most]
    return phrase
