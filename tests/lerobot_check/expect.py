"""What `check.py` must find in an exported dataset: read out of the corpus, by our python.

python expect.py CORPUS DATASET EXPECTED.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dataengine import texts
from dataengine.store import Corpus

COLUMNS = {"state": "observation.state", "action": "action", "raw_state": "source.state", "raw_action": "source.action"}


def expected(corpus: str, dataset: str) -> dict[str, np.ndarray]:
    """Episodes in the order of the dataset."""
    opened, values = Corpus.open(corpus), {}
    files = sorted(Path(dataset).glob("meta/episodes/*/*.parquet"))
    said = json.loads(Path(dataset, "meta/villa.json").read_text(encoding="utf-8"))
    ids = [name for file in files for name in pq.read_table(file)["source/episode_id"].to_pylist()]
    for i, name in enumerate(ids):
        episode = opened.episode(name)
        values |= {
            f"{i}/{column}": getattr(episode, vector)
            for vector, column in COLUMNS.items()
            if getattr(episode, vector) is not None
        }
        values[f"{i}/source.time_ns"] = episode.time_ns
        values[f"{i}/tasks"] = np.array(texts.narrowest(episode.texts, episode.num_steps))
        steps = episode.num_steps
        for slot in episode.cameras:
            values[f"{i}/{said[f'camera_{slot}']}"] = episode.frames(slot, [0, steps // 2, steps - 1])
    return values


if __name__ == "__main__":
    np.savez(sys.argv[3], **expected(sys.argv[1], sys.argv[2]))
