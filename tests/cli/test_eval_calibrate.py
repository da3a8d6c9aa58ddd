"""`villa eval calibrate` and what evaluations say of it."""

import json

import pytest

LINE = "tests.support.line_simulators:Line"
PLAY = ("expert", "--task", "forward", "--episodes", 2, "--num-filmstrips", 0)


@pytest.fixture
def golden(villa, tmp_path):
    said = villa("eval", "calibrate", LINE, "--golden", tmp_path / "line.npz", "--out", tmp_path / "calibration")
    assert said.code == 0, said.err
    assert "golden rollouts made" in said.out
    return tmp_path / "line.npz"


@pytest.mark.slow
def test_a_score_says_whether_its_simulator_is_calibrated(villa, golden, tmp_path):
    without = villa("eval", LINE, *PLAY, "--out", tmp_path / "a", "--calibration", tmp_path / "none")
    assert f"simulator not calibrated; `villa eval calibrate {LINE}` checks it" in without.out
    report = villa("eval", LINE, *PLAY, "--out", tmp_path / "b", "--calibration", tmp_path / "calibration", "--json")
    assert json.loads(report.out)["calibration"] == "calibrated: 2 rollouts of line.npz within 0 mm, 0 grey levels"
    path = tmp_path / "calibration/Line.json"
    mark = json.loads(path.read_text())
    mark["versions"]["mujoco"] = "2.3.7"
    path.write_text(json.dumps(mark))
    changed = villa("eval", LINE, *PLAY, "--out", tmp_path / "c", "--calibration", tmp_path / "calibration")
    assert "not calibrated since mujoco changed" in changed.out


@pytest.mark.slow
def test_a_simulator_that_does_otherwise_is_refused_unless_one_insists(villa, golden, tmp_path):
    other = "tests.support.line_simulators:Backwards"
    where = ("--calibration", tmp_path / "calibration", "--out", tmp_path / "eval")
    said = villa("eval", "calibrate", other, "--golden", golden, "--out", tmp_path / "calibration")
    assert said.code == 1
    assert "not as recorded: backward, seed 7: the hand strays by" in said.out
    refused = villa("eval", other, *PLAY, *where)
    assert refused.code == 2
    assert "does not do what was recorded" in refused.err
    insisted = villa("eval", other, *PLAY, *where, "--uncalibrated")
    assert insisted.code == 0
    assert "calibration failed: backward, seed 7" in insisted.out


@pytest.mark.parametrize(("how", "line"), [("hangs", "no answer within 1 s while"), ("dies", "its process died while")])
def test_a_simulator_that_is_never_set_up_is_one_line(villa, golden, tmp_path, monkeypatch, how, line):
    monkeypatch.setenv("LINE_FAILS", how)
    monkeypatch.setenv("LINE_MADE", str(golden))
    name = "tests.support.line_simulators:FailsToBeMade"
    said = villa("eval", "calibrate", name, "--golden", golden, "--out", tmp_path / "out", "--step-timeout-s", 1)
    assert said.code == 2
    assert f"FailsToBeMade forward: {line} it was set up" in said.err.splitlines()[-1]


def test_what_is_not_there_is_one_line(villa, tmp_path):
    assert "no golden rollouts come with it" in villa("eval", "calibrate", LINE, "--out", tmp_path).err
    (tmp_path / "bad.npz").write_text("oops")
    said = villa("eval", "calibrate", LINE, "--golden", tmp_path / "bad.npz", "--out", tmp_path / "out")
    assert said.code == 2
    assert "bad.npz: no golden rollouts (" in said.err.splitlines()[-1]
