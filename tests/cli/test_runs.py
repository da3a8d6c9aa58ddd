import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.output.folder import claimed
from tests.support.toy import make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that is finished, one that was stopped, and a folder that holds no training."""
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "finished", validates=True, val_every=4).train()
    (root / "finished" / "report.json").write_text(json.dumps({"finished": True}))
    make_run(root / "deeper" / "stopped", lr=0.02, max_minutes=1e-9).train()
    (root / "deeper" / "stopped" / "bad_steps.jsonl").write_text('{"step": 1}\n')
    (root / "corpus" / "episodes.lance").mkdir(parents=True)
    return root


def test_trainings_are_listed_with_how_far_they_are(villa: Any, runs: Path) -> None:
    listed = {Path(one["path"]).name: one for one in villa("runs", "list", runs, "--json").report["runs"]}
    assert set(listed) == {"finished", "stopped"}
    finished, stopped = listed["finished"], listed["stopped"]
    lines = [json.loads(line) for line in (runs / "finished" / "metrics.jsonl").read_text().splitlines()]
    best = min((line for line in lines if "val_loss" in line), key=lambda line: line["val_loss"])
    assert (finished["state"], finished["step"], finished["steps"]) == ("finished", 12, 12)
    assert finished["loss"] == lines[-1]["loss"]
    assert (finished["val_loss"], finished["val_step"]) == (best["val_loss"], best["step"])
    assert finished["samples_per_s"] > 0
    assert (stopped["state"], stopped["step"], stopped["steps"], stopped["bad_steps"]) == ("stopped", 1, 12, 1)
    assert "1/12" in villa("runs", "list", runs).out


def test_a_training_that_is_at_work_is_running(villa: Any, runs: Path, tmp_path: Path) -> None:
    with claimed(tmp_path / "new", "train act") as folder:
        shutil.copy(runs / "finished" / "metrics.jsonl", folder.path("metrics.jsonl"))
        (one,) = villa("runs", "list", tmp_path, "--json").report["runs"]
        assert (one["state"], one["kind"]) == ("running", "act")
    (one,) = villa("runs", "list", tmp_path, "--json").report["runs"]
    assert one["state"] == "stopped"


def test_the_lowest_loss_is_the_one_that_the_training_reports(villa: Any, tmp_path: Path) -> None:
    training = make_run(tmp_path / "warm", validates=True, val_every=4)
    training.recorder.curve.best_from = 13  # as of a LAM whose codebook has not started yet
    assert training.train().curve.best == {}
    (one,) = villa("runs", "list", tmp_path, "--json").report["runs"]
    assert (one["val_step"], one["val_loss"]) == (None, None)


def test_a_training_is_shown_with_its_last_figures(villa: Any, runs: Path) -> None:
    shown = villa("runs", "show", runs / "finished", "--json").report
    assert shown["run"]["state"] == "finished"
    assert shown["metrics"]["loss"] == shown["run"]["loss"]
    assert "val_loss" in shown["metrics"]


def test_trainings_are_compared_on_one_page_without_a_network(villa: Any, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    said = villa("runs", "compare", runs / "finished", runs / "deeper" / "stopped", "--out", out, "--json")
    assert len(said.report["runs"]) == 2
    page = (out / "index.html").read_text()
    assert page.count("<svg") > 5
    assert "http" not in page.replace("http://www.w3.org", "")
    assert all(text in page for text in ("finished, held out", "grad_norm", "samples_per_s", "12/12", "1/12"))


def test_trainings_are_compared_on_the_screen_alone(villa: Any, runs: Path) -> None:
    before = sorted(runs.rglob("*"))
    said = villa("runs", "compare", runs / "finished", runs / "deeper" / "stopped")
    assert said.code == 0, said.err
    assert all(text in said.out for text in ("12/12", "1/12"))
    assert "curves" not in said.out
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["list", "{}/nowhere"], "nowhere: no such folder"),
        (["list", "{}/corpus"], "corpus: no training there, expected a folder with metrics.jsonl"),
        (["show", "{}/deeper"], "deeper: is no training itself; give one of those in it, such as "),
        (["compare", "{}/finished", "--out", "{}/page"], "found one training, expected two or more"),
        (["compare", "{}/finished", "{}/deeper/stopped", "--out", "{}/finished"], "is the folder of a training"),
    ],
)
def test_what_is_no_training_is_one_line(villa: Any, runs: Path, argv: list[str], message: str) -> None:
    ended = villa("runs", *(word.replace("{}", str(runs)) for word in argv))
    assert ended.code == 2
    assert message in ended.line


def test_a_line_that_a_kill_cut_off_does_no_harm(villa: Any, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "finished", tmp_path / "cut")
    with (tmp_path / "cut" / "metrics.jsonl").open("ab") as file:
        file.write(b'\xff\x00{"step": 13, "lo')
    (tmp_path / "cut" / "report.json").write_text("{")
    (one,) = villa("runs", "list", tmp_path, "--json").report["runs"]
    assert (one["state"], one["step"]) == ("stopped", 12)
