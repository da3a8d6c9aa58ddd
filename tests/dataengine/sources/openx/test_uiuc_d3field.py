from pathlib import Path

import numpy as np

from dataengine.episode import Reject
from tests.support.openx_case import case_of, read_all
from tests.support.openx_values import T
from tests.support.openx_writer import write_openx


def test_a_pose_that_is_no_matrix_costs_its_episode(tmp_path: Path) -> None:
    good, bad = (case_of("uiuc_d3field").steps for _ in range(2))
    bad["observation"]["state"] = np.zeros((T, 4, 4), np.float32)
    outcomes = read_all("uiuc_d3field", write_openx(tmp_path, "uiuc_d3field", [good, bad]))
    assert sorted(type(f).__name__ for f in outcomes) == ["Episode", "Reject"]
    assert ["expected 0 0 0 1" in f.reason for f in outcomes if isinstance(f, Reject)] == [True]
