from pathlib import Path

from dataengine.episode import Reject
from tests.support.openx_case import case_of, is_close, read_all, read_one
from tests.support.openx_writer import write_openx


def test_a_pose_that_the_recorder_missed_holds_the_last_one_and_is_noted(tmp_path: Path) -> None:
    case = case_of("viola")
    matrices = case.steps["observation"]["ee_states"]
    matrices[[0, 3, 4]] = 0
    episode = read_one("viola", tmp_path, case)
    is_close(episode.state[:, :6], *(part[[1, 1, 2, 2, 2, 5]] for part in case.state[:2]))
    assert episode.notes["missing_pose"] == "the last one is held"
    is_close(episode.raw_state[:, :16], matrices)


def test_an_episode_without_any_pose_is_rejected(tmp_path: Path) -> None:
    case = case_of("viola")
    case.steps["observation"]["ee_states"][:] = 0
    (reject,) = read_all("viola", write_openx(tmp_path, "viola", case.steps))
    assert isinstance(reject, Reject)
    assert reject.reason == "[0.0, 0.0, 0.0, 0.0] ends a pose's matrix, expected 0 0 0 1"
