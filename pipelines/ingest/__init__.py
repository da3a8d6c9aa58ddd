"""Raw recordings into the corpus."""

from pipelines.ingest.config import DatasetConfig, EngineConfig, IngestConfig
from pipelines.ingest.ingest import run
from pipelines.ingest.report import IngestReport

__all__ = ["DatasetConfig", "EngineConfig", "IngestConfig", "IngestReport", "run"]
