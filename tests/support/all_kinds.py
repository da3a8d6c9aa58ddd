"""A dataset with every feature kind that the RLDS reader claims to read."""

from typing import Any

import numpy as np

LENGTHS = [5, 1, 7, 3]


def all_kinds() -> Any:
    """Every feature that the reader claims to read."""
    import tensorflow_datasets as tfds

    f = tfds.features
    return f.FeaturesDict(
        {
            "steps": f.Dataset(
                {
                    "is_first": f.Tensor(shape=(), dtype=np.bool_),
                    "is_last": np.bool_,
                    "reward": f.Scalar(dtype=np.float32),
                    "discount": f.Scalar(dtype=np.float64),
                    "language_instruction": f.Text(),
                    "action": f.FeaturesDict(
                        {
                            "world_vector": f.Tensor(shape=(3,), dtype=np.float32),
                            "open": f.Tensor(shape=(1,), dtype=np.int32),
                        }
                    ),
                    "observation": f.FeaturesDict(
                        {
                            "jpeg": f.Image(shape=(24, 32, 3), encoding_format="jpeg"),
                            "png": f.Image(shape=(8, 8, 3), encoding_format="png"),
                            "unnamed": f.Image(shape=(8, 8, 3)),
                            "depth16": f.Image(shape=(6, 7, 1), dtype=np.uint16, encoding_format="png"),
                            "depth32": f.Image(shape=(6, 7, 1), dtype=np.float32, encoding_format="png"),
                            "word": np.str_,
                            "words3": f.Tensor(shape=(3,), dtype=np.str_),
                            "label": f.ClassLabel(names=["cup", "box"]),
                            "matrix": f.Tensor(shape=(2, 3), dtype=np.float64),
                            "unsigned": f.Tensor(shape=(2,), dtype=np.uint64),
                            "small": f.Tensor(shape=(4,), dtype=np.uint8),
                            "as_bytes": f.Tensor(shape=(2, 2), dtype=np.float64, encoding="bytes"),
                            "as_zlib": f.Tensor(shape=(5,), dtype=np.int16, encoding="zlib"),
                            "cloud": f.Tensor(shape=(None, 2), dtype=np.float32, encoding="zlib"),
                            "grid": f.Tensor(shape=(None, None), dtype=np.float32, encoding="zlib"),
                            "deep": f.FeaturesDict({"xyz": f.Tensor(shape=(3,), dtype=np.float32)}),
                            "clip/pose": f.Tensor(shape=(2,), dtype=np.float32),
                            "ragged": f.Sequence(np.int64),
                            "tokens": f.Sequence(f.Text()),
                            "crops": f.Sequence(f.Image(shape=(4, 4, 3), encoding_format="png")),
                            "boxes": f.Sequence({"box": f.BBoxFeature(), "score": np.float32}),
                            "nested": f.Sequence(f.Sequence(np.int64)),
                        }
                    ),
                }
            ),
            "episode_metadata": f.FeaturesDict(
                {
                    "file_path": f.Text(),
                    "episode_id": f.Scalar(dtype=np.int64),
                    "success": f.Scalar(dtype=np.bool_),
                    "names": f.Sequence(f.Text()),
                    "table": f.Sequence(f.Tensor(shape=(2,), dtype=np.float32)),
                    "outline": f.Tensor(shape=(None, 2), dtype=np.float32),
                    "maybe": f.Tensor(shape=(), dtype=np.int64, optional=True),
                    "anything": f.Tensor(shape=(None, None), dtype=np.int32, encoding="bytes"),
                    "pair": f.Translation(languages=["en", "fr"]),
                }
            ),
        }
    )


def episode(rng: np.random.Generator, num_steps: int, number: int) -> dict:
    import tensorflow_datasets as tfds

    box = tfds.features.BBox(ymin=0.0, xmin=0.1, ymax=0.5, xmax=0.9)

    def step(i: int) -> dict:
        count = int(rng.integers(0, 4))
        return {
            "is_first": i == 0,
            "is_last": i == num_steps - 1,
            "reward": np.float32(rng.normal()),
            "discount": 1.0,
            "language_instruction": "" if i % 2 else "öffne die Tür",
            "action": {
                "world_vector": rng.normal(size=3).astype(np.float32),
                "open": np.array([-(2**31) + i], dtype=np.int32),
            },
            "observation": {
                "jpeg": rng.integers(0, 256, (24, 32, 3), dtype=np.uint8),
                "png": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
                "unnamed": rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
                "depth16": rng.integers(0, 65536, (6, 7, 1), dtype=np.uint16),
                "depth32": rng.normal(size=(6, 7, 1)).astype(np.float32),
                "word": f"w{i}",
                "words3": np.array(["a", "", f"c{i}"], dtype=object),
                "label": int(rng.integers(0, 2)),
                "matrix": rng.normal(size=(2, 3)),
                "unsigned": np.array([2**64 - 1 - i, i], dtype=np.uint64),
                "small": rng.integers(0, 256, 4, dtype=np.uint8),
                "as_bytes": rng.normal(size=(2, 2)),
                "as_zlib": rng.integers(-30000, 30000, 5, dtype=np.int16),
                "cloud": rng.normal(size=(4 + i, 2)).astype(np.float32),
                "grid": rng.normal(size=(i + 1, 2)).astype(np.float32),
                "deep": {"xyz": rng.normal(size=3).astype(np.float32)},
                "clip/pose": rng.normal(size=2).astype(np.float32),
                "ragged": rng.integers(-9, 9, count),
                "tokens": [f"t{j}" for j in range(count)],
                "crops": [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(count)],
                "boxes": [{"box": box, "score": rng.random()} for _ in range(count)],
                "nested": [list(range(j)) for j in range(count)],
            },
        }

    return {
        "steps": [step(i) for i in range(num_steps)],
        "episode_metadata": {
            "file_path": f"/data/{number}.h5",
            "episode_id": -number,
            "success": number % 2 == 0,
            "names": [f"n{j}" for j in range(number)],
            "table": rng.normal(size=(number, 2)).astype(np.float32),
            "outline": rng.normal(size=(number, 2)).astype(np.float32),
            "maybe": number if number % 2 else None,
            "anything": rng.integers(0, 9, (number, 3), dtype=np.int32),
            "pair": {"en": "cup", "fr": "tasse"},
        },
    }
