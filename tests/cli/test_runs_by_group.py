"""`villa runs show` has a row and a curve for each dataset and embodiment."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.training.distributed import Distributed
from pipelines.training.settings import LoopConfig
from tests.support.ranked import BATCH, RUNS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lam")
    config = LoopConfig(steps=2, batch_size=BATCH, log_every=1, val_every=1)
    training = RUNS["lam"](out, Distributed(0, 1, torch.device("cpu")), config, validates=True)
    training.train()
    training.loader.close()
    return out


def test_losses_are_shown_by_dataset_and_embodiment(villa: Any, run: Path) -> None:
    report = villa("runs", "show", run, "--json").report
    shown = {(one["kind"], one["name"]): one for one in report["held_out"]}
    assert set(shown) == {
        *(("dataset", "pantry"), ("dataset", "kitchen"), ("embodiment", "arm7_jaw"), ("embodiment", "human_hand"))
    }
    assert {"loss", "visual", "vq", "action"} <= set(shown["dataset", "pantry"]["figures"])
    assert "action" not in shown["dataset", "kitchen"]["figures"]
    assert shown["dataset", "pantry"]["windows"] + shown["dataset", "kitchen"]["windows"] == 2 * BATCH
    assert not any("/" in name for name in report["metrics"])
    lines = villa("runs", "show", run).out.splitlines()
    assert any(line.split()[:2] == ["dataset", "windows"] for line in lines)
    assert any(line.split()[0] == "pantry" for line in lines if line)


def test_the_page_has_their_curves_over_one_another(villa: Any, run: Path, tmp_path: Path) -> None:
    villa("runs", "show", run, "--out", tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text()
    assert all(text in page for text in ("Held-out windows by dataset", "Held-out windows by embodiment", "kitchen"))
    assert "http" not in page.replace("http://www.w3.org", "")
    assert villa("runs", "show", run, "--out", run).line.endswith("is the folder of a training; give another")
