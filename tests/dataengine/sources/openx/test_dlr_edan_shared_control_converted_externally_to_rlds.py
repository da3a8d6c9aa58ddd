from pathlib import Path

from tests.support.openx_case import case_of, read_one

NAME = "dlr_edan_shared_control_converted_externally_to_rlds"


def test_what_is_doubtful_and_what_its_camera_is_called_are_noted(tmp_path: Path) -> None:
    episode = read_one(NAME, tmp_path, case_of(NAME))
    assert episode.notes == {"doubt": "polarity of the gripper", "camera_primary": "observation/image"}
