"""Statistics of the kept episodes."""

from pipelines.stats.stats import StatsConfig, run

__all__ = ["StatsConfig", "run"]
