"""Ingests of a few small parts."""

from pathlib import Path

from pipelines.ingest import IngestReport, run
from pipelines.ingest.config import IngestConfig

SOURCE = "tests.support.npz_source:NpzSource"


def ingest(raw: Path, **settings: object) -> IngestReport:
    corpus = settings.pop("corpus", raw.parent / "corpus")
    return run(IngestConfig(source=SOURCE, root=str(raw), corpus=str(corpus), **settings))


def reads(raw: Path) -> list[str]:
    """Every reading of a part so far."""
    return sorted((raw / "reads.log").read_text().split())
