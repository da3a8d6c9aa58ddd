"""Every convention that goes wrong trips a calibration, also those that success alone does not show."""

import numpy as np
import pytest

from pipelines.evaluation.calibrate import golden
from pipelines.evaluation.calibrate.calibrate import faults_of, state_layout
from pipelines.evaluation.calibrate.config import CalibrateConfig
from pipelines.evaluation.calibrate.rollout import record, replay
from tests.support.apart import apart
from tests.support.simulator_faults import MOVES, SIGHTS, TURNS, Fault, Turning

BOUNDS = CalibrateConfig(simulator="metaworld")


def faults(simulator, rollout) -> list[str]:
    return faults_of(replay(simulator, rollout, state_layout(type(simulator), rollout)), BOUNDS)


@pytest.fixture(scope="module")
def rollout():
    return record(Turning("forward"), "forward", 3)


def test_a_sound_simulator_repeats_its_rollouts(rollout) -> None:
    simulator = Turning("forward")
    assert [faults(simulator, rollout) for _ in range(2)] == [[], []]


@pytest.mark.parametrize(("fault", "message"), [*(MOVES | SIGHTS | TURNS).values()], ids=[*MOVES, *SIGHTS, *TURNS])
def test_a_fault_trips_it(rollout, fault: Fault, message: str) -> None:
    simulator = Turning("forward")
    fault(simulator)
    assert message in " ".join(faults(simulator, rollout))


def test_a_camera_that_is_gone_trips_it(rollout) -> None:
    looks = {**rollout.looks, "wrist": {0: np.zeros((16, 16, 3), np.float32)}}
    with_wrist = type(rollout)(**{**vars(rollout), "looks": looks})
    assert "the simulator has no camera wrist" in " ".join(faults(Turning("forward"), with_wrist))


class ToEnd(Turning):
    """Counts what is solved when the last step is over; its expert passes the goal and does not stay."""

    plays_to_end = True


def test_where_success_ends_no_episode_all_steps_are_repeated_and_the_last_one_counts() -> None:
    whole = record(ToEnd("forward"), "forward", 3)
    assert (len(whole.actions), whole.success_step) == (ToEnd.max_steps, -1)
    assert faults(ToEnd("forward"), whole) == []
    stayed = type(whole)(**{**vars(whole), "success_step": len(whole.actions)})
    assert "the task was never done" in " ".join(faults(ToEnd("forward"), stayed))


@pytest.mark.slow
@apart
def test_what_comes_with_metaworld_is_repeated_and_trips_at_every_fault() -> None:
    from pipelines.evaluation.simulators import _camera, metaworld

    rollouts, _ = golden.load(golden.shipped("metaworld"))
    rollout = next(one for one in rollouts if one.task == "window-close")
    assert faults(metaworld.Metaworld("window-close"), rollout) == []
    for name, (fault, message) in (MOVES | SIGHTS).items():
        simulator = metaworld.Metaworld("window-close")
        fault(simulator)
        assert message in " ".join(faults(simulator, rollout)), name
    moved = metaworld.Metaworld("window-close")
    moved._view = _camera.free_camera((0.0, 0.68, 0.12), distance=1.05, azimuth=-52.0, elevation=-38.0)
    assert "pictures of camera primary differ" in " ".join(faults(moved, rollout)), "a camera turned by two degrees"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metaworld, "SUBSTEPS", 3)
        assert "the hand strays" in " ".join(faults(metaworld.Metaworld("window-close"), rollout)), "another rate"
