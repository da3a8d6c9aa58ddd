"""Finds the episode or dataset that a user means."""

from collections.abc import Sequence

import pyarrow.compute as pc

from dataengine.errors import CorpusError
from dataengine.naming import did_you_mean
from dataengine.store import Corpus

MOST_NAMED = 5


def find_episode(corpus: Corpus, wanted: str) -> str:
    """Find the one episode whose id starts as wanted; raise CorpusError where there is none, or more than one."""
    matches = list[str]()
    for batch in corpus.scan(["episode_id"]):
        ids = batch["episode_id"]
        matches += ids.filter(pc.starts_with(ids, wanted)).to_pylist()
    if not matches:
        raise CorpusError(f"{corpus.uri}: no episode starts with '{wanted}'; `villa show {corpus.uri}` names some")
    return only(matches, f"{corpus.uri}: {len(matches)} episodes start with '{wanted}'")


def only(matches: Sequence[str], several: str) -> str:
    """Give the one id that was found; raise CorpusError that names them where there are several."""
    if len(matches) > 1:
        more = f" and {len(matches) - MOST_NAMED} more" if len(matches) > MOST_NAMED else ""
        raise CorpusError(f"{several}: {', '.join(sorted(matches)[:MOST_NAMED])}{more}; give more letters of the id")
    return matches[0]


def known_dataset(corpus: Corpus, name: str) -> None:
    """Raise CorpusError for a dataset that the corpus does not know, with a near match."""
    known = sorted(corpus.datasets())
    if name not in known:
        raise CorpusError(f"{corpus.uri}: no dataset '{name}'; {did_you_mean(name, known)}")
