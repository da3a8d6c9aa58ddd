import numpy as np

from dataengine.sources.openx import _target


def test_a_target_near_the_robot_is_a_pose_and_one_near_zero_a_motion() -> None:
    reached = np.linspace([0.4, 0.1, 0.2], [0.5, 0.0, 0.3], 6)
    assert _target.reads_as(reached + 0.02, reached) == "pose"
    assert _target.reads_as(np.gradient(reached, axis=0), reached) == "motion"
    assert _target.reads_as(-reached, reached) == "neither"
