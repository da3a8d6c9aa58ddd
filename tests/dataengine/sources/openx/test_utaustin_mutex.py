from pathlib import Path

from tests.support.openx_case import case_of, read_one


def test_a_gripper_whose_fingers_follow_the_command_decides_its_sense(tmp_path: Path) -> None:
    case = case_of("utaustin_mutex")
    case.steps["action"][:, 6] = [1, 1, 1, -1, -1, -1]  # while the width grows, and then shrinks
    episode = read_one("utaustin_mutex", tmp_path, case)
    assert episode.action[:, 6].tolist() == [1, 1, 1, 0, 0, 0]
