"""Which clips a source of human video would give, and why not others, before a night of decoding."""

from pipelines.clips.look import ClipsConfig, run
from pipelines.clips.report import ClipsReport

__all__ = ["ClipsConfig", "ClipsReport", "run"]
