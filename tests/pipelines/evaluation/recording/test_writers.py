"""The writers of publishers' layouts, fed with made-up attempts; whole recordings are in demo/test_demo.py."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.sources.openx import _mapping
from pipelines.evaluation.recording import agibot, attempt, something_something
from pipelines.evaluation.simulators._base import simulator_class
from pipelines.evaluation.video import write_video

SHAPES = {"metaworld": (4, 4), "fetch": (8, 4), "lift": (8, 7)}
"""Width of state and action."""


def make_attempt(seed: int, num_steps: int, kind: str = "metaworld") -> attempt.Demonstration:
    random = np.random.default_rng(seed)
    state, action = SHAPES[kind]
    pictures = random.integers(0, 255, (2 * num_steps, 128, 128, 3), np.uint8)
    jpegs = [simplejpeg.encode_jpeg(p, quality=95, colorspace="RGB") for p in pictures]
    return attempt.Demonstration(
        task="window-close",
        instruction="slide the window shut",
        seed=seed,
        images=jpegs[:num_steps],
        wrists=jpegs[num_steps:] if kind == "fetch" else [],
        raw_state=random.normal(size=(num_steps, state)).astype(np.float32),
        raw_action=random.uniform(-1, 1, (num_steps, action)).astype(np.float32),
    )


@pytest.mark.parametrize("kind", SHAPES)
def test_kept_attempts_come_back_as_they_were(kind: str, tmp_path: Path) -> None:
    attempts = [make_attempt(seed, num_steps, kind) for seed, num_steps in ((3, 5), (4, 2), (9, 7))]
    attempt.save(tmp_path / "kept.npz", attempts)
    assert [f.name for f in tmp_path.iterdir()] == ["kept.npz"]
    assert attempt.lengths(tmp_path / "kept.npz") == [5, 2, 7]
    for before, after in zip(attempts, attempt.load(tmp_path / "kept.npz"), strict=True):
        assert (before.seed, before.images, before.wrists) == (after.seed, after.images, after.wrists)
        np.testing.assert_array_equal(before.raw_state, after.raw_state)
        np.testing.assert_array_equal(before.raw_action, after.raw_action)


def test_tfds_reads_back_what_was_recorded(tmp_path: Path) -> None:
    attempts = {kind: [make_attempt(seed, 3 + seed, kind) for seed in range(4)] for kind in SHAPES}
    for kind, made in attempts.items():
        attempt.save(tmp_path / f"{kind}-a.npz", made[:2])
        attempt.save(tmp_path / f"{kind}-b.npz", made[2:])
    program = Path(__file__).with_name("tfds_read_back.py")
    done = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    datasets = json.loads(done.stdout.splitlines()[-1])
    names = {"metaworld": "metaworld", "fetch": "fetch_mujoco", "lift": "robosuite_lift"}
    assert {kind: d["name"] for kind, d in datasets.items()} == names
    for kind, dataset in datasets.items():
        assert (dataset["version"], dataset["shards"], len(dataset["episodes"])) == ("1.0.0", 2, 4)
        for before in attempts[kind]:
            after = dataset["episodes"][str(before.seed)]
            assert (after["task"], after["success"]) == ("window-close", True)
            assert after["steps"] == [rlds_step(before, i) for i in range(before.num_steps)]


def mapping_of(arm: str) -> Path:
    return Path(__file__).parents[4] / "benchmarks" / "lam_study" / f"lift_{arm}.yaml"


def test_the_mappings_of_the_study_differ_in_arm_and_rate_alone() -> None:
    columns = []
    for arm, name in (("panda", "lift"), ("ur5e", "lift_ur5e"), ("kinova3", "lift_kinova3")):
        mapping, simulator = _mapping.load(str(mapping_of(arm))), simulator_class(name)
        assert (mapping.embodiment, mapping.control_hz) == (simulator.embodiment, simulator.control_hz)
        columns.append((mapping.state, mapping.action))
    assert columns[0] == columns[1] == columns[2]


def test_a_mapping_of_the_study_reads_an_arm_in_canonical_units(tmp_path: Path) -> None:
    made = make_attempt(0, 4, "lift")
    made.raw_state[:, 3:7] = [0.0, 0.0, np.sin(0.3), np.cos(0.3)]  # xyzw: turned by 0.6 about z
    made.raw_state[:, 7] = 0.25
    made.raw_action[:, 3:] = [[0.0, 0.0, 0.4, grip] for grip in (-1.0, -1.0, 1.0, 1.0)]
    attempt.save(tmp_path / "a.npz", [made])
    program = (
        "import sys; from pathlib import Path; from pipelines.evaluation.recording import rlds; "
        "rlds.write_lift(sys.argv[1], [Path(sys.argv[2]) / 'a.npz'], Path(sys.argv[2]), 1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "ur5e", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "robosuite_lift" / "ur5e" / "1.0.0"
    source = catalog.source("openx/auto")(str(folder), mapping=str(mapping_of("ur5e")))
    (episode,) = [one for part in source.parts() for one in source.read(part)]
    assert (episode.embodiment, episode.control_hz) == ("ur5e", 10.0)
    np.testing.assert_allclose(episode.state[:, :3], made.raw_state[:, :3], rtol=1e-6)
    np.testing.assert_allclose(episode.state[:, 3:], np.tile([0.0, 0.0, 0.6, 0.25], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(episode.action[:, :3], 0.05 * made.raw_action[:, :3], rtol=1e-5)
    np.testing.assert_allclose(episode.action[:, 3:6], np.tile([0.0, 0.0, 0.2], (4, 1)), atol=1e-6)
    assert episode.action[:, 6].tolist() == [1.0, 1.0, 0.0, 0.0]


def rlds_step(a: attempt.Demonstration, i: int) -> dict[str, Any]:
    """What the schema says step i looks like; pictures are digests of the bytes that were recorded."""
    is_last = i == a.num_steps - 1
    state, action, picture = a.raw_state[i].tolist(), a.raw_action[i].tolist(), digest(a.images[i])
    flags = {"is_first": i == 0, "is_last": is_last, "is_terminal": is_last}
    common = {**flags, "reward": float(is_last), "discount": 1.0}
    if a.wrists:
        observation = {"image": picture, "wrist_image": digest(a.wrists[i]), "state": state}
        return common | {"observation": observation, "action": action, "language_instruction": a.instruction}
    if len(action) == 7:
        observation = {"image": picture, "eef_pos": state[:3], "eef_quat": state[3:7], "gripper_opening": state[7:]}
        return common | {"observation": observation, "action": action, "language_instruction": a.instruction}
    observation = {"image": picture, "hand_pos": state[:3], "gripper_opening": state[3:]}
    return common | {
        "observation": observation | {"natural_language_instruction": a.instruction},
        "action": {"world_vector": action[:3], "gripper_closedness_action": action[3:]},
    }


def digest(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def test_proprio_stats_hold_every_dataset_of_the_original(tmp_path: Path) -> None:
    import h5py

    rows = [
        {
            "joint": np.full(14, 0.1 * i),
            "closed_mm": np.array([0.0, 120.0]),
            "position": np.full((2, 3), 0.5),
            "orientation": np.tile([0.0, 0.0, 0.0, 1.0], (2, 1)),
        }
        for i in range(6)
    ]
    grippers = np.array([[-1.0, 1.0]] * 6, np.float32)
    agibot._write_proprio(tmp_path / "proprio_stats.h5", rows, grippers)
    stored = {}
    with h5py.File(tmp_path / "proprio_stats.h5") as file:
        file.visititems(lambda name, item: stored.update({name: item[()]}) if hasattr(item, "shape") else None)
    assert stored["timestamp"].dtype == np.int64
    assert np.diff(stored["timestamp"]).tolist() == [33_333_333] * 5
    shapes = {
        "state/joint/position": (6, 14),
        "state/joint/current_value": (6, 14),
        "state/effector/position": (6, 2),
        "state/end/position": (6, 2, 3),
        "state/end/orientation": (6, 2, 4),
        "state/head/position": (6, 2),
        "state/waist/position": (6, 2),
        "action/joint/position": (6, 14),
        "action/effector/position": (6, 2),
        "action/end/position": (6, 2, 3),
        "action/end/orientation": (6, 2, 4),
        "action/head/position": (6, 2),
        "action/waist/position": (6, 2),
        "action/robot/velocity": (6, 2),
    }
    for name, shape in shapes.items():
        assert (stored[name].shape, stored[name].dtype) == (shape, np.float64), name
    indices = {f"action/{part}/index" for part in ("joint", "effector", "end", "head", "waist", "robot")}
    assert all(stored[name].tolist() == list(range(6)) for name in indices)
    empty = set(stored) - set(shapes) - indices - {"timestamp"}
    assert len(empty) == 16
    assert all((stored[name].shape, stored[name].dtype) == ((0,), np.float32) for name in empty)
    np.testing.assert_array_equal(stored["action/effector/position"][0], [0.0, 1.0])  # 0 open, 1 closed


def test_segments_follow_one_another_and_cover_the_episode() -> None:
    info = agibot._task_info(900_007, [0, 0, 1, 2, 2, 3])
    segments = info["label_info"]["action_config"]
    assert [(s["start_frame"], s["end_frame"], s["skill"]) for s in segments] == [
        (0, 2, "Reach"),
        (2, 3, "Reach"),
        (3, 5, "Grasp"),
        (5, 6, "Lift"),
    ]
    assert info["episode_id"] == 900_007
    assert "Simulated" in info["init_scene_text"]


@pytest.mark.parametrize(
    ("codec", "name", "decoder", "rate_hz"), [("libsvtav1", "a.mp4", "av1", 30), ("libvpx-vp9", "a.webm", "vp9", 12)]
)
def test_videos_have_the_publishers_codec_rate_and_every_frame(
    codec: str, name: str, decoder: str, rate_hz: int, tmp_path: Path
) -> None:
    import av

    frames = [np.full((240, 320, 3), 8 * i, np.uint8) for i in range(20)]
    assert write_video(tmp_path / name, frames, rate_hz, codec) == 20
    assert [f.name for f in tmp_path.iterdir()] == [name]
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.codec.canonical_name, stream.average_rate) == (decoder, rate_hz)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert stream.codec_context.pix_fmt == "yuv420p"
    np.testing.assert_allclose([f.mean() for f in decoded], [f.mean() for f in frames], atol=4)


def test_pieces_of_real_footage_are_240_high_and_12_hz_and_a_missing_folder_costs_nothing(tmp_path: Path) -> None:
    import gzip

    frames = [np.full((480, 640, 3), 2 * i, np.uint8) for i in range(100)]
    write_video(tmp_path / "cup.mp4", frames, 25, "libsvtav1")
    (tmp_path / "cup.mp4.gz").write_bytes(gzip.compress((tmp_path / "cup.mp4").read_bytes()))
    something_something.write_real(tmp_path / "out", tmp_path / "notes", 2, tmp_path)
    something_something.write_real(tmp_path / "out", tmp_path / "notes", 9, tmp_path / "nowhere")
    clips = something_something.write_labels(tmp_path / "out", tmp_path / "notes")
    assert (clips.simulated, clips.real) == (0, 2)
    pieces = list(something_something._cut((tmp_path / "cup.mp4").read_bytes(), 1.0, 3.0))
    assert len(pieces) == 24
    assert pieces[0].shape == (240, 320, 3)
    assert abs(pieces[0].mean() - 2 * 25) < 6


def test_labels_fill_templates_and_every_clip_is_in_one_split(tmp_path: Path) -> None:
    template = something_something.Template("Pushing [something] with [something]", ("a plate", "a gripper"))
    frames = [np.zeros((240, 320, 3), np.uint8)] * 3
    for i in range(12):
        something_something._write(tmp_path, tmp_path / "notes" / f"{i + 100}.json", frames, template, "simulated")
    clips = something_something.write_labels(tmp_path, tmp_path / "notes")
    splits = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("train", "validation", "test")}
    assert splits["train"][0] == {
        "id": "100",
        "label": "pushing a plate with a gripper",
        "template": "Pushing [something] with [something]",
        "placeholders": ["a plate", "a gripper"],
    }
    assert all(set(entry) == {"id"} for entry in splits["test"])
    assert sorted(e["id"] for split in splits.values() for e in split) == [str(i + 100) for i in range(12)]
    assert json.loads((tmp_path / "labels.json").read_text()) == {"Pushing something with something": "0"}
    assert (clips.simulated, clips.unlabelled, clips.frames) == (12, 1, 36)
    assert len(list((tmp_path / something_something.VIDEOS).glob("*.webm"))) == 12
