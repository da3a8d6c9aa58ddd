"""Reads an RLDS folder with tfds and keeps every step as numpy: the oracle for what ingest must have stored.

Run in a process of its own, as tensorflow cannot share one with Mesa's drawing.
"""

import json
import sys
from pathlib import Path

import numpy as np


def flatten(step: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in step.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}/") if isinstance(value, dict) else {name: np.asarray(value)}
    return flat


def main(folder: Path, out: Path) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(folder))
    image = tfds.features.Image
    pictures = [k for k, f in builder.info.features["steps"]["observation"].items() if isinstance(f, image)]
    skip = {"steps": {"observation": {key: tfds.decode.SkipDecoding() for key in pictures}}}
    episodes: list[dict] = []
    arrays = {}
    for split in builder.info.splits:
        decoded = tfds.as_numpy(builder.as_dataset(split=split))
        encoded = tfds.as_numpy(builder.as_dataset(split=split, decoders=skip))
        for episode, as_stored in zip(decoded, encoded, strict=True):
            steps = [flatten(step) for step in episode["steps"]]
            number = len(episodes)
            texts = {
                k: [bytes(s[k].item()).decode() for s in steps] for k in steps[0] if steps[0][k].dtype.kind in "SO"
            }
            episodes.append(texts)
            for key in steps[0]:
                if key not in texts:
                    arrays[f"{number}:{key}"] = np.stack([s[key] for s in steps])
            observations = [step["observation"] for step in as_stored["steps"]]
            for key in pictures:
                joined = b"".join(bytes(o[key]) for o in observations)
                arrays[f"{number}:observation/{key}:bytes"] = np.frombuffer(joined, np.uint8)
    np.savez(out, texts=json.dumps(episodes), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
