"""A small corpus made in sight: a bright square that moves as the robot's hand says."""

import dataclasses

import numpy as np
import simplejpeg

from dataengine.episode import CameraFrames, Episode, Part
from dataengine.store import Committer, Corpus, Staging, stage_part
from dataengine.store.registry import register
from dataengine.texts import whole_episode

SIDE = 48


def draw(positions, side=SIDE):
    """Pictures (t, side, side, 3) of a square at positions (t, 2) in 0 to 1."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    near = np.maximum(abs(rows - positions[:, :1, None]), abs(columns - positions[:, 1:, None])) < 0.12
    return np.where(near[..., None], 230, 60).astype(np.uint8).repeat(3, axis=-1)


def frames_of(pictures, quality=92):
    jpegs = [simplejpeg.encode_jpeg(np.ascontiguousarray(p), quality=quality) for p in pictures]
    height, width = pictures[0].shape[:2]
    return CameraFrames(jpegs=jpegs, height=height, width=width, native_height=height, native_width=width)


def robot_episode(
    record, *, dataset="made", embodiment="arm", num_steps=30, control_hz=10.0, seed=0, step_m=0.03, pictures=None
):
    """A hand that wanders in a plane, 1 m wide; the action is where it goes next, and the gripper opens half-way."""
    draw_from = np.random.default_rng([seed, *record.encode()])
    velocity = np.cumsum(draw_from.normal(size=(num_steps, 2)), axis=0)
    delta = step_m * velocity / (1 + np.abs(velocity))
    xy = 0.5 + 0.35 * np.sin(np.cumsum(delta, axis=0))
    state = np.zeros((num_steps, 7), np.float32)
    state[:, :2], state[:, 2], state[num_steps // 2 :, 6] = xy, 0.1, 1
    action = np.zeros_like(state)
    action[:-1, :2], action[:, 6] = np.diff(xy, axis=0), state[:, 6]
    return Episode(
        dataset=dataset,
        source_record=record,
        source_uri=f"memory/{record}",
        embodiment=embodiment,
        kind="robot",
        control_hz=control_hz,
        texts=whole_episode([f"do {record}"], num_steps),
        time_ns=(np.arange(num_steps) * 1e9 / control_hz).astype(np.int64),
        cameras={"primary": frames_of(draw(xy) if pictures is None else pictures)},
        state=state,
        action=action,
        raw_state=state[:, :3].copy(),
        raw_action=action[:, :2].copy(),
        state_encoding="eef_pose",
        action_encoding="eef_delta",
    )


def torn(episode, frame):
    """An episode one of whose pictures is cut short."""
    camera = episode.cameras["primary"]
    jpegs = [jpeg[:-30] if i == frame else jpeg for i, jpeg in enumerate(camera.jpegs)]
    return dataclasses.replace(episode, cameras={"primary": dataclasses.replace(camera, jpegs=jpegs)})


def human_clip(record, *, dataset="made", num_steps=20, control_hz=10.0, cameras=True):
    xy = 0.5 + 0.3 * np.sin(np.arange(num_steps)[:, None] * [0.3, 0.2])
    return Episode(
        dataset=dataset,
        source_record=record,
        source_uri=f"memory/{record}",
        embodiment="human_hand",
        kind="human",
        control_hz=control_hz,
        texts=whole_episode(["wave"], num_steps),
        time_ns=(np.arange(num_steps) * 1e9 / control_hz).astype(np.int64),
        cameras={"primary": frames_of(draw(xy))} if cameras else {},
    )


def add_parts(corpus, parts):
    """Commit lists of episodes of one dataset: one part and one fragment each."""
    episodes = [e for part in parts.values() for e in part]
    registered = {
        "dataset_ids": register(corpus.uri, "datasets", [{"name": n} for n in sorted({e.dataset for e in episodes})]),
        "embodiment_ids": register(
            corpus.uri, "embodiments", [{"name": n} for n in sorted({e.embodiment for e in episodes})]
        ),
    }
    corpus.append_run({"run_id": "test", "command": "add"})
    staging = Staging(corpus=corpus.uri, run_id="test", **registered)
    committer = Committer(corpus.uri, "test")
    for name, part_episodes in parts.items():
        part = Part(
            dataset=part_episodes[0].dataset, name=name, uri="memory", num_bytes=1, fingerprint=name, options={}
        )
        receipt = stage_part(part, part_episodes, staging)
        assert not receipt.rejects, receipt.rejects
        committer.commit([receipt])
    corpus.refresh()
    return corpus


def make_corpus(path, parts):
    return add_parts(Corpus.create(path), parts)
