"""AgiBot World's numbers in other units, and commands of few steps: the right value or a reject, never a wrong one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from tests.support.agibot_tree import TASK, Arrays, N, proprio, write_h5, write_tree

CLOSING = np.linspace(0, 1, N)[:, None].repeat(2, axis=1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agibot") / "world"
    write_tree(root, TASK, ["648642"])
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "world"))


def read(root: Path, edit: Callable[[Arrays], None]) -> Episode | Reject:
    arrays = proprio(0)
    edit(arrays)
    write_h5(root, "648642", arrays)
    source = catalog.source("agibot")(str(root), frame_size=64)
    (outcome,) = [outcome for part in source.parts() for outcome in source.read(part)]
    return outcome


def scaled(key: str, factor: float) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({key: arrays[key] * factor})


@pytest.mark.parametrize(("key", "unit_ns", "apart"), [("ms", 10**6, 33), ("us", 10**3, 33_333)])
def test_a_clock_in_another_unit_gives_way_to_the_nominal_rate(root: Path, key: str, unit_ns: int, apart: int) -> None:
    episode = read(root, lambda arrays: arrays.update(timestamp=arrays["timestamp"] // unit_ns))
    assert episode.time_ns[:3].tolist() == [0, 33_333_333, 66_666_667]
    assert episode.notes["clock"] == f"timestamps are {apart} ns apart, expected about 33333333; nominal rate taken"


def test_a_gap_in_the_clock_stays(root: Path) -> None:
    hour_ns = 3600 * 10**9
    episode = read(root, lambda arrays: arrays.update(timestamp=arrays["timestamp"] + hour_ns * (np.arange(N) > 5)))
    assert np.diff(episode.time_ns).argmax() == 5
    assert "clock" not in episode.notes


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (scaled("state/effector/position", 10), "'state/effector/position' runs from 50 to 1150, expected 0 to 120 mm"),
        (scaled("action/effector/position", 255), "'action/effector/position' runs from 0 to 255, expected 0 open"),
        (scaled("state/end/position", 1000), "state/end/position[0] lies"),
        (scaled("state/end/orientation", 100), "state/end/orientation[0] is no rotation: norm 100, expected 1"),
    ],
)
def test_numbers_far_beyond_their_range_are_in_another_unit(
    root: Path, edit: Callable[[Arrays], None], reason: str
) -> None:
    outcome = read(root, edit)
    assert isinstance(outcome, Reject)
    assert outcome.reason.startswith(reason)


def test_grippers_that_hardly_open_may_be_shares_and_are_told_as_doubtful(root: Path) -> None:
    assert "shares of 120 mm" in read(root, scaled("state/effector/position", 1 / 120)).notes["gripper_doubt"]
    assert "gripper_doubt" not in read(root, lambda arrays: None).notes


def test_an_index_that_is_no_whole_number_places_no_command(root: Path) -> None:
    def edit(arrays: Arrays) -> None:
        arrays["action/effector/position"] = np.ones((2, 2))
        arrays["action/effector/index"] = np.array([3.0, 5.5])

    outcome = read(root, edit)
    assert isinstance(outcome, Reject)
    assert outcome.reason == "action/effector/index holds 5.5, expected whole numbers"


@pytest.mark.parametrize(("reading", "polarity"), [(120 * (1 - CLOSING), "open"), (120 * CLOSING, "closed")])
def test_polarity_follows_the_commands_that_were_sent_not_the_state_that_stands_in_between(
    root: Path, reading: np.ndarray, polarity: str
) -> None:
    """Every other step has a command, 0.05 ahead of the gripper; between them the gripper itself stands."""

    def edit(arrays: Arrays) -> None:
        arrays["state/effector/position"] = reading
        arrays["action/effector/position"] = np.minimum(CLOSING[::2] + 0.05, 1)
        arrays["action/effector/index"] = np.arange(0, N, 2)

    episode = read(root, edit)
    assert episode.notes["gripper_polarity"] == f"larger is {polarity}"
    np.testing.assert_allclose(episode.state[:, 6], 1 - CLOSING[:, 0], atol=1e-6)
    expected = 1 - CLOSING[:, 0]
    expected[::2] = np.maximum(expected[::2] - 0.05, 0)
    np.testing.assert_allclose(episode.action[:, 6], expected, atol=1e-6)
    np.testing.assert_allclose(episode.raw_action[:, 14], 1 - expected, atol=1e-6)
