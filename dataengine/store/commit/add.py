"""Puts episodes that are at hand into a corpus, by the same protocol as an ingest of many parts."""

from collections.abc import Iterable

from dataengine.digest import stable_id
from dataengine.episode import Episode, Part
from dataengine.errors import CorpusError
from dataengine.store.commit.committer import Committer
from dataengine.store.commit.receipts import Receipt
from dataengine.store.commit.staging import Staging, stage_part
from dataengine.store.read.corpus import Corpus
from dataengine.store.registry import register
from dataengine.store.side_tables import append_run, new_run_id


def add_episodes(corpus: Corpus, episodes: Iterable[Episode], part_name: str = "added") -> Receipt:
    """Commit episodes of one dataset as one part; a part of that name that is in the corpus already stays as it is."""
    listed = list(episodes)
    datasets = {episode.dataset for episode in listed}
    if len(datasets) != 1:
        raise CorpusError(f"a part holds episodes of one dataset, found {len(datasets)}: {', '.join(sorted(datasets))}")
    dataset = datasets.pop()
    embodiments = {e.embodiment: {"name": e.embodiment, "kind": e.kind, "control_hz": e.control_hz} for e in listed}
    first = listed[0]
    about = {"name": dataset, "kind": first.kind, "embodiment": first.embodiment, "licence": first.licence}
    part = Part(
        dataset=dataset,
        name=part_name,
        uri=first.source_uri,
        num_bytes=sum(len(jpeg) for e in listed for frames in e.cameras.values() for jpeg in frames.jpegs),
        fingerprint=stable_id(*(e.episode_id for e in listed)),
    )
    staging = Staging(
        corpus=corpus.uri,
        run_id=new_run_id(),
        dataset_ids=register(corpus.uri, "datasets", [about]),
        embodiment_ids=register(corpus.uri, "embodiments", [embodiments[name] for name in sorted(embodiments)]),
    )
    receipt = stage_part(part, listed, staging)
    append_run(corpus.uri, {"run_id": staging.run_id, "command": "add", "counts": {"episodes": receipt.num_episodes}})
    Committer(corpus.uri, staging.run_id).commit([receipt])
    corpus.refresh()
    return receipt
