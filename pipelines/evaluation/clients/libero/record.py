"""Records demonstrations of the scripted expert, one npz an episode, from starts that no evaluation has.

The robot executes the expert's action plus a push while it is in free space, so that it strays and shows how to come
back. Both are kept: `executed` replays to the same states, `action` is what the expert wanted. After success the hand
opens for ten more steps: the benchmark calls an object solved that is still held.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.clients.libero.expert import Expert
from pipelines.evaluation.clients.libero.scene import Scene, View

PUSH = 0.3
"""Standard deviation on x, y and z, as a share of the full action."""
MAX_STEPS = 220
EVAL_SEEDS_FROM = 1_000_000
"""Seeds of recordings lie below, those of evaluations on `random` and `wide` starts from here on."""


def attempt(
    scene: Scene, init_set: str, seed: int, *, push: float = PUSH, alive: Callable[[], None] = lambda: None
) -> dict[str, Any] | None:
    """Let the expert try; None where it fails."""
    if init_set == "official":
        raise ValueError("the official starts are those of evaluations; record 'random' or 'wide' ones")
    if not 0 <= seed < EVAL_SEEDS_FROM:
        raise ValueError(f"seed {seed} is not for recording, expected 0 to {EVAL_SEEDS_FROM - 1}")
    return play(scene, init_set, seed, push=push, alive=alive)


def play(
    scene: Scene,
    init_set: str,
    index: int,
    *,
    push: float = 0.0,
    draw: bool = True,
    alive: Callable[[], None] = lambda: None,
) -> dict[str, Any] | None:
    """Play the expert from a start, until it has let go; all that was seen and done, or None where it failed."""
    random = np.random.default_rng(index)
    view = scene.begin(init_set, index)
    try:
        expert = Expert(scene)
    except RuntimeError:
        return None
    views, physics = list[View](), list[NDArray[np.float64]]()
    actions, executed = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    solved_at = -1
    while not expert.finished and len(actions) < MAX_STEPS:
        wanted = expert.act(view)
        done = wanted.copy()
        if push and expert.in_transit:
            done[:3] = np.clip(done[:3] + random.normal(0, push, 3), -1, 1)
        views.append(view)
        physics.append(scene.physics)
        actions.append(wanted)
        executed.append(done)
        view, solved = scene.step(done, look=draw)
        alive()
        if solved and solved_at < 0:
            solved_at = len(actions)
    if solved_at < 0 or not scene.inner._check_success():
        return None
    return {
        "suite": scene.task.problem_folder,
        "task": scene.task.name,
        "instruction": scene.instruction,
        "problem": scene.problem,
        "init_set": init_set,
        "seed": index,
        "solved_at": solved_at,
        **({"image": np.stack([v.image for v in views]), "wrist": np.stack([v.wrist for v in views])} if draw else {}),
        "position": np.stack([v.position for v in views]),
        "rotation": np.stack([v.rotation for v in views]),
        "fingers": np.stack([v.fingers for v in views]),
        "joints": np.stack([v.joints for v in views]),
        "physics": np.stack(physics),
        "action": np.stack(actions),
        "executed": np.stack(executed),
    }


def save(path: Path, episode: dict[str, Any]) -> None:
    """Write an episode; the file appears only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **episode)
    partial.rename(path)
