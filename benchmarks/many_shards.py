"""Makes a large RLDS folder out of a small one: the same shard under many names, by hard links, in no time."""

import json
import os
import shutil
from pathlib import Path


def multiply(folder: Path, target: Path, count: int) -> Path:
    """Write to `place` a dataset of `count` shards, each of them the only one of `folder`."""
    info = json.loads((folder / "dataset_info.json").read_text())
    (split,) = info["splits"]
    (length,), (shard,) = split["shardLengths"], folder.glob("*.tfrecord*")
    split["shardLengths"] = [length] * count
    split["numBytes"] = str(int(split["numBytes"]) * count)
    target.mkdir(parents=True)
    (target / "dataset_info.json").write_text(json.dumps(info))
    shutil.copy(folder / "features.json", target)
    for number in range(count):
        os.link(shard, target / f"{info['name']}-{split['name']}.tfrecord-{number:05d}-of-{count:05d}")
    return target
