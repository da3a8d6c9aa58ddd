"""One attempt of a scripted expert: what every writer of this folder is fed with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.simulators._base import EVAL_SEEDS_FROM, Simulator


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A successful attempt over t steps; row i of `raw_action` belongs to observation i.

    The robot executed the expert's action plus noise, so that it strays and shows how to recover; stored is the
    expert's clean action, clipped to what the simulator accepts. The last row is what the expert would have done next.
    """

    task: str
    instruction: str
    seed: int
    image: NDArray[np.uint8]
    """(t, height, width, 3)"""
    wrist: NDArray[np.uint8] | None
    """(t, height, width, 3)"""
    raw_state: NDArray[np.float32]
    """(t, s)"""
    state: NDArray[np.float32]
    """(t, s) canonical"""
    raw_action: NDArray[np.float32]
    """(t, a)"""


def attempt(simulator: Simulator, task: str, seed: int) -> Attempt | None:
    """Let the expert try; None when it fails within the simulator's limit."""
    if not 0 <= seed < EVAL_SEEDS_FROM:
        raise ValueError(f"seed {seed} is not for recording: expected 0 to {EVAL_SEEDS_FROM - 1}")
    random = np.random.default_rng(seed)
    simulator.reset(seed)
    observations, actions = [simulator.observe()], list[NDArray[np.float32]]()
    success = False
    while not success and len(actions) < simulator.max_steps:
        action = simulator.expert()
        actions.append(action)
        executed = action.copy()
        executed[:3] += random.normal(0.0, simulator.expert_noise, 3)  # xyz; the gripper obeys
        success = simulator.step(executed)
        observations.append(simulator.observe())
    if not success:
        return None
    actions.append(simulator.expert())
    wrists = [o.wrist for o in observations if o.wrist is not None]
    return Attempt(
        task=task,
        instruction=simulator.tasks[task],
        seed=seed,
        image=np.stack([o.image for o in observations]),
        wrist=np.stack(wrists) if wrists else None,
        raw_state=np.stack([o.raw_state for o in observations]),
        state=np.stack([o.state for o in observations]),
        raw_action=np.stack(actions),
    )
