"""Every source of human video from its publisher's files to a trained latent action model, beside robots."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.app import app
from cli.contract import invoke
from dataengine.store import Corpus, verify
from dataengine.windows.episode_info import is_held_out
from tests.support import counted_video, human_trees
from tests.support.corpora import add_parts, robot_episode
from tests.support.npz_source import content

pytestmark = pytest.mark.slow

LOOSE = "drop_short: {}\ndrop_black_frames: {}\ndrop_still_video: {min_motion: 1.0}\n"
"""Counters jump from picture to picture and are equal in all datasets, which no rule of a real recipe lets pass."""
VAL_FRACTION = 0.3
KILL_WITHIN_S = 60.0


def villa(*argv: object) -> int:
    return invoke(app, [str(word) for word in argv])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All datasets below one folder, with the plan that names them."""
    root = tmp_path_factory.mktemp("people")
    human_trees.write_all(root)
    rows = [f"  - {{source: {source}, root: {folder}}}" for source, (folder, _) in human_trees.WRITERS.items()]
    (root / "plan.yaml").write_text("\n".join(["datasets:", *rows]))
    return root


def ingest(data: Path, corpus: Path) -> tuple[object, ...]:
    return ("ingest", "--plan", data / "plan.yaml", "--data", data, "--corpus", corpus, "--workers", 2)


@pytest.fixture(scope="module")
def corpus(data: Path) -> Path:
    """People, from the command line."""
    assert villa(*ingest(data, data / "corpus")) == 0
    return data / "corpus"


@pytest.fixture(scope="module")
def rows(corpus: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All that the corpus holds, before robots join."""
    return content(Corpus.open(str(corpus)))


@pytest.mark.parametrize("source", human_trees.WRITERS)
def test_each_clip_begins_and_ends_with_the_frames_of_its_label(
    rows: tuple[list[dict[str, Any]], Any], source: str, tmp_path: Path
) -> None:
    _, write = human_trees.WRITERS[source]
    dataset = "video/videos" if source == "video/folder" else source
    mine = {row["source_record"]: row for row in rows[0] if row["dataset"] == dataset}
    numbers = {record: counted_video.numbers(list(row["jpegs"]["primary"])) for record, row in mine.items()}
    assert {record: (shown[0], shown[-1]) for record, shown in numbers.items()} == write(tmp_path)
    assert all(shown == sorted(set(shown)) for shown in numbers.values())
    assert all((row["kind"], row["embodiment"], row["state"]) == ("human", "human_hand", None) for row in mine.values())
    assert all(row["licence"] for row in mine.values())


def test_nothing_was_rejected_and_a_second_run_has_nothing_to_do(data: Path, corpus: Path, rows: Any) -> None:
    assert rows[1] == []
    version = Corpus.open(str(corpus)).version
    assert villa(*ingest(data, corpus)) == 0
    assert Corpus.open(str(corpus)).version == version


def test_a_killed_ingest_ends_in_the_same_rows(data: Path, rows: Any, tmp_path: Path) -> None:
    argv = [str(word) for word in ingest(data, tmp_path / "corpus")]
    for num_parts in (2, 9):
        child = subprocess.Popen(
            [sys.executable, "-m", "cli", *argv],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        deadline = time.monotonic() + KILL_WITHIN_S
        while time.monotonic() < deadline and child.poll() is None and num_staged(tmp_path / "corpus") < num_parts:
            time.sleep(0.01)
        assert child.poll() is None
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert villa(*argv) == 0
    again = Corpus.open(str(tmp_path / "corpus"))
    assert content(again) == rows
    assert verify(again, deep=True).ok


def num_staged(corpus: Path) -> int:
    """Count the parts whose episodes lie there already."""
    return len(list(corpus.glob("episodes.lance/data/*")))


def test_a_latent_action_model_trains_on_robots_and_people_together(corpus: Path, rows: Any, tmp_path: Path) -> None:
    opened = Corpus.open(str(corpus))
    add_parts(opened, {"robots": [robot_episode(f"r{i}", dataset="shelves", num_steps=24) for i in range(8)]})
    assert villa("curate", corpus, "--recipe", "villa-x", "--report", tmp_path / "villa-x") == 0
    (tmp_path / "loose.yaml").write_text(LOOSE)
    assert villa("curate", corpus, "--recipe", tmp_path / "loose.yaml", "--report", tmp_path / "loose") == 0
    assert villa("stats", corpus) == 0
    settings = ("--set", "batch_size=8", "--set", f"val_fraction={VAL_FRACTION}", "--set", "val_windows=16")
    lam = ("--out", tmp_path / "lam", "--preset", "tiny", "--steps", 3, *settings, "--device", "cpu")
    assert villa("train", "lam", corpus, *lam) == 0
    report = json.loads((tmp_path / "lam" / "report.json").read_text())
    episodes = Corpus.open(str(corpus)).kept().episodes()
    assert len(episodes) == len(rows[0]) + 8
    assert report["held_out_episodes"] == sum(is_held_out(e, VAL_FRACTION) for e in episodes)
    assert {e.dataset for e in episodes if not is_held_out(e, VAL_FRACTION)} == report["shares"].keys()
    assert villa("label", corpus, "--lam", tmp_path / "lam", "--device", "cpu") == 0
    labelled = Corpus.open(str(corpus)).kept().table(["dataset", "codes__lam"])
    assert all(labelled["codes__lam"].is_valid().to_pylist())
