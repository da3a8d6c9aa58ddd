"""A dry run's figures against arithmetic by hand, and what it refuses."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cli.app import app
from cli.contract import invoke
from pipelines import stats
from pipelines.training.dry_run.cost import PassCost, pass_cost
from pipelines.training.dry_run.memory import Sizes, Way
from pipelines.training.memory import Need
from pipelines.training.settings import LoopConfig
from tests.support.corpora import make_corpus, robot_episode

ROWS, WIDTH, HIDDEN = 32, 64, 256
FLOAT = 4


@dataclass
class Rows:
    x: Tensor

    def to(self, device: torch.device) -> "Rows":
        return Rows(self.x.to(device))


class TwoLayers(nn.Module):
    """A block of two products with a tanh in between: 64 -> 256 -> 64."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.Sequential(nn.Linear(WIDTH, HIDDEN, bias=False), nn.Tanh(), nn.Linear(HIDDEN, WIDTH, bias=False))
        self.blocks = nn.ModuleList([block])

    def loss(self, batch: Rows, _random: object, _counts: object) -> tuple[Tensor, dict[str, Tensor]]:
        return self.blocks[0](batch.x).sum(), {}


def cost(*, recompute: bool = False, rows: int = ROWS) -> PassCost:
    return pass_cost(TwoLayers, Rows(torch.zeros(rows, WIDTH)), recompute=recompute)


def test_work_is_that_of_the_products() -> None:
    each = 2 * ROWS * WIDTH * HIDDEN
    forward, weights, hidden = 2 * each, 2 * each, each  # pixels have no gradient
    assert cost().flops == forward + weights + hidden
    assert cost(recompute=True).flops == cost().flops + each  # of the second nothing is needed but what goes in


def test_activations_are_what_the_backward_pass_needs() -> None:
    hidden, out, number = FLOAT * ROWS * HIDDEN, FLOAT * ROWS * WIDTH, FLOAT
    assert cost().activations == pytest.approx(hidden + number, abs=out)  # tanh keeps its result; the rest is there
    assert cost(recompute=True).activations <= number + out
    assert cost(rows=2 * ROWS).activations == pytest.approx(2 * cost().activations, rel=0.01)


def parts(**changes: object) -> dict[str, int]:
    config = LoopConfig(ema_decay=0.9)
    with torch.device("meta"):
        model = TwoLayers()
    sizes = Sizes.of(model, Need.of(model, config))
    one = {recompute: cost(recompute=recompute, rows=1) for recompute in (False, True)}
    way = {"gpus": 1, "sharding": "none", "recompute": False, "accumulate": 1, "bf16": False} | changes
    return Way(**way).parts(sizes, one, windows=64, pictures=100)  # type: ignore[arg-type]


WEIGHTS = FLOAT * 2 * WIDTH * HIDDEN


def test_each_part_of_the_memory_is_named() -> None:
    held = parts()
    assert held["weights"] == held["averages"] == WEIGHTS
    assert held["optimizer"] == 2 * WEIGHTS
    assert held["pictures"] == 6400
    assert held["activations"] >= FLOAT * 64 * HIDDEN


def test_several_processes_share_the_batch_and_fsdp2_the_model() -> None:
    whole, divided = parts(gpus=4), parts(gpus=4, sharding="fsdp2")
    assert whole["weights"] == whole["gradients"] == WEIGHTS
    assert whole["pictures"] == 1600
    assert {divided[name] * 4 for name in ("weights", "gradients", "averages")} == {WEIGHTS}
    assert divided["optimizer"] * 2 == WEIGHTS
    assert divided["gathered"] == 3 * WEIGHTS  # two blocks, and the gradients of one


def test_smaller_parts_of_a_step_and_recomputation_keep_less() -> None:
    plain = parts(accumulate=2)
    assert parts(accumulate=4)["activations"] == pytest.approx(plain["activations"] / 2, rel=0.01)
    assert parts(accumulate=2, recompute=True)["activations"] < plain["activations"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("dry_run") / "corpus"
    made = make_corpus(path, {"a": [robot_episode(f"a{i}", num_steps=20) for i in range(6)]})
    stats.run(stats.StatsConfig(corpus=made.uri))
    return made.uri


def train(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = invoke(app, ["train", "lam", *map(str, argv)])
    return (code, *capsys.readouterr())


def test_a_dry_run_tells_memory_work_and_data_and_writes_nothing(
    corpus: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = train(capsys, corpus, "--dry-run", "--steps", 100, "--batch-size", 8, "--json")
    report = json.loads(out)
    assert (code, report["ok"], list(tmp_path.iterdir())) == (0, True, [])
    assert report["needed_bytes"] == sum(report["memory"].values())
    assert report["memory"]["optimizer"] == 2 * FLOAT * report["trained_parameters"]
    assert report["flops_per_step"] == 8 * report["flops_per_window"]
    (draws,) = report["datasets"]
    assert draws["draws"] == 800
    assert draws["epochs"] == pytest.approx(800 / draws["windows"])
    seconds = 100 * report["flops_per_step"] / (67e12 * 0.4)  # float32 on an H100, at 40 % of its peak
    assert report["hours"] == pytest.approx(seconds / 3600)
    _, out, _ = train(capsys, corpus, "--dry-run", "--steps", 100, "--batch-size", 8)
    assert "together, at most" in out


def test_what_does_not_fit_is_refused_with_the_settings_that_would(
    corpus: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = train(capsys, corpus, "--dry-run", "--batch-size", 64, "--gpu-memory-gb", 0.1)
    assert code == 1
    last = out.splitlines()[-1]
    assert "does not fit: " in last
    advice = last.partition("; ")[2].partition(" needs ")[0].split()
    again = [*advice, "true"] if advice[-1].startswith("--") else advice
    assert train(capsys, corpus, "--dry-run", "--batch-size", 64, "--gpu-memory-gb", 0.1, *again)[0] == 0


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--dry-run", "--gpus", 3], "batch_size 16 does not divide into 1 parts on 3 ranks"),
        (["--dry-run", "--gpu", "h1000"], "setting 'gpu': found 'h1000'"),
        (["--dry-run", "--gpus", 0], "setting 'gpus': found 0"),
        (["--gpus", 2, "--out", "runs/lam"], "--gpus goes with --dry-run"),
    ],
)
def test_bad_input_is_a_line(corpus: str, capsys: pytest.CaptureFixture[str], argv: list[object], line: str) -> None:
    code, _, err = train(capsys, corpus, *argv)
    assert code == 2
    assert line in err.splitlines()[-1]
