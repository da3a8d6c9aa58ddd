"""Bad input, from the command line, costs the smallest unit it can, is listed with place and reason; the rest arrives.

The shards are written by tfds and damaged afterwards; damage that tfds would not write is framed anew by hand.
"""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli.app import app
from cli.contract import invoke
from dataengine.formats import tfrecord
from dataengine.store import Corpus
from tests.support.example_edit import edit
from tests.support.openx_writer import write_openx

NUM_EPISODES, T = 4, 5
SHARD = "libero_goal_no_noops-train.tfrecord-00000-of-00001"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng(0)
    episodes = [
        {
            "observation": {
                "image": draw.integers(0, 255, (T, 32, 32, 3), dtype=np.uint8),
                "wrist_image": draw.integers(0, 255, (T, 32, 32, 3), dtype=np.uint8),
                "state": draw.normal(size=(T, 8)).astype(np.float32),
            },
            "action": draw.uniform(-1, 1, (T, 7)).astype(np.float32),
            "language_instruction": "open the drawer",
        }
        for _ in range(NUM_EPISODES)
    ]
    return write_openx(tmp_path_factory.mktemp("libero"), "libero_goal_no_noops", episodes, version="1.0.0")


@pytest.fixture
def dataset(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "libero"))


def ingest(root: Path, *argv: str) -> int:
    return invoke(app, ["ingest", "openx/libero", str(root), "--corpus", str(root.parent / "corpus"), *argv])


def records(root: Path) -> list[str]:
    return sorted(Corpus.open(root.parent / "corpus").table(["source_record"])["source_record"].to_pylist())


def rejects(root: Path) -> list[dict]:
    return Corpus.open(root.parent / "corpus").rejects().to_pylist()


def payloads(root: Path) -> list[bytes]:
    return [bytes(payload) for _, payload in tfrecord.records(root / SHARD)]


def rewrite(root: Path, index: int, change: Callable[[bytes], bytes]) -> None:
    """Change the payload of one record and frame all anew, so that the checksums hold."""
    changed = [change(payload) if i == index else payload for i, payload in enumerate(payloads(root))]
    (root / SHARD).write_bytes(b"".join(tfrecord.frame(payload) for payload in changed))


def numbers(key: str, change: Callable[[list[float]], list[float]]) -> Callable[[bytes], bytes]:
    return lambda payload: edit(payload, f"steps/{key}", change)


def put(at: int, value: object) -> Callable[[list], list]:
    return lambda values: [*values[:at], value, *values[at + 1 :]]


CASES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a key that is not there": (lambda p: edit(p, "steps/action", None), "steps/action"),
    "a wrong dtype": (lambda p: edit(p, "steps/action", lambda v: [b"x"] * len(v)), "steps/action"),
    "lengths that disagree": (numbers("observation/state", lambda v: v[:-8]), "steps/observation/state"),
    "no steps at all": (lambda p: edit(p, "", lambda v: []), "no steps"),
    "a state that is no number": (numbers("observation/state", put(9, float("nan"))), "state"),
    "an infinite action": (numbers("action", put(0, float("inf"))), "action"),
    "an image that does not decode": (
        lambda p: edit(p, "steps/observation/image", lambda v: [*v[:2], v[2][:40], *v[3:]]),
        "frame 2",
    ),
    "an image that is none": (
        lambda p: edit(p, "steps/observation/wrist_image", lambda v: [b"no image", *v[1:]]),
        "frame 0",
    ),
    "no tf.train.Example": (lambda p: b"\xff" * 40, "Example"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_record_costs_one_record(dataset: Path, case: str) -> None:
    change, said = CASES[case]
    rewrite(dataset, 1, change)
    assert ingest(dataset) == 0
    assert records(dataset) == [f"{SHARD}/{i}" for i in (0, 2, 3)]
    (reject,) = rejects(dataset)
    assert (reject["record"], reject["source_uri"]) == ("1", str(dataset / SHARD))
    assert said in reject["reason"]
    assert "\n" not in reject["reason"]


def test_a_flipped_byte_costs_one_record(dataset: Path) -> None:
    data = bytearray((dataset / SHARD).read_bytes())
    data[tfrecord.FRAMING_BYTES + len(payloads(dataset)[0]) + 200] ^= 1
    (dataset / SHARD).write_bytes(data)
    assert ingest(dataset) == 0
    assert records(dataset) == [f"{SHARD}/{i}" for i in (0, 2, 3)]
    (reject,) = rejects(dataset)
    assert "checksum" in reject["reason"]


def test_a_truncated_shard_costs_what_lies_behind_the_cut(dataset: Path) -> None:
    (dataset / SHARD).write_bytes((dataset / SHARD).read_bytes()[:-100])
    assert ingest(dataset) == 0
    assert records(dataset) == [f"{SHARD}/{i}" for i in (0, 1, 2)]
    (reject,) = rejects(dataset)
    assert "truncated" in reject["reason"]


def add_a_shard_to(dataset: Path) -> None:
    """Let the dataset promise a second shard with two records."""
    (dataset / SHARD).rename(dataset / SHARD.replace("of-00001", "of-00002"))
    path = dataset / "dataset_info.json"
    info = json.loads(path.read_text())
    info["splits"][0]["shardLengths"].append("2")
    path.write_text(json.dumps(info))


def test_a_shard_that_cannot_be_read_costs_that_part(dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A link that leads to itself: not even root can read it."""
    add_a_shard_to(dataset)
    unreadable = dataset / "libero_goal_no_noops-train.tfrecord-00001-of-00002"
    unreadable.symlink_to(unreadable)
    assert ingest(dataset) == 0
    assert len(records(dataset)) == NUM_EPISODES
    (reject,) = rejects(dataset)
    assert reject["record"] == ""
    assert "symbolic links" in reject["reason"]
    assert ingest(dataset, "--strict") == 1


def test_a_shard_that_was_not_downloaded_costs_that_part(dataset: Path) -> None:
    add_a_shard_to(dataset)
    assert ingest(dataset) == 0
    assert len(records(dataset)) == NUM_EPISODES
    (reject,) = rejects(dataset)
    assert (reject["record"], "missing" in reject["reason"]) == ("", True)


def test_damaged_json_stops_the_command_in_one_line(dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (dataset / "dataset_info.json").write_text('{"name": ')
    assert ingest(dataset) == 2
    said = capfd.readouterr().err.strip()
    assert "\n" not in said
    assert "dataset_info.json" in said


def test_a_shard_outside_the_root_is_refused(dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    info = (dataset / "dataset_info.json").read_text()
    (dataset / "dataset_info.json").write_text(info.replace("{DATASET}-{SPLIT}", "../{DATASET}-{SPLIT}"))
    assert ingest(dataset) == 2
    assert "outside the folder" in capfd.readouterr().err


def test_a_black_camera_is_left_out_of_a_sound_episode(tmp_path: Path) -> None:
    """BridgeData stores black images for a camera that was not there."""
    draw = np.random.default_rng(0)
    cameras = {f"image_{i}": draw.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8) for i in range(4)}
    steps = {
        "observation": {**cameras, "image_1": cameras["image_1"] * 0, "state": draw.random((6, 7)).astype(np.float32)},
        "action": draw.random((6, 7)).astype(np.float32),
        "language_instruction": "put the spoon down",
    }
    root = write_openx(tmp_path, "bridge_dataset", steps, version="1.0.0")
    corpus = tmp_path / "corpus"
    assert invoke(app, ["ingest", "openx/bridge_orig", str(root), "--corpus", str(corpus)]) == 0
    (episode_id,) = Corpus.open(corpus).episode_ids()
    assert Corpus.open(corpus).episode(episode_id).cameras == ("primary",)


def depth_png(_: list) -> list[bytes]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.tile(np.linspace(400, 3000, 64).astype(np.uint16), (48, 1))).save(file, "PNG")
    return [file.getvalue()] * T


def declare(root: Path, camera: str, declared: dict) -> None:
    """Have features.json say something else of a camera."""
    path = root / "features.json"
    steps = json.loads(path.read_text())
    observation = steps["featuresDict"]["features"]["steps"]["sequence"]["feature"]["featuresDict"]["features"][
        "observation"
    ]
    known = observation["featuresDict"]["features"][camera]
    observation["featuresDict"]["features"][camera] = {**known, **declared}
    path.write_text(json.dumps(steps))


@pytest.mark.parametrize("camera", ["wrist_image", "image"])
def test_distances_cost_a_second_camera_and_of_the_main_one_the_record(
    dataset: Path, camera: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rewrite(dataset, 1, lambda payload: edit(payload, f"steps/observation/{camera}", depth_png))
    assert ingest(dataset) == 0
    what = f"steps/observation/{camera}: frame 0 is one channel of more than 8 bits (I;16): depth, no camera"
    if camera == "image":
        assert [reject["reason"] for reject in rejects(dataset)] == [what]
        assert len(records(dataset)) == NUM_EPISODES - 1
        return
    assert f"cameras_left_out (1 of 4 episodes): wrist: {what}" in capfd.readouterr().out
    corpus = Corpus.open(dataset.parent / "corpus")
    by_name = {episode.column("source_record"): episode for episode in map(corpus.episode, corpus.episode_ids())}
    assert by_name[f"{SHARD}/1"].cameras == ("primary",)
    assert json.loads(by_name[f"{SHARD}/1"].column("notes"))["cameras_left_out"] == f"wrist: {what}"
    assert "cameras_left_out" not in json.loads(by_name[f"{SHARD}/0"].column("notes"))
    assert by_name[f"{SHARD}/0"].cameras == ("primary", "wrist")


def test_a_camera_that_features_json_declares_as_something_else_is_none(dataset: Path) -> None:
    """Distances of float32 would be taken for colours: tfds writes their bytes as four channels."""
    declare(dataset, "wrist_image", {"image": {"shape": {"dimensions": ["32", "32", "1"]}, "dtype": "float32"}})
    assert ingest(dataset) == 0
    corpus = Corpus.open(dataset.parent / "corpus")
    for episode in map(corpus.episode, corpus.episode_ids()):
        assert episode.cameras == ("primary",)
        assert "wrist_image: holds float32, no colours" in json.loads(episode.column("notes"))["cameras_left_out"]
    declare(dataset, "image", {"image": {"shape": {"dimensions": ["32", "32", "1"]}, "dtype": "float32"}})
    assert ingest(dataset, "--set", f"corpus={dataset.parent / 'other'}") == 1
    stored = Corpus.open(dataset.parent / "other").rejects().to_pylist()
    assert all("steps/observation/image: holds float32, no colours" in reject["reason"] for reject in stored)
    assert {reject["record"] for reject in stored} >= {"0", "1", "2", "3"}
