"""Twenty-one sets of Open X-Embodiment: what a real tfds builder wrote in a published schema, in house units."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.camera_names import CAMERA_NOTES
from dataengine.episode import Episode, Reject
from dataengine.sources.openx import _target
from tests.support import openx_more as cases
from tests.support.openx_more import RLDS, SETS, Case, T
from tests.support.openx_writer import write_openx

Read = Callable[[str], tuple[Case, Episode]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Write an episode of a set and read it, once."""

    @cache
    def read_one(name: str) -> tuple[Case, Episode]:
        case = SETS[name][0]()
        root = write_openx(tmp_path_factory.mktemp("openx"), name, case.steps, episode=case.beside)
        (episode,) = read_all(name, root)
        assert isinstance(episode, Episode), episode
        return case, episode

    return read_one


def read_all(name: str, root: Path, **options: Any) -> list[Episode | Reject]:
    source = catalog.source(f"openx/{name}")(str(root), **options)
    return [found for part in source.parts() for found in source.read(part)]


def is_close(found: np.ndarray, expected: tuple[Any, ...]) -> None:
    side_by_side = np.concatenate([np.reshape(part, (len(found), -1)) for part in expected], axis=1)
    np.testing.assert_allclose(found, side_by_side, atol=5e-6)


def flat(values: Any, prefix: str = "") -> dict[str, np.ndarray]:
    if isinstance(values, Mapping):
        return {key: a for name, value in values.items() for key, a in flat(value, f"{prefix}{name}/").items()}
    return {prefix[:-1]: values} if isinstance(values, np.ndarray) else {}


@pytest.mark.parametrize("name", SETS)
def test_published_values_become_house_units(name: str, read: Read) -> None:
    case, episode = read(name)
    if case.state:
        is_close(episode.state, case.state)
    else:
        assert (episode.state, episode.raw_state) == (None, None)
    is_close(episode.action, case.action)


@pytest.mark.parametrize("name", SETS)
def test_the_publishers_numbers_are_kept(name: str, read: Read) -> None:
    case, episode = read(name)
    widths = [0 if raw is None else raw.shape[1] for raw in (episode.raw_state, episode.raw_action)]
    assert widths == [*SETS[name][2:4]]
    whole = flat(case.steps)
    keys = catalog.source(f"openx/{name}").keys
    rows = slice(case.first, case.first + episode.num_steps)
    for start, raw in (("observation", episode.raw_state), ("action", episode.raw_action)):
        for key in (key for key in keys if key.startswith(start)):
            for column in whole[key].reshape(T, -1)[rows].T:
                assert (raw == column.astype(np.float32)[:, None]).all(axis=0).any(), key


@pytest.mark.parametrize("name", SETS)
def test_every_camera_is_in_its_slot(name: str, read: Read) -> None:
    case, episode = read(name)
    assert sorted(episode.cameras) == sorted(case.cameras)
    for slot, colour in case.cameras.items():
        assert len(episode.cameras[slot].jpegs) == episode.num_steps
        assert np.abs(simplejpeg.decode_jpeg(episode.cameras[slot].jpegs[-1]).mean((0, 1)) - colour).max() < 4


@pytest.mark.parametrize("name", SETS)
def test_a_body_of_one_name_has_one_layout(name: str, read: Read) -> None:
    case, episode = read(name)
    _, control_hz, _, _, embodiment, layout = SETS[name]
    state_width = 0 if episode.state is None else episode.state.shape[1]
    found = f"{episode.state_encoding} {state_width} {episode.action_encoding} {episode.action.shape[1]}"
    assert (episode.embodiment, found, episode.control_hz) == (embodiment, layout, control_hz)
    plain = embodiment.removesuffix("_unscaled") in {"franka", "widowx", "xarm", "kuka_iiwa"}
    assert plain == (layout == "eef_pose 7 eef_delta 7")
    steps = case.steps
    assert episode.instruction == [
        steps.get("language_instruction") or steps["observation"]["natural_language_instruction"]
    ]


def test_bridge_reads_a_second_camera_where_there_is_one_and_the_first_step_on_demand(tmp_path: Path) -> None:
    steps = cases.bridge().steps
    steps["observation"]["image_1"] = cases.patch(cases.TEAL)
    (episode,) = read_all("bridge", write_openx(tmp_path, "bridge", steps), keep_first_step=True)
    assert sorted(episode.cameras) == ["primary", "secondary"]
    is_close(episode.raw_state, (steps["observation"]["state"][:-1],))


def test_ucsd_leaves_failures_out_unless_told_otherwise(tmp_path: Path) -> None:
    name = f"ucsd_pick_and_place_dataset{RLDS}"
    pair = [cases.ucsd_pick(), cases.ucsd_pick(success=False)]
    root = write_openx(tmp_path, name, [c.steps for c in pair], episode=[c.beside for c in pair])
    (reject,) = [found for found in read_all(name, root) if isinstance(found, Reject)]
    assert (reject.error, reject.reason) == (
        "FilteredRecordError",
        "the attempt failed (episode_metadata/success is false)",
    )
    assert [type(found) for found in read_all(name, root, keep_failures=True)] == [Episode, Episode]


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("viola", {"gripper_polarity": "+1 closes (by the width)"}),
        (f"utokyo_pr2_opening_fridge{RLDS}", {"action_reads_as": "pose"}),
        (f"stanford_kuka_multimodal_dataset{RLDS}", {"action_reads_as": "neither"}),
    ],
)
def test_what_was_decided_is_noted_beside_what_is_doubtful(name: str, notes: dict[str, str], read: Read) -> None:
    _, episode = read(name)
    assert {key: value for key, value in episode.notes.items() if key not in ("doubt", *CAMERA_NOTES)} == notes
    assert episode.notes["doubt"]


def test_a_target_near_the_robot_is_a_pose_and_one_near_zero_a_motion() -> None:
    reached = np.linspace([0.4, 0.1, 0.2], [0.5, 0.0, 0.3], T)
    assert _target.reads_as(reached + 0.02, reached) == "pose"
    assert _target.reads_as(np.gradient(reached, axis=0), reached) == "motion"
    assert _target.reads_as(-reached, reached) == "neither"


def test_a_pose_that_the_recorder_missed_holds_the_last_one_and_is_noted(tmp_path: Path) -> None:
    case = cases.viola()
    matrices = case.steps["observation"]["ee_states"]
    matrices[[0, 3, 4]] = 0
    (episode,) = read_all("viola", write_openx(tmp_path, "viola", case.steps))
    is_close(episode.state[:, :6], tuple(part[[1, 1, 2, 2, 2, 5]] for part in case.state[:2]))
    assert episode.notes["missing_pose"] == "the last one is held"
    is_close(episode.raw_state[:, :16], (matrices,))


def test_an_episode_without_any_pose_is_rejected(tmp_path: Path) -> None:
    case = cases.viola()
    case.steps["observation"]["ee_states"][:] = 0
    (reject,) = read_all("viola", write_openx(tmp_path, "viola", case.steps))
    assert isinstance(reject, Reject)
    assert reject.reason == "[0.0, 0.0, 0.0, 0.0] ends a pose's matrix, expected 0 0 0 1"
