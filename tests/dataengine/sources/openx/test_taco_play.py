from pathlib import Path

import numpy as np
import pytest

from tests.support.openx_case import case_of, is_close, read_one
from tests.support.openx_values import CLOSING_M, T


@pytest.mark.parametrize(
    ("before_after", "width_m", "openness", "note"),
    [
        ((1, -1), CLOSING_M, [1, 0, 0, 0, 0, 0], "+1 opens (by the width)"),
        ((-1, 1), CLOSING_M, [1, 0, 0, 0, 0, 0], "+1 closes (by the width)"),
        ((1, 1), np.full(T, 0.02), [0, 0, 0, 0, 0, 0], "+1 closes (assumed)"),
    ],
)
def test_the_width_is_asked_what_the_grippers_command_means(
    tmp_path: Path, before_after: tuple[int, int], width_m: np.ndarray, openness: list[int], note: str
) -> None:
    before, after = before_after
    case = case_of("taco_play", command=np.array([before, *[after] * (T - 1)]), width_m=width_m)
    episode = read_one("taco_play", tmp_path, case)
    assert episode.action[:, 6].tolist() == openness
    np.testing.assert_allclose(episode.state[:, 6], width_m / 0.08, atol=1e-6)
    assert episode.notes["gripper_polarity"] == note
    assert episode.notes["doubt"] == "scale of the motion; order of the angles"


def test_angles_are_read_as_told(tmp_path: Path) -> None:
    case = case_of("taco_play")
    episode = read_one("taco_play", tmp_path, case, angles="roll-pitch-yaw")
    is_close(episode.state[:, :6], case.published("observation/robot_obs")[:, :6])
    is_close(episode.action[:, :6], case.published("action/rel_actions_world")[:, :6])
