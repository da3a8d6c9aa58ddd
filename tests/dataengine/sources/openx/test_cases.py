"""Every set of Open X-Embodiment as a real tfds builder wrote it in its published schema: what `villa ingest` reads."""

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.camera_names import CAMERA_NOTES
from dataengine.episode import Episode
from dataengine.vector_layout import LAYOUT_NOTES
from tests.support.openx_case import NAMES, Case, case_of, is_close, read_one

Read = Callable[[str], tuple[Case, Episode]]
CANONICAL = "eef_pose 7 eef_delta 7"
MARKS = ("_no_", "_state", "_joint", "_eef_", "_planar", "_yaw_only")
"""What an embodiment's name says of vectors that are laid out otherwise."""
CASES = Path(__file__).parent / "cases"


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Write an episode of a set and read it, once."""

    @cache
    def one(name: str) -> tuple[Case, Episode]:
        case = case_of(name)
        return case, read_one(name, tmp_path_factory.mktemp("openx"), case)

    return one


def test_every_source_has_a_case_of_its_name() -> None:
    cases = {path.stem for path in CASES.glob("[a-z]*.py")}
    assert set(NAMES) - cases == set(), f"sources without a case: write {CASES}/NAME.py like those beside it"
    assert cases - set(NAMES) == set(), "cases of no source"


@pytest.mark.parametrize("name", NAMES)
def test_published_values_become_house_units(name: str, read: Read) -> None:
    case, episode = read(name)
    if case.state:
        is_close(episode.state, *case.state)
    else:
        assert episode.state is None
    is_close(episode.action, *case.action)


@pytest.mark.parametrize("name", NAMES)
def test_the_publishers_numbers_are_kept(name: str, read: Read) -> None:
    case, episode = read(name)
    for raw, keys in ((episode.raw_state, case.raw_state), (episode.raw_action, case.raw_action)):
        if keys:
            kept = np.hstack([case.published(key) for key in keys]).astype(np.float32)
            np.testing.assert_array_equal(raw, kept)
        else:
            assert raw is None


@pytest.mark.parametrize("name", NAMES)
def test_every_camera_is_in_its_slot(name: str, read: Read) -> None:
    case, episode = read(name)
    assert sorted(episode.cameras) == sorted(case.cameras)
    for slot, colour in case.cameras.items():
        frames = episode.cameras[slot].jpegs
        assert len(frames) == episode.num_steps
        for jpeg in (frames[0], frames[-1]):
            assert np.abs(simplejpeg.decode_jpeg(jpeg).mean((0, 1)) - colour).max() < 4, slot


@pytest.mark.parametrize("name", NAMES)
def test_an_embodiments_name_says_what_its_vectors_are(name: str, read: Read) -> None:
    case, episode = read(name)
    assert episode.action is not None
    state_width = 0 if episode.state is None else episode.state.shape[1]
    layout = f"{episode.state_encoding} {state_width} {episode.action_encoding} {episode.action.shape[1]}"
    assert (episode.embodiment, layout) == (case.embodiment, case.layout)
    assert case.embodiment == catalog.source(f"openx/{name}").embodiment
    assert any(mark in case.embodiment for mark in MARKS) == (layout != CANONICAL)
    assert episode.action.dtype == np.float32
    for vector, encoding in ((episode.state, episode.state_encoding), (episode.action, episode.action_encoding)):
        if vector is not None and encoding.startswith("eef") and vector.shape[1] == 7:
            assert ((vector[:, 6] >= 0) & (vector[:, 6] <= 1)).all(), "openness is 0 to 1"


@pytest.mark.parametrize("name", NAMES)
def test_its_rate_its_text_and_what_is_doubtful_are_told(name: str, read: Read) -> None:
    case, episode = read(name)
    assert (episode.control_hz, episode.kind) == (case.control_hz, "robot")
    np.testing.assert_allclose(episode.time_ns, np.arange(episode.num_steps) * 1e9 / case.control_hz, atol=1)
    steps = case.steps
    text = steps.get("language_instruction") or steps["observation"].get("natural_language_instruction")
    assert episode.instruction == ([text] if case.instruction is None else case.instruction)
    assert bool(episode.notes.get("doubt")) == (not case.is_certain)
    decided = {key: value for key, value in episode.notes.items() if key not in {"doubt", *CAMERA_NOTES, *LAYOUT_NOTES}}
    assert decided == case.notes


def test_one_embodiment_means_one_layout() -> None:
    """Statistics and action heads are kept per embodiment."""
    layouts: dict[str, set[str]] = defaultdict(set)
    for case in map(case_of, NAMES):
        layouts[case.embodiment].add(case.layout)
    assert {name: widths for name, widths in layouts.items() if len(widths) != 1} == {}
