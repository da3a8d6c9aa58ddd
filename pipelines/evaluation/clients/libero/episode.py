"""One episode from its start to success or its last step, and the filmstrip of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.clients.libero.actors import Actor, canonical_action, canonical_state
from pipelines.evaluation.clients.libero.scene import Scene, View, upright

STRIP_FRAMES = 8
Row = tuple[View, NDArray[np.float64]]
"""What is seen before a control step, and the action (7,) that is executed in it, within what the controller takes."""


@dataclass(frozen=True)
class Protocol:
    """What an episode is: constants that change a score, hence named beside it."""

    max_steps: int
    settle_steps: int
    reset: bool = True
    success: str = "any"
    """`any`: solved at any step ends the episode; `end`: solved when the last step is over."""


@dataclass(frozen=True)
class Outcome:
    """How an episode went."""

    success: bool
    solved_ever: bool
    steps: int
    looks: int
    seconds: float
    act_seconds: float
    """Of them, waiting for who decides."""


def play(
    scene: Scene,
    actor: Actor,
    start: tuple[str, int],
    protocol: Protocol,
    film: Path | None = None,
    alive: Callable[[], None] = lambda: None,
    rows: list[Row] | None = None,
) -> Outcome:
    """Play one episode; a filmstrip is kept where it fails, if `film` says where.

    `rows` takes what was seen and executed at each control step, for which the cameras draw them all.
    """
    begun = time.monotonic()
    view = scene.begin(*start, settle=protocol.settle_steps, reset=protocol.reset)
    actor.begin(scene)
    frames = [view]
    steps, waited, solved, ever = 0, 0.0, False, False
    while steps < protocol.max_steps and not (solved and protocol.success == "any"):
        asked = time.monotonic()
        actions = actor.act(view)[: protocol.max_steps - steps]
        waited += time.monotonic() - asked
        for i, action in enumerate(actions):
            last = i == len(actions) - 1
            if rows is not None:
                rows.append((view, np.clip(action, -1.0, 1.0)))
            view, solved = scene.step(action, look=last or rows is not None)
            steps, ever = steps + 1, ever or solved
            alive()
            if solved and protocol.success == "any":
                break
        frames.append(view)
    if film is not None and not solved:
        save_strip(film, frames)
    return Outcome(solved, ever, steps, len(frames) - 1, time.monotonic() - begun, waited)


def save_strip(path: Path, views: list[View]) -> None:
    """Keep some looks of an episode side by side, both cameras, as JPEG."""
    from PIL import Image

    seen = [view for view in views if view.image.shape[0] > 1]
    chosen = np.linspace(0, len(seen) - 1, min(STRIP_FRAMES, len(seen))).round().astype(int)
    rows: list[NDArray[np.uint8]] = [
        np.concatenate([upright(seen[i].image) for i in chosen], axis=1),
        np.concatenate([upright(seen[i].wrist) for i in chosen], axis=1),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path, quality=90)


def recorded(rows: Sequence[Row]) -> dict[str, Any]:
    """Lay out rows as evaluations keep episodes: canonical numbers, pictures upright."""
    return {
        "state": np.stack([canonical_state(view.state) for view, _ in rows]),
        "action": canonical_action(np.stack([action for _, action in rows])),
        "image": np.stack([upright(view.image) for view, _ in rows]),
        "wrist": np.stack([upright(view.wrist) for view, _ in rows]),
    }
