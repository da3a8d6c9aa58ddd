"""From a corpus, or a model, to formats that others' tools load."""

from pipelines.export.lerobot import ExportConfig, run

__all__ = ["ExportConfig", "run"]
