"""A policy that does not fit the simulator is refused before a score is printed, with what to do about it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.contract import Expectation, Vector, expected_by_server, offered_by, stated_mismatches
from pipelines.evaluation.evaluate import run
from pipelines.evaluation.simulators._base import simulator_class
from tests.support.fitting import change, fitting_policy

LINE = "tests.support.line_simulators:Line"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return fitting_policy(tmp_path / "act")


def evaluate(policy: Path, tmp_path: Path, simulator: str = LINE, **settings: Any):
    given = {"tasks": ("forward",), "episodes": 2, "processes": 1, "num_filmstrips": 0, "device": "cpu"}
    return run(EvalConfig(policy=str(policy), simulator=simulator, out=tmp_path / "eval", **(given | settings)))


@pytest.mark.slow
def test_a_policy_that_fits_is_played(policy: Path, tmp_path: Path) -> None:
    assert evaluate(policy, tmp_path).episodes == 2


SIDE = ("statistics", "sawyer")
FAULTS = {
    "rate": (("bodies", "sawyer", "control_hz"), 5.0, "has 5 actions in a second, line 20"),
    "encoding of actions": ((*SIDE, "action", "encoding"), "joint_delta", "the policy's action is joint_delta"),
    "rotations are joints": ((*SIDE, "state", "encoding"), "joint_position", "the policy's state is joint_position"),
    "units": ((*SIDE, "state", "units"), ["millimetres"] * 3 + ["radians"] * 3 + ["opening"], "is in millimetres"),
    "gripper": ((*SIDE, "action", "grippers"), [], "has grippers at none, that of line at 6"),
    "unscaled actions": ((*SIDE, "action", "q99"), [1.0] * 7, "common motions reach 1 a step"),
    "another frame": ((*SIDE, "state", "q01"), [0.8] * 7, "of the state starts at"),
}
PLAYED = {"unscaled actions", "another frame"}
"""What only the simulator itself shows."""


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [pytest.param(*fault, id=name, marks=[pytest.mark.slow] * (name in PLAYED)) for name, fault in FAULTS.items()],
)
def test_what_differs_is_refused_in_one_line(
    policy: Path, tmp_path: Path, keys: tuple[str, ...], value: Any, message: str
) -> None:
    change(policy, *keys, to=value)
    with pytest.raises(DataEngineError) as caught:
        evaluate(policy, tmp_path)
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    assert "--accept" in said
    assert not list(tmp_path.glob("eval/results/*.json")), "no score"


@pytest.mark.slow
def test_a_camera_that_the_simulator_has_not_is_refused(tmp_path: Path) -> None:
    policy = fitting_policy(tmp_path / "wrist", wrist=True)
    change(policy, "bodies", "sawyer", "cameras", to=["primary", "wrist"])
    with pytest.raises(DataEngineError, match="the policy reads camera wrist, line has primary: train without it"):
        evaluate(policy, tmp_path)


@pytest.mark.slow
def test_a_difference_may_be_accepted(policy: Path, tmp_path: Path) -> None:
    change(policy, "bodies", "sawyer", "control_hz", to=5.0)
    assert evaluate(policy, tmp_path, accept=("rate",)).episodes == 2


def test_a_state_of_another_size_is_refused(policy: Path, tmp_path: Path) -> None:
    for name in ("mean", "std", "min", "max", "q01", "q99"):
        change(policy, *SIDE, "state", name, to=[0.1] * 8)
    for name in ("names", "units"):
        change(policy, *SIDE, "state", name, to=["unknown"] * 8)
    with pytest.raises(DataEngineError, match="the policy's state has 8 numbers, that of line 7"):
        evaluate(policy, tmp_path)


def test_a_checkpoint_without_statistics_is_refused(policy: Path, tmp_path: Path) -> None:
    change(policy, "statistics", to={})
    with pytest.raises(DataEngineError, match="no statistics of 'sawyer', without which its actions have no scale"):
        evaluate(policy, tmp_path)


def test_the_simulators_side_is_derived_from_the_source_that_reads_its_recordings() -> None:
    for name in ("metaworld", "fetch"):
        state, action = offered_by(simulator_class(name))
        assert state is not None and action is not None
        assert (state.dim, state.encoding, state.units[0], state.grippers) == (7, "eef_pose", "metres", (6,))
        assert (action.dim, action.encoding, action.units[3]) == (7, "eef_delta", "radians")
    assert offered_by(simulator_class("lift"))[1].encoding == "eef_delta"  # type: ignore[union-attr]


def test_a_servers_policy_is_asked_the_same() -> None:
    facts = {"dataset": "d", "rate_hz": 20.0, "state_dim": 7, "state_encoding": "eef_pose", "action_dim": 7}
    facts |= {"action_low": np.zeros(7).tolist(), "action_high": np.ones(7).tolist()}
    metadata = {"embodiments": {"sawyer": facts}, "cameras": ["image", "wrist"]}
    expected = expected_by_server("ws://h:1", metadata, "sawyer")
    assert (expected.rate_hz, expected.state.dim, expected.cameras) == (20.0, 7, {"primary", "wrist"})
    with pytest.raises(DataEngineError, match="ws://h:1: serves sawyer, expected 'fetch'"):
        expected_by_server("ws://h:1", metadata, "fetch")


def test_grippers_of_a_simulator_that_says_no_more_than_its_encoding_are_where_they_usually_are() -> None:
    lift = simulator_class("lift")
    state, action = (Vector(7, encoding, grippers=(6,)) for encoding in ("eef_pose", "eef_delta"))
    expected = Expectation("policy", "lerobot/lift", 20.0, state, action, None)
    assert [*stated_mismatches(expected, lift)] == []
    (mismatch,) = stated_mismatches(replace(expected, action=replace(action, grippers=())), lift)
    assert "has grippers at none, that of lift at 6" in mismatch.said
