"""Recordings like those of real labs, made in sight: arms with lag and noise under commands, and textured clips.

A task is a few places to go to and when to grasp. An arm follows with a lag, its gripper moves at its own speed, and
sensors are noisy; what differs between bodies is the rate and what states and actions are.
"""

import dataclasses

import numpy as np
from PIL import Image

from dataengine.episode import Episode
from dataengine.texts import whole_episode
from tests.support.corpora import frames_of

SIDE = 64


def script(draw, num_steps, hz):
    """(t, 3) targets in metres along straight ways with soft ends, and (t,) commanded opening."""
    corners = np.array([0.45, 0.0, 0.2]) + draw.uniform(-0.18, 0.18, (4, 3))
    knots = np.linspace(0, num_steps - 1, 4)
    share = np.arange(num_steps)
    leg = np.clip(np.searchsorted(knots, share, side="right") - 1, 0, 2)
    s = (share - knots[leg]) / (knots[leg + 1] - knots[leg])
    s = s * s * (3 - 2 * s)
    target = corners[leg] * (1 - s[:, None]) + corners[leg + 1] * s[:, None]
    opening = np.where((share > knots[1]) & (share < knots[2] + hz * 0.2), 0.0, 1.0)
    return target, opening


def recording(record, *, body="widowx", dataset="lab", seconds=6.0, seed=0, idle_s=0.0, cameras=True):
    """One attempt: `widowx` 5 Hz deltas, `ur5` 20 Hz target poses, `g1` two arms at 30 Hz or `panda_joint` joints."""
    draw = np.random.default_rng([seed, *record.encode(), *body.encode()])
    hz = {"widowx": 5.0, "ur5": 20.0, "g1": 30.0, "panda_joint": 15.0}[body]
    steps, idle = int(seconds * hz), int(idle_s * hz)
    arms = [_arm(draw, steps, idle, hz) for _ in range(2 if body == "g1" else 1)]
    states, targets = (np.hstack([arm[i] for arm in arms]) for i in (0, 1))
    encodings = ("eef_pose", "eef_pose")
    actions = targets
    if body == "widowx":
        actions, encodings = _deltas(states, targets), ("eef_pose", "eef_delta")
    if body == "panda_joint":
        mix = np.linalg.qr(np.random.default_rng(7).normal(size=(8, 8)))[0]
        for angles in (states[:, 3:6], targets[:, 3:6]):
            angles[:] = np.unwrap(angles, axis=0)
        states, actions, encodings = states @ mix[:7], targets @ mix[:7], ("joint_position", "joint_position")
    total = len(states)
    pictures = scene(draw, states[:, [0, 1]], texture=int(seed))
    return Episode(
        dataset=dataset,
        source_record=record,
        source_uri=f"memory/{record}",
        embodiment=body,
        kind="robot",
        control_hz=hz,
        texts=whole_episode(["put the pot on the stove"], total),
        time_ns=np.round((np.arange(total) + draw.uniform(-0.1, 0.1, total)) * 1e9 / hz).astype(np.int64).clip(0),
        cameras={"primary": frames_of(pictures, quality=90)} if cameras else {},
        state=states.astype(np.float32),
        action=actions.astype(np.float32),
        state_encoding=encodings[0],
        action_encoding=encodings[1],
    )


def _arm(draw, steps, idle, hz):
    """(t, 7) state and (t, 7) target of one arm."""
    target, opening = script(draw, steps, hz)
    euler = np.array([np.pi, 0.0, 0.3]) + 0.3 * np.sin(np.linspace(0, 2, steps))[:, None] * draw.normal(size=3)
    ends = [np.concatenate([v[:1].repeat(idle, 0), v, v[-1:].repeat(idle, 0)]) for v in (target, euler, opening)]
    target, euler, opening = ends
    position, angles, jaw = target[0].copy(), euler[0].copy(), opening[0]
    state = np.zeros((len(target), 7))
    for i in range(len(target)):
        state[i] = [*position, *angles, jaw]
        follow = 1 - np.exp(-1 / (0.15 * hz))
        position, angles = position + follow * (target[i] - position), angles + follow * (euler[i] - angles)
        # The jaw takes half a second and stops at what it holds.
        jaw = float(np.clip(jaw + np.clip(opening[i] - jaw, -2 / hz, 2 / hz), 0.35, 1.0))
    state[:, :3] += draw.normal(size=(len(state), 3)) * 0.0003
    state[:, 3:6] = (state[:, 3:6] + np.pi) % (2 * np.pi) - np.pi
    return state, np.column_stack([target, (euler + np.pi) % (2 * np.pi) - np.pi, opening])


def _deltas(states, targets):
    """Commands of a controller that is told how to move on: half the way that is missing."""
    delta = targets.copy()
    delta[:, :3] = 0.5 * (targets[:, :3] - states[:, :3])
    delta[:, 3:6] = 0.5 * ((targets[:, 3:6] - states[:, 3:6] + np.pi) % (2 * np.pi) - np.pi)
    return delta


def texture(seed, side=SIDE):
    """(side, side) grey picture with edges at all scales, as rooms have them."""
    draw = np.random.default_rng([41, seed])
    picture = np.full((side, side), 110.0)
    for _ in range(60):
        y, x = draw.integers(0, side, 2)
        h, w = draw.integers(2, side // 2, 2)
        picture[y : y + h, x : x + w] += draw.normal() * 25
    return np.clip(picture + draw.normal(size=(side, side)) * 4, 20, 235)


def scene(draw, positions, *, texture=0, side=SIDE):
    """(t, side, side, 3) a background, a patterned thing that moves over it by places (t, 2), and sensor noise."""
    background, thing = globals()["texture"](texture, side), globals()["texture"](texture + 1000, 14)
    low, high = positions.min(axis=0), positions.max(axis=0)
    spots = (4 + (side - 22) * (positions - low) / np.maximum(high - low, 1e-6)).astype(int)
    pictures = np.repeat(background[None], len(positions), axis=0)
    for picture, (y, x) in zip(pictures, spots, strict=True):
        picture[y : y + 14, x : x + 14] = 255 - thing
    noisy = np.clip(pictures + draw.normal(size=pictures.shape) * 2, 0, 255)
    return noisy.astype(np.uint8)[..., None].repeat(3, axis=-1)


def clip(record, *, dataset="video", num_frames=30, background=None, shake=1.0, pictures=None, quality=90):
    """A hand that does something before a background while the camera sways."""
    draw = np.random.default_rng([5, *record.encode()])
    if pictures is None:
        pictures = clip_pictures(draw, num_frames, draw.integers(1 << 30) if background is None else background, shake)
    return Episode(
        dataset=dataset,
        source_record=record,
        source_uri=f"memory/{record}",
        embodiment="human_hand",
        kind="human",
        control_hz=10.0,
        texts=whole_episode(["pushing something to the left"], len(pictures)),
        time_ns=(np.arange(len(pictures)) * 1e8).astype(np.int64),
        cameras={"primary": frames_of(pictures, quality=quality)},
    )


def clip_pictures(draw, num_frames, background, shake):
    walk = np.sin(np.linspace(0, 1, num_frames)[:, None] * draw.uniform(3, 9, 2) + draw.uniform(0, 6, 2))
    pictures = scene(draw, walk, texture=int(background), side=SIDE + 16)
    turn = np.linspace(0, 1, num_frames)[:, None] * draw.uniform(2, 8, 2) + draw.uniform(0, 6, 2)
    sway = (8 + 7 * shake * np.sin(turn)).astype(int)
    return np.stack([p[y : y + SIDE, x : x + SIDE] for p, (y, x) in zip(pictures, sway, strict=True)])


def pictures_of(episode):
    """Decode what an episode holds."""
    import simplejpeg

    return np.stack([simplejpeg.decode_jpeg(j, "RGB") for j in episode.cameras["primary"].jpegs])


def resized(pictures, side):
    return np.stack([np.asarray(Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC)) for p in pictures])


def replaced(episode, record, **changes):
    """The same episode under another name, with some of it changed."""
    return dataclasses.replace(episode, source_record=record, **changes)
