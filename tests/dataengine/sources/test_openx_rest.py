"""Smaller Open X-Embodiment sets, written by tfds in their published schemas: what comes out is computed anew."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support.openx_rest import (
    BARE,
    BLUE,
    CASES,
    LONG,
    PUBLISHED_AS,
    RED,
    WITHOUT_LAST,
    T,
    d3field,
    mask_vit,
    mutex,
    sara,
)
from tests.support.openx_writer import write_openx


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Episode]:
    @cache
    def one(name: str) -> Episode:
        steps, _ = CASES[name][0]()
        beside = {"episode_metadata": {"file_path": "/data/1"}}
        root = write_openx(tmp_path_factory.mktemp("raw"), PUBLISHED_AS.get(name, name), steps, episode=beside)
        source = catalog.source(f"openx/{name}")(str(root))
        (found,) = [found for part in source.parts() for found in source.read(part)]
        assert isinstance(found, Episode), found
        return found

    return one


@pytest.mark.parametrize("name", CASES)
def test_numbers_become_what_the_documentation_says_and_raw_ones_stay(name: str, read: Callable) -> None:
    episode, expected = read(name), CASES[name][0]()[1]
    assert (episode.state is None) == (expected["state"] is None)
    for key in ("state", "action"):
        if expected[key] is not None:
            np.testing.assert_allclose(getattr(episode, key), expected[key], atol=2e-5, err_msg=key)
    for key in ("raw_state", "raw_action"):
        np.testing.assert_array_equal(getattr(episode, key), expected[key], err_msg=key)
    assert episode.instruction == ["do it"]
    assert ("doubt" in episode.notes) == (name not in BARE)


@pytest.mark.parametrize("name", CASES)
def test_an_embodiment_tells_the_layout_and_cameras_are_in_their_slots(name: str, read: Callable) -> None:
    episode = read(name)
    _, slots, rate_hz, encodings, state_width, action_width = CASES[name]
    assert f"{episode.state_encoding} {episode.action_encoding}" == encodings
    assert (0 if episode.state is None else episode.state.shape[1]) == state_width
    num_steps = T - (name in WITHOUT_LAST)
    assert episode.action.shape == (num_steps, action_width)
    assert (sorted(episode.cameras), episode.control_hz) == (sorted(slots.split()), rate_hz)
    plain = "_" not in episode.embodiment.removesuffix("_mate")
    assert plain <= ((encodings, state_width, action_width) == ("eef_pose eef_delta", 7, 7))
    for slot, frames in episode.cameras.items():
        assert len(frames.jpegs) == num_steps
        colour = simplejpeg.decode_jpeg(frames.jpegs[-1])[10, 10].astype(int)
        assert np.abs(colour - (RED if slot == "primary" else BLUE)).max() < 5


def test_one_embodiment_means_one_layout(read: Callable) -> None:
    layouts: dict[str, set] = {}
    for name in CASES:
        layouts.setdefault(read(name).embodiment, set()).add(CASES[name][3:])
    assert {body: found for body, found in layouts.items() if len(found) > 1} == {}


def test_a_gripper_whose_fingers_follow_the_command_decides_its_sense(tmp_path: Path) -> None:
    steps, _ = mutex()
    steps["action"][:, 6] = [1, 1, 1, -1, -1]  # while the width grows, and then shrinks
    source = catalog.source("openx/utaustin_mutex")(str(write_openx(tmp_path, "utaustin_mutex", steps)))
    (episode,) = source.read(source.parts()[0])
    assert episode.action[:, 6].tolist() == [1, 1, 1, 0, 0]


def test_the_dummy_action_at_the_end_is_kept_on_demand(tmp_path: Path) -> None:
    root = write_openx(tmp_path, f"stanford_mask_vit{LONG}", mask_vit()[0])
    source = catalog.source(f"openx/stanford_mask_vit{LONG}")(str(root), keep_last_step=True)
    (episode,) = source.read(source.parts()[0])
    assert (episode.num_steps, len(episode.cameras["primary"].jpegs)) == (T, T)


def test_a_pose_that_is_no_matrix_costs_its_episode(tmp_path: Path) -> None:
    good, bad = d3field()[0], d3field()[0]
    bad["observation"]["state"] = np.zeros((T, 4, 4), np.float32)
    source = catalog.source("openx/uiuc_d3field")(str(write_openx(tmp_path, "uiuc_d3field", [good, bad])))
    found = [found for part in source.parts() for found in source.read(part)]
    assert sorted(type(f).__name__ for f in found) == ["Episode", "Reject"]
    assert ["expected 0 0 0 1" in f.reason for f in found if isinstance(f, Reject)] == [True]


def test_the_folder_of_a_sibling_is_refused(tmp_path: Path) -> None:
    root = write_openx(tmp_path, f"dlr_sara_pour{LONG}", sara(6)[0])
    with pytest.raises(SourceError, match=r"has shape \(6,\); openx/dlr_sara_grid_clamp_.* has 12 numbers there"):
        catalog.source(f"openx/dlr_sara_grid_clamp{LONG}")(str(root)).parts()
