"""Writes two-arm episodes in AgiBot World's layout, as its tars lie on disk once extracted.

observations/<task>/<episode>/videos/{head,hand_left,hand_right}_color.mp4   AV1, 640x480, 30 Hz
proprio_stats/<task>/<episode>/proprio_stats.h5                              every dataset of the original
task_info/task_<task>.json                                                   segments with texts

Kept on purpose, because the original is so: `action` of joints and ends repeats the state, absent quantities are
empty, the gripper's state counts millimetres upwards from open. Not written: depth, fisheyes, camera parameters.
The scene text says that the episodes are simulated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.whole_file import whole_file, write_whole
from pipelines.evaluation.simulators.two_arm import TwoArm
from pipelines.evaluation.video import write_video

TASK_ID = 9001
"""AgiBot's own tasks have three digits."""
FIRST_EPISODE_ID = 900_000
RATE_HZ = 30
STEP_NS = 33_333_333
START_NS = 1_735_689_600_000_000_000
CLOSED_MM = 120.0
TASK_NAME = "Lift the pot"
SCENE = (
    "Simulated in MuJoCo (robosuite TwoArmLift): two Panda arms stand side by side at a white table. "
    "A red pot with two handles stands on the table."
)
PHASES = {0: ("Reach over both handles", "Reach"), 1: ("Lower both grippers onto the handles", "Reach")} | {
    2: ("Grasp both handles", "Grasp"),
    3: ("Lift the pot with both arms", "Lift"),
}
VIDEOS = {"head": "image", "hand_left": "wrist", "hand_right": "wrist_2"}
EMPTY = (
    *(f"state/joint/{name}" for name in ("effort", "velocity")),
    "state/effector/force",
    *(f"state/end/{name}" for name in ("velocity", "angular", "wrench")),
    *(f"state/robot/{name}" for name in ("position", "orientation", "position_drift", "orientation_drift")),
    "action/effector/force",
    *(f"action/joint/{name}" for name in ("effort", "velocity")),
    *(f"action/robot/{name}" for name in ("position", "orientation", "angular")),
)


def write_episodes(root: Path, notes: Path, count: int) -> list[int]:
    """Record so many successful episodes below `root`; return the steps of each.

    Finished episodes are noted below `notes` and kept when the call is repeated.
    """
    done = {int(file.stem): json.loads(file.read_text(encoding="utf-8")) for file in sorted(notes.glob("*.json"))}
    simulator = TwoArm("lift-pot") if len(done) < count else None
    seed = 0
    while simulator is not None and len(done) < count:
        if FIRST_EPISODE_ID + seed not in done:
            facts = _record(simulator, seed, root)
            if facts is not None:
                note = notes / f"{FIRST_EPISODE_ID + seed}.json"
                write_whole(note, json.dumps(facts, indent=2))
                done[FIRST_EPISODE_ID + seed] = facts
        seed += 1
        if seed > 10 * count:
            raise RuntimeError(f"two_arm: the expert succeeded {len(done)} times in {seed} tries")
    tasks = [done[episode]["task_info"] for episode in sorted(done)]
    write_whole(root / "task_info" / f"task_{TASK_ID}.json", json.dumps(tasks, indent=2))
    return [done[episode]["num_steps"] for episode in sorted(done)]


def _record(simulator: TwoArm, seed: int, root: Path) -> dict[str, Any] | None:
    """Play one attempt and write it when it succeeds."""
    random = np.random.default_rng(seed)
    simulator.reset(seed)
    rows, phases, success = [_look(simulator)], [simulator.stage], False
    commands: list[NDArray[np.float32]] = []
    while not success and len(commands) < simulator.max_steps:
        command = simulator.expert()
        commands.append(command)
        executed = command.copy()
        executed[[0, 1, 2, 7, 8, 9]] += random.normal(0.0, simulator.expert_noise, 6)
        success = simulator.step(executed)
        rows.append(_look(simulator))
        phases.append(simulator.stage)
    if not success:
        return None
    commands.append(commands[-1])
    episode = FIRST_EPISODE_ID + seed
    videos = root / "observations" / str(TASK_ID) / str(episode) / "videos"
    for camera, key in VIDEOS.items():
        write_video(videos / f"{camera}_color.mp4", (row[key] for row in rows), RATE_HZ, "libsvtav1")
    path = root / "proprio_stats" / str(TASK_ID) / str(episode) / "proprio_stats.h5"
    _write_proprio(path, rows, np.stack(commands)[:, [6, 13]])
    return {"num_steps": len(rows), "task_info": _task_info(episode, phases)}


def _look(simulator: TwoArm) -> dict[str, Any]:
    """Take everything that a row of the recording holds."""
    seen, poses = simulator.observe(), simulator.poses()
    return {
        "image": seen.image,
        "wrist": seen.wrist,
        "wrist_2": seen.wrist_2,
        "joint": simulator.joints(),
        "closed_mm": (1.0 - simulator.openings()) * CLOSED_MM,
        "position": np.stack([position for position, _ in poses]),
        "orientation": np.stack([rotation.as_quat() for _, rotation in poses]),  # xyzw
    }


def _write_proprio(path: Path, rows: list[dict[str, Any]], grippers: NDArray[np.float32]) -> None:
    """Write proprio_stats.h5; `grippers` (t, 2) are commands, -1 opens, +1 closes."""
    import h5py

    num_steps = len(rows)
    index = np.arange(num_steps, dtype=np.int64)
    joint, position, orientation, closed_mm = (
        np.stack([row[key] for row in rows]) for key in ("joint", "position", "orientation", "closed_mm")
    )
    still = np.zeros((num_steps, 2))
    values: Mapping[str, NDArray] = {
        "timestamp": START_NS + index * STEP_NS,
        "state/joint/position": joint,
        "state/joint/current_value": np.zeros_like(joint),
        "state/effector/position": closed_mm,
        "state/end/position": position,
        "state/end/orientation": orientation,
        "state/head/position": still,
        "state/waist/position": still,
        "action/joint/position": joint,
        "action/effector/position": (grippers.astype(np.float64) + 1.0) / 2.0,
        "action/end/position": position,
        "action/end/orientation": orientation,
        "action/head/position": still,
        "action/waist/position": still,
        "action/robot/velocity": still,
        **{f"action/{part}/index": index for part in ("joint", "effector", "end", "head", "waist", "robot")},
    }
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        for key, value in values.items():
            file.create_dataset(key, data=value)
        for key in EMPTY:
            file.create_dataset(key, shape=(0,), dtype=np.float32)


def _task_info(episode: int, phases: list[int]) -> dict[str, Any]:
    """Describe one episode; the end of a segment is the start of the next."""
    starts = [i for i, phase in enumerate(phases) if i == 0 or phases[i - 1] != phase]
    segments = [
        {
            "start_frame": start,
            "end_frame": end,
            "action_text": f"{PHASES[phases[start]][0]}.",
            "skill": PHASES[phases[start]][1],
        }
        for start, end in zip(starts, [*starts[1:], len(phases)], strict=True)
    ]
    return {
        "episode_id": episode,
        "task_name": TASK_NAME,
        "init_scene_text": SCENE,
        "label_info": {"action_config": segments},
    }
