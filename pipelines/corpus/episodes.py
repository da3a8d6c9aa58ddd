"""Finds the episode that a user means."""

from dataengine.errors import CorpusError
from dataengine.store import Corpus


def find_episode(corpus: Corpus, wanted: str) -> str:
    """Find the one episode whose id starts as wanted; raise CorpusError where there is none, or more than one."""
    found = [episode_id for episode_id in corpus.episode_ids() if episode_id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CorpusError(f"{corpus.uri}: no episode starts with '{wanted}'; `villa show {corpus.uri}` names some")
    raise CorpusError(f"{corpus.uri}: {len(found)} episodes start with '{wanted}', such as {found[0]} and {found[1]}")
