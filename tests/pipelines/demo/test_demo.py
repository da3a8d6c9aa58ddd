"""The demo as a user runs it: `villa demo --quick`, killed, gone on with, and what others read in its files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import lance
import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.episode import Episode
from dataengine.errors import DataEngineError
from pipelines.evaluation.recording.record import Recording, record
from tests.support import warm

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Killed:
    """A quick run that was killed while it recorded."""

    out: Path
    finished: dict[Path, int]
    """Files that were recorded, and when they were written."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    out = tmp_path_factory.mktemp("demo") / "run"
    command = [sys.executable, "-m", "cli", "demo", "--out", str(out), "--quick", "--until", "ingest"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(list(out.glob("raw/attempts/metaworld/*.npz"))) < 2:
        assert first.poll() is None, "the recording failed before it could be killed"
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    return Killed(out, {file: file.stat().st_mtime_ns for file in out.glob("raw/attempts/*/*.npz")})


@pytest.fixture(scope="module")
def ingested(killed: Killed) -> Path:
    """The same run, which went on until its corpus was there."""
    done = warm.run("demo", "--out", killed.out, "--quick", "--until", "ingest", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert [t["stage"] for t in json.loads(done.stdout)["timings"]] == ["record", "ingest"]
    return killed.out


@pytest.fixture(scope="module")
def summary(ingested: Path) -> dict:
    return json.loads((ingested / "summary.json").read_text())


@pytest.fixture(scope="module")
def recordings(ingested: Path) -> list[Recording]:
    """What a second recording into the same folder says."""
    raw = ingested / "raw"
    files = {f: f.stat().st_mtime_ns for f in raw.rglob("*") if f.suffix in (".npz", ".h5", ".mp4", ".webm")}
    again = record(raw, "quick")
    assert files == {f: f.stat().st_mtime_ns for f in files}, "it did something"
    return again


def test_a_killed_recording_goes_on_where_it_was(killed: Killed, ingested: Path) -> None:
    for file, written_ns in killed.finished.items():
        assert file.stat().st_mtime_ns == written_ns, f"{file.name} was recorded twice"
    left = [file for kind in ("agibot", "something_something") for file in (ingested / "raw" / kind).rglob(".*")]
    assert left + list((ingested / "raw" / "rlds").rglob("*incomplete*")) == []


def test_a_second_recording_does_nothing_and_says_the_same(recordings: list[Recording], summary: dict) -> None:
    assert [asdict(one) for one in recordings] == summary["recorded"]


def test_scales_are_not_mixed_in_one_folder(ingested: Path) -> None:
    with pytest.raises(DataEngineError, match="holds recordings of scale 'quick', not 'demo'"):
        record(ingested / "raw", "demo")


def test_sources_read_every_episode_that_was_recorded(recordings: list[Recording]) -> None:
    for recording in recordings:
        source = catalog.source(recording.source)(recording.root)
        outcomes = [one for part in source.parts() for one in source.read(part)]
        spoilt = {"Reject": 1} if recording.source == "something_something" else {}
        assert Counter(type(one).__name__ for one in outcomes) == {"Episode": recording.episodes, **spoilt}
        episodes = [one for one in outcomes if isinstance(one, Episode)]
        if episodes[0].kind == "robot":
            assert sum(episode.num_steps for episode in episodes) == recording.steps
        assert all(episode.instruction for episode in episodes)


def test_every_source_that_was_recorded_is_in_the_corpus(summary: dict) -> None:
    sources = {r["source"] for r in summary["recorded"]}
    assert sources >= {"openx/metaworld", "openx/fetch", "agibot", "something_something"}
    ingested = {i["source"]: i for i in summary["ingest"]}
    for raw in summary["recorded"]:
        row = ingested[raw["source"]]
        assert row["episodes"] == raw["episodes"]
        assert row["planned_parts"] == row["committed_parts"]
        assert row["rejected_records"] == (1 if raw["source"] == "something_something" else 0)
        if raw["source"].startswith("openx/"):
            assert row["steps"] == raw["steps"]


def test_the_clip_that_was_cut_short_is_rejected_with_a_reason(summary: dict) -> None:
    (reject,) = summary["rejects"]
    assert reject["source"] == "something_something"
    assert reject["reason"]


RAW = {
    "openx/metaworld": {
        "state": ("observation/hand_pos", "observation/gripper_opening"),
        "action": ("action/world_vector", "action/gripper_closedness_action"),
        "cameras": {"primary": "observation/image"},
        "text": "observation/natural_language_instruction",
    },
    "openx/fetch": {
        "state": ("observation/state",),
        "action": ("action",),
        "cameras": {"primary": "observation/image", "wrist": "observation/wrist_image"},
        "text": "language_instruction",
    },
}


@pytest.mark.parametrize("source", RAW)
def test_tfds_and_plain_lance_find_the_same_states_actions_and_pixels(
    source: str, ingested: Path, summary: dict, tmp_path: Path
) -> None:
    (root,) = [r["root"] for r in summary["recorded"] if r["source"] == source]
    (features,) = Path(root).rglob("features.json")
    dump = tmp_path / "tfds.npz"
    reader = Path(__file__).with_name("read_with_tfds.py")
    subprocess.run([sys.executable, str(reader), str(features.parent), str(dump)], check=True, timeout=300)
    arrays = np.load(dump)
    texts = json.loads(str(arrays["texts"]))
    keys = RAW[source]

    table = lance.dataset(str(ingested / "corpus" / "episodes.lance"))
    columns = ["episode_id", "num_steps", "instruction"]
    columns += [f"raw_{kind}{end}" for kind in ("state", "action") for end in ("", "_dim")]
    columns += [f"offsets_{slot}" for slot in keys["cameras"]]
    rows = table.to_table(columns, filter=f"dataset = '{source}'", with_row_id=True).to_pylist()
    assert len(rows) == len(texts)

    def of_row(row: dict, kind: str) -> np.ndarray:
        return np.array(row[f"raw_{kind}"], np.float32).reshape(-1, row[f"raw_{kind}_dim"])

    def of_tfds(number: int, kind: str) -> np.ndarray:
        parts = [arrays[f"{number}:{key}"] for key in keys[kind]]
        return np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1).astype(np.float32)

    by_state = {of_row(row, "state").tobytes(): row for row in rows}
    for number in range(len(texts)):
        row = by_state.pop(of_tfds(number, "state").tobytes())
        np.testing.assert_array_equal(of_row(row, "action"), of_tfds(number, "action"))
        assert set(row["instruction"]) == set(texts[number][keys["text"]])
        for slot, key in keys["cameras"].items():
            offsets = row[f"offsets_{slot}"]
            (_, blob), *_ = table.read_blobs(f"frames_{slot}", ids=[row["_rowid"]])
            jpegs = [blob[start:end] for start, end in pairwise(offsets)]
            assert bytes(blob) == arrays[f"{number}:{key}:bytes"].tobytes()
            # tensorflow decodes with the fast DCT; by our own, more exact default the same bytes differ by up to 14.
            pixels = np.stack([simplejpeg.decode_jpeg(bytes(jpeg), fastdct=True) for jpeg in jpegs])
            np.testing.assert_array_equal(pixels, arrays[f"{number}:{key}"])
    assert not by_state


def test_the_whole_path_runs_and_its_report_stands_alone(ingested: Path) -> None:
    done = warm.run("demo", "--out", ingested, "--quick", "--json", timeout=560)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    (frozen,) = [rule for rule in summary["curation"]["rules"] if rule["dropped"]]
    assert frozen["rule"] in ("drop_frozen_camera", "drop_still")
    assert [lam["proprio"] for lam in summary["lam"]] == [True, False]
    assert [act["use_latent"] for act in summary["act"]] == [True, False]
    assert {e["policy"] for e in summary["evaluation"]} >= {"random", "with latent expert", "without latent expert"}
    assert all(e["low"] <= e["successes"] / e["episodes"] <= e["high"] for e in summary["evaluation"])
    page = (ingested / "report" / "index.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "")  # fetches nothing
    assert page.count("data:image/") >= 4

    again = warm.run("demo", "--out", ingested, "--quick", "--json")
    assert json.loads(again.stdout)["timings"] == summary["timings"]


def test_a_folder_of_another_size_is_refused_in_one_line(ingested: Path) -> None:
    refused = warm.run("demo", "--out", ingested)
    assert refused.returncode == 2
    assert "--quick" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_an_unknown_stage_is_refused_with_the_stages_that_there_are(tmp_path: Path) -> None:
    refused = warm.run("demo", "--out", tmp_path / "run", "--until", "labels")
    assert refused.returncode == 2
    assert "label" in refused.stderr
    assert not (tmp_path / "run").exists()
