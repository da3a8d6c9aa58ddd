"""`villa eval calibrate libero --demos`: recordings in a corpus that the simulator repeats, or does not."""

from pathlib import Path

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode
from pipelines.evaluation.recording.libero import write_hdf5
from tests.support.corpora import make_corpus
from tests.support.fake_libero import attempt, make_python


def recorded(folder: Path, seed: int) -> Path:
    """An episode of the simulator that plays by a plan: the hand goes 5 mm in each step, pictures get brighter."""
    steps = np.arange(20)
    x = 0.1 + 0.005 * steps
    grey = np.minimum(255, 300 * x).astype(np.uint8)[:, None, None, None]
    pictures = np.broadcast_to(grey, (20, 128, 128, 3))
    plain = attempt(seed, count=20)
    episode = {
        **plain,
        "image": pictures,
        "wrist": pictures,
        "position": np.stack([x, 0 * x, 0 * x + 0.3], axis=1),
        "rotation": np.zeros((20, 3)),
        "executed": np.tile([0.5, 0, 0, 0, 0, 0, -1], (20, 1)),
    }
    folder.mkdir(exist_ok=True)
    file = folder / f"libero_object-07-random-{seed:05d}.npz"
    np.savez(file, **episode)
    return file


@pytest.fixture
def hdf5(tmp_path):
    write_hdf5([recorded(tmp_path / "attempts", seed) for seed in range(2)], tmp_path / "hdf5")
    return tmp_path / "hdf5" / "libero_object"


@pytest.fixture
def calibrate(villa, tmp_path, hdf5):
    def run(**bent: str):
        source = catalog.source("libero_hdf5")(str(hdf5))
        episodes = [one for part in source.parts() for one in source.read(part) if isinstance(one, Episode)]
        if not (tmp_path / "corpus").exists():
            make_corpus(tmp_path / "corpus", {"a": episodes})
        python = make_python(tmp_path / "sim", bent)
        settings = ("--demos", tmp_path / "corpus", "--out", tmp_path / "calibration", "--libero.python", python)
        return villa("eval", "calibrate", "libero", *settings, "--json")

    return run


def test_recordings_that_the_simulator_repeats_calibrate_it(calibrate):
    said = calibrate()
    assert said.code == 0, said.err
    assert [(one["task"], one["seed"]) for one in said.report["deviations"]] == [
        ("libero_object/pick_up_the_milk", seed) for seed in range(2)
    ]
    assert max(one["grey_levels"] for one in said.report["deviations"]) < 1


@pytest.mark.parametrize(
    ("bent", "fault"), [({"pace": "0.9"}, "the hand strays by 9.5 mm"), ({"brighter": "3"}, "differ by 3")]
)
def test_what_strays_from_recordings_is_a_fault(calibrate, bent, fault):
    said = calibrate(**bent)
    assert said.code == 1
    assert fault in said.report["faults"][0]


def test_recordings_whose_files_say_no_start_are_no_demos(calibrate, hdf5):
    import h5py

    for file in hdf5.glob("*.hdf5"):
        with h5py.File(file, "r+") as opened:
            for demo in opened["data"].values():
                del demo.attrs["start"]
    said = calibrate()
    assert said.code == 2
    assert "has no recordings of LIBERO whose starts are known; `villa eval libero-record` makes some" in said.line
