"""Raw recordings, as the corpus knows them: by their parts, each with its fingerprint."""

from typing import Any

from dataengine.digest import hex_digest
from pipelines.ingest import engine, jobs
from pipelines.ingest import plan as ingest_plan
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.jobs import Job


def raw_parts(config: Any) -> tuple[str, int]:
    """Give the identity of what an ingest reads, and how many parts of it the corpus lacks.

    Raise DataEngineError where it cannot be read, or not into this corpus.
    """
    listed = _jobs(config)
    texts = sorted(f"{part_id} {part.fingerprint}" for job in listed for part_id, part in job.parts.items())
    return hex_digest("\n".join(texts)), sum(len(parts) for parts in engine.left_to_do(config, listed))


def _jobs(config: Any) -> list[Job]:
    if isinstance(config, IngestConfig):
        return [jobs.plan(config)]
    return ingest_plan.jobs_of(ingest_plan.load_plan(config.plan, config.data), skip_missing=config.skip_missing)[0]
