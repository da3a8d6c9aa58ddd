from pathlib import Path

from tests.support.openx_case import case_of, is_close, read_one
from tests.support.openx_values import TEAL, patch


def test_a_second_camera_is_read_where_there_is_one_and_the_first_step_on_demand(tmp_path: Path) -> None:
    case = case_of("bridge")
    case.steps["observation"]["image_1"] = patch(TEAL)
    episode = read_one("bridge", tmp_path, case, keep_first_step=True)
    assert sorted(episode.cameras) == ["primary", "secondary"]
    is_close(episode.raw_state, case.steps["observation"]["state"][:-1])
