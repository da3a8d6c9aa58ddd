"""Parts staged, and not yet committed."""

from dataengine.episode import Part, Reject
from dataengine.store import Corpus, Staging, stage_part
from dataengine.store.commit.receipts import Receipt
from tests.support.npz_source import make_episode


def make_part(name: str) -> Part:
    return Part(dataset="npz", name=name, uri=name, num_bytes=1, fingerprint=f"of {name}")


def stage(corpus: Corpus, name: str, *others: Reject) -> Receipt:
    """Stage a part of two episodes, as some worker would."""
    staging = Staging(corpus=corpus.uri, run_id="run", dataset_ids={"npz": 1}, embodiment_ids={"arm": 1})
    corpus.append_run({"run_id": "run", "command": "ingest"})
    episodes = [make_episode(f"{name}/{i}", steps=2) for i in range(2)]
    return stage_part(make_part(name), [*episodes, *others], staging)
