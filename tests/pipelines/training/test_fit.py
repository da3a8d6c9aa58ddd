"""What a training command says of itself: how far it is, what it comes to, what the same command will do."""

import json
from pathlib import Path

import pytest

from cli.app import app
from cli.contract import invoke
from pipelines import stats
from pipelines.training.lam.lam import LamTask
from pipelines.training.trainer import Trainer
from tests.support.corpora import make_corpus, robot_episode

TINY = ("--steps", "12", "--batch-size", "2", "--val-windows", "4", "--device", "cpu", "--val-batches", "1")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("fit") / "corpus")
    make_corpus(uri, {"a": [robot_episode(f"r{i}") for i in range(12)]})
    stats.run(stats.StatsConfig(corpus=uri))
    return uri


def train(corpus: str, out: Path, *more: str) -> int:
    return invoke(app, ["train", "lam", corpus, "--out", str(out), *TINY, *more])


def test_a_report_has_the_last_and_the_lowest_loss_on_held_out_windows(
    corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert train(corpus, tmp_path, "--val-every", "2", "--model.warmup-fraction", "0.5", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    curve = {line["step"]: line["val_loss"] for line in lines if "val_loss" in line}
    assert list(curve) == [2, 4, 6, 8, 10, 12]
    assert (report["val_last"]["step"], report["val_last"]["loss"]) == (12, curve[12])
    # Latents are not rounded to codes at first, so losses of the first steps are of something easier.
    warm = {step: loss for step, loss in curve.items() if step > 6}
    best = min(warm, key=lambda step: warm[step])
    assert (report["val_best"]["step"], report["val_best"]["loss"]) == (best, curve[best])
    assert report["val_last"]["figures"]["visual"] > 0


def test_a_finished_training_that_is_given_again_says_so(
    corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert train(corpus, tmp_path) == 0
    first = capsys.readouterr()
    assert "already finished" not in first.out + first.err
    assert "loss on held-out windows: " in first.out
    assert train(corpus, tmp_path) == 0
    again = capsys.readouterr()
    assert again.out.startswith(f"{tmp_path}: already finished; step 12 of 12")
    assert "lam: already finished at step 12; it is evaluated again" in again.err
    assert again.out.splitlines()[1:] == first.out.splitlines()[1:]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ((LamTask, "build"), "the same command begins anew, as no step was saved yet"),
        ((Trainer, "export"), "the same command evaluates it, its training is finished"),
    ],
)
def test_an_interrupt_says_what_the_same_command_will_do(
    corpus: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    where: tuple[type, str],
    said: str,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(*where, interrupted)
    assert train(corpus, tmp_path / "out") == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"villa train lam: interrupted; {said}"


def test_an_interrupt_between_saves_names_the_step_that_is_saved(
    corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Trainer._one_step

    def twice_interrupted(self: Trainer, **given: bool) -> object:
        if self.step == 7:
            raise KeyboardInterrupt  # as a second Ctrl-C does
        return take(self, **given)

    monkeypatch.setattr(Trainer, "_one_step", twice_interrupted)
    assert train(corpus, tmp_path, "--checkpoint-every", "5") == 130
    assert capsys.readouterr().err.endswith("villa train lam: interrupted; the same command goes on from step 5\n")


def test_without_held_out_episodes_there_is_no_validation(
    corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert train(corpus, tmp_path, "--val-fraction", "0", "--json") == 0
    said = capsys.readouterr()
    assert "no episode is held out (val_fraction=0): there is no validation while training" in said.err
    assert json.loads(said.out)["val_last"] is None
