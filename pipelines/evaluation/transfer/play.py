"""Executes latent actions on a simulated robot: blindly, or with the state that it really came to."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.simulators._base import Simulator
from pipelines.evaluation.transfer.target import Target

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What a robot did."""

    states: Floats
    """(n + 1, s) canonical, before the first latent action and after each."""
    actions: Floats
    """(n K, a) canonical, as it was asked to."""
    predicted: Floats
    """(n K + 1, s) states that those actions were thought to lead to; closed loop begins anew at each of its states."""
    solved: bool
    """Whether the simulator called its task done at any step."""
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    """n K + 1 pictures, where it was filmed."""
    seen: list[NDArray[np.uint8]] = field(default_factory=list)
    """n + 1 pictures at the states."""


def execute(
    simulator: Simulator, target: Target, latents: Floats, seed: int, *, closed: bool, filmed: bool = False
) -> Execution:
    """Execute latent actions (n, k, d) from the start of a seed.

    `closed`: each is turned into actions with the state that the robot came to; else with the one that was predicted.
    """
    simulator.reset(seed)
    observation = simulator.observe()
    states, actions, solved = [observation.state], list[Floats](), False
    frames, seen = [observation.image], [observation.image]
    predicted = [observation.state[None]]
    for latent in latents:
        future, chunk = target.predict(states[-1] if closed else predicted[-1][-1], latent)
        predicted.append(future)
        for action in chunk:
            solved |= simulator.step(simulator.to_raw(action))
            if filmed:
                frames.append(simulator.observe().image)
        actions.append(chunk)
        observation = simulator.observe()
        states.append(observation.state)
        seen.append(observation.image)
    return Execution(
        states=np.stack(states).astype(np.float32),
        actions=np.concatenate(actions),
        predicted=np.concatenate(predicted),
        solved=solved,
        frames=frames if filmed else [],
        seen=seen,
    )
