"""From a corpus to pre-training shards."""

from pipelines.shard.shard import ShardConfig, run

__all__ = ["ShardConfig", "run"]
