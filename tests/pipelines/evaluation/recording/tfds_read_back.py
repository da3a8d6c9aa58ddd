"""Writes kept attempts as RLDS and prints what TFDS reads back, as JSON.

A program and not a function: tensorflow must not come into a process in which other tests draw.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from pipelines.evaluation.recording import rlds


def read_back(folder: Path, has_wrist: bool) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    cameras = ["image", "wrist_image"] if has_wrist else ["image"]
    skip = {"steps": {"observation": {camera: tfds.decode.SkipDecoding() for camera in cameras}}}
    episodes = {}
    for episode in builder.as_dataset(split="train", decoders=skip):
        about = {key: value.numpy() for key, value in episode["episode_metadata"].items()}
        steps = list(episode["steps"].as_numpy_iterator())
        episodes[int(about["seed"])] = {
            "steps": [_plain(step) for step in steps],
            "task": about["task"].decode(),
            "success": bool(about["success"]),
        }
    info = builder.info
    shards = info.splits["train"].num_shards
    return {"name": info.name, "version": str(info.version), "shards": shards, "episodes": episodes}


def _plain(value: Any) -> Any:
    """Make numbers of arrays, text of bytes, and a digest of pictures."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest() if value[:2] == b"\xff\xd8" else value.decode()
    return value.tolist()


if __name__ == "__main__":
    out = Path(sys.argv[1])
    folders = {
        "metaworld": rlds.write_metaworld(sorted(out.glob("metaworld-*.npz")), out / "rlds", num_shards=2),
        "fetch": rlds.write_fetch(sorted(out.glob("fetch-*.npz")), out / "rlds", num_shards=2),
        "lift": rlds.write_lift("panda", sorted(out.glob("lift-*.npz")), out / "rlds", num_shards=2),
    }
    print(json.dumps({kind: read_back(folder, kind == "fetch") for kind, folder in folders.items()}))  # noqa: T201
