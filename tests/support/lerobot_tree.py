"""Reads and changes the LeRobot trees that `lerobot_writer` writes."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataengine import catalog
from tests.support import lerobot_writer as lr


def source_of(root, **options):
    return pickle.loads(pickle.dumps(catalog.source("lerobot")(str(root), **options)))


def read_all(root, **options):
    source = source_of(root, **options)
    return [outcome for part in source.parts() for outcome in source.read(part)]


def change_info(root, **changes):
    path = root / "meta/info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_features(root, **changes):
    features = json.loads((root / "meta/info.json").read_text())["features"]
    change_info(root, features={**features, **{key.replace("__", "."): value for key, value in changes.items()}})


def with_columns(root, columns, **about):
    """Put other columns in place of state and action into a dataset of v2.1: name to (episode, step) -> values."""
    features = json.loads((root / "meta/info.json").read_text())["features"]
    kept = {key: value for key, value in features.items() if key not in ("observation.state", "action")}
    made = {key: values_of(1, 2) for key, values_of in columns.items()}
    declared = {
        key: {"dtype": "float32", "shape": list(np.shape(first)), "names": None, **about.get(key, {})}
        for key, first in made.items()
    }
    change_info(root, features={**declared, **kept})
    for i, length in enumerate(lr.LENGTHS):
        path = root / f"data/chunk-000/episode_{i:06d}.parquet"
        table = pq.read_table(path).drop_columns(["observation.state", "action"])
        for key, values_of in columns.items():
            values = [np.asarray(values_of(i, k), np.float32).tolist() for k in range(length)]
            table = table.append_column(key, pa.array(values))
        pq.write_table(table, path)
    return root


def coded(code, width):
    """Values that tell their column, episode, step and place."""
    return lambda episode, k: [code * 1000 + episode * 100 + k + i / 16 for i in range(width)]


def values_at(episode, k, *pieces):
    return [code * 1000 + episode * 100 + k + i / 16 for code, indices in pieces for i in indices]
