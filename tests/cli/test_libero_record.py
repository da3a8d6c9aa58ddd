"""`villa eval libero-record`: both forms of a recording are read by the sources of their publishers."""

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode
from dataengine.formats import jpeg
from tests.support.fake_libero import attempt, make_python


@pytest.fixture
def record(villa, tmp_path):
    def run(*argv: object):
        python = make_python(tmp_path / "sim")
        common = ("--python", python, "--out", tmp_path / "out", "--tasks", "[3]", "--init-sets", "[random]")
        return villa("eval", "libero-record", *common, "--episodes", 2, *argv, "--json")

    return run


def episodes(source: str, root: str) -> list[Episode]:
    read = catalog.source(source)(root)
    outcomes = [one for part in read.parts() for one in read.read(part)]
    assert all(isinstance(one, Episode) for one in outcomes), outcomes
    return [one for one in outcomes if isinstance(one, Episode)]


def test_hdf5_has_what_the_robot_executed(record):
    said = record("--forms", "[hdf5]")
    assert said.code == 0, said.err
    assert (said.report["episodes"], said.report["steps"]) == (2, 24)
    first, _ = episodes("libero_hdf5", said.report["hdf5"])
    assert first.instruction == ["pick up the milk"]
    assert first.raw_action == pytest.approx(attempt(0)["executed"])
    assert first.notes["observations"] == "before the action"


@pytest.mark.slow
def test_rlds_has_what_the_expert_wanted_and_the_same_pictures_and_states(record):
    said = record()
    assert said.code == 0, said.err
    wanted = episodes("openx/libero", said.report["rlds"])
    executed = episodes("libero_hdf5", said.report["hdf5"])
    assert len(wanted) == len(executed) == 2
    assert wanted[0].raw_action == pytest.approx(attempt(0)["action"])
    assert wanted[0].state == pytest.approx(executed[0].state, abs=1e-6)
    for slot in ("primary", "wrist"):
        for one, other in zip(wanted[0].cameras[slot].jpegs, executed[0].cameras[slot].jpegs, strict=True):
            assert np.array_equal(jpeg.decode(one), jpeg.decode(other))


def test_a_picture_is_turned_by_half_a_turn_once(record):
    (first, _) = episodes("libero_hdf5", record("--forms", "[hdf5]").report["hdf5"])
    frame = jpeg.decode(first.cameras["primary"].jpegs[0]).astype(int)
    assert frame[10, -10, 0] > 180, "the corner that was bottom left is top right"
    assert frame[-10, 10].max() < 20


def test_pictures_of_another_size_are_not_for_rlds(record):
    said = record("--image-size", 256)
    assert said.code == 2
    assert "RLDS has pictures of 128; give --forms hdf5" in said.line
