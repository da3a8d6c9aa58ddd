"""One dataset of every feature kind, written once by tfds."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.all_kinds import LENGTHS, all_kinds, episode
from tests.support.rlds_writer import write


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    records = [episode(rng, n, i) for i, n in enumerate(LENGTHS)]
    splits = {"train": records, "val": [episode(rng, n, n) for n in (2, 9)]}
    return write(tmp_path_factory.mktemp("rlds"), "all_kinds", all_kinds(), splits, num_shards=2)
