"""Raw recordings into the corpus: plan parts, stage them side by side, commit each exactly once."""

from pipelines.ingest import engine, jobs
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.report import IngestReport


def run(config: IngestConfig) -> IngestReport:
    """Read every part that the corpus lacks, and commit each exactly once; raise when any is unaccounted for."""
    job = jobs.plan(config)
    report = job.report
    report.corpus = config.corpus
    if config.dry_run:
        (todo,) = engine.left_to_do(config, [job])
        report.skipped_parts = len(job.parts) - len(todo)
        report.bytes = sum(part.num_bytes for part in todo)
        report.parts = [part.name for part in todo]
        report.dry_run = True
        return report
    engine.ingest(config, [job], config.model_dump())
    return report
