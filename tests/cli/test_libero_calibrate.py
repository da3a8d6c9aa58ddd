"""`villa eval calibrate libero`, with a simulator that plays by a plan: no score comes of one that deviates."""

from pathlib import Path

import pytest

from tests.support.fake_libero import make_python


@pytest.fixture
def calibrate(villa, tmp_path):
    def run(**bent: str):
        python = make_python(tmp_path / "sim", bent)
        settings = ("--golden", tmp_path / "golden.npz", "--out", tmp_path / "calibration")
        return villa("eval", "calibrate", "libero", "--libero.python", python, *settings, "--json")

    return run


@pytest.fixture
def evaluate(villa, tmp_path):
    def run(*argv: object):
        python = make_python(tmp_path / "sim")
        settings = ("--calibrations", tmp_path / "calibration", "--out", tmp_path / "out", "--tasks", "[0]")
        return villa("eval", "libero", "random", "--python", python, *settings, "--episodes", 1, *argv, "--json")

    return run


def test_what_is_installed_repeats_itself(calibrate, evaluate):
    assert "not calibrated; `villa eval calibrate libero`" in evaluate().report["calibration"]
    said = calibrate()
    assert said.code == 0, said.err
    assert said.report["ok"]
    assert Path(said.report["golden_made"]).name == "golden.npz"
    assert [one["task"] for one in said.report["deviations"]] == [
        f"libero_object/{task}, full rendering" for task in (0, 1, 4)
    ]
    assert all(one["expected_success_step"] == 20 for one in said.report["deviations"])
    assert evaluate().report["calibration"] == "3 episodes of golden.npz within 0 mm, 0 grey levels"


@pytest.mark.parametrize(
    ("bent", "fault"),
    [({"pace": "0.95"}, "the hand strays by 5 mm"), ({"brighter": "3"}, "pictures of camera wrist differ by 3 grey")],
)
def test_a_simulator_that_deviates_gives_no_score_unless_one_insists(calibrate, evaluate, bent, fault):
    calibrate()
    said = calibrate(**bent)
    assert said.code == 1
    assert fault in said.report["faults"][0]
    refused = evaluate()
    assert refused.code == 2
    assert fault in refused.line
    assert "--uncalibrated insists" in refused.line
    assert fault in evaluate("--uncalibrated").report["calibration"]


def test_another_version_is_not_calibrated(calibrate, evaluate, tmp_path, monkeypatch):
    calibrate()
    file = tmp_path / "calibration" / "libero.json"
    file.write_text(file.read_text().replace('"mujoco": "3.3.0"', '"mujoco": "3.8.1"'))
    assert "not calibrated since mujoco changed" in evaluate().report["calibration"]
