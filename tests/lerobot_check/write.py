"""Write a dataset with the real lerobot package, 0.4.4 (v3.0) or 0.3.3 (v2.1); run by its own python.

    python write.py OUT

Two cameras, texts, three episodes. Beside it, OUT.npz keeps the numbers that went in.
"""

import sys

import numpy as np
from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset

FPS = 20
LENGTHS = (23, 17, 30)
TASKS = ("pick the cube", "place the cube", "pick the cube")
MOTORS = ["shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos", "wrist_flex.pos", "wrist_roll.pos", "gripper.pos"]
SIDES = {"observation.images.top": (96, 128), "observation.images.wrist": (64, 64)}
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (6,), "names": MOTORS},
    "action": {"dtype": "float32", "shape": (6,), "names": MOTORS},
    "observation.force": {"dtype": "float64", "shape": (1,), "names": None},
    "operator": {"dtype": "string", "shape": (1,), "names": None},
    "moving": {"dtype": "bool", "shape": (1,), "names": None},
    **{
        key: {"dtype": "video", "shape": (*sides, 3), "names": ["height", "width", "channels"]}
        for key, sides in SIDES.items()
    },
}


def picture(episode: int, step: int, sides: tuple[int, int]) -> np.ndarray:
    """Grey that tells episode and step: far enough apart to survive a lossy codec."""
    return np.full((*sides, 3), 20 + 60 * episode + 5 * (step % 12), np.uint8)


def main(out: str) -> None:
    dataset = LeRobotDataset.create("made/up", FPS, FEATURES, root=out, robot_type="so100_follower")
    draw = np.random.default_rng(0)
    numbers = {}
    for episode, (length, task) in enumerate(zip(LENGTHS, TASKS, strict=True)):
        state, action, force = draw.normal(size=(length, 6)), draw.normal(size=(length, 6)), draw.normal(size=length)
        numbers |= {f"state{episode}": state, f"action{episode}": action, f"force{episode}": force}
        for step in range(length):
            frame = {
                "observation.state": state[step].astype(np.float32),
                "action": action[step].astype(np.float32),
                "observation.force": force[step : step + 1],
                "operator": "ann" if episode else "bob",
                "moving": np.array([step % 2 == 0]),
                **{key: picture(episode, step, sides) for key, sides in SIDES.items()},
            }
            if CODEBASE_VERSION == "v2.1":
                dataset.add_frame(frame, task)
            else:
                dataset.add_frame({**frame, "task": task})
        dataset.save_episode()
    if CODEBASE_VERSION != "v2.1":
        dataset.finalize()
    np.savez(f"{out}.npz", **numbers)


if __name__ == "__main__":
    main(sys.argv[1])
