from pathlib import Path

import pytest

from dataengine.episode import Reject
from tests.support.openx_case import case_of, is_close, read_all, read_one
from tests.support.openx_writer import write_openx

NAME = "austin_sirius_dataset_converted_externally_to_rlds"


@pytest.mark.parametrize("by_column", [True, False])
def test_the_pose_is_read_from_a_matrix_by_row_or_by_column(tmp_path: Path, by_column: bool) -> None:
    case = case_of(NAME, by_column=by_column)
    is_close(read_one(NAME, tmp_path, case).state, *case.state)


def test_a_matrix_that_is_none_is_rejected(tmp_path: Path) -> None:
    steps = case_of(NAME).steps
    steps["observation"]["state_ee"][:] = 1
    (reject,) = read_all(NAME, write_openx(tmp_path, "austin_sirius", steps))
    assert isinstance(reject, Reject)
    assert reject.reason == "[1.0, 1.0, 1.0, 1.0] ends a pose's matrix, expected 0 0 0 1"
