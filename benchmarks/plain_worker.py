"""A worker of `villa ingest` without an engine around it: for benchmarks that measure the work, or the engine."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from dataengine.episode import Part
from dataengine.protocols import Source
from dataengine.runners.attempts import Limits
from dataengine.runners.worker import read_part
from dataengine.store import Corpus, Staging
from dataengine.store.commit.receipts import Receipt
from dataengine.store.registry import register

RUN_ID = "bench"


def staged(source: Source, parts: Iterable[Part], corpus_uri: str | Path) -> Iterator[Receipt]:
    """Read parts one after another and stage them in a corpus, as any engine's workers do."""
    corpus = Corpus.open_or_create(corpus_uri)
    staging = Staging(
        corpus=corpus.uri,
        run_id=RUN_ID,
        dataset_ids=register(corpus.uri, "datasets", [{"name": source.name}]),
        embodiment_ids=register(corpus.uri, "embodiments", [{"name": source.embodiment}]),
    )
    for part in parts:
        receipt = read_part(source, part, staging, 1, Limits().stall_s)
        assert isinstance(receipt, Receipt) and not receipt.rejects, receipt
        yield receipt
