"""One attempt of a scripted expert, and the file that keeps the attempts of a task until a writer asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.whole_file import whole_file
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Simulator

JPEG_QUALITY = 95


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """A successful attempt over t steps; row i of `raw_action` belongs to observation i.

    The robot executed the expert's action plus noise, so that it strays and shows how to recover; stored is the
    expert's clean action, clipped to what the simulator accepts. The last row is what the expert would have done next.
    """

    task: str
    instruction: str
    seed: int
    images: Sequence[bytes]
    """t JPEGs"""
    wrists: Sequence[bytes]
    """t JPEGs, or none"""
    raw_state: NDArray[np.float32]
    """(t, s)"""
    raw_action: NDArray[np.float32]
    """(t, a)"""

    @property
    def num_steps(self) -> int:
        """Observations, the final one among them."""
        return len(self.images)


def attempt(simulator: Simulator, task: str, seed: int) -> Demonstration | None:
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
    return Demonstration(
        task=task,
        instruction=simulator.tasks[task],
        seed=seed,
        images=[_jpeg(o.image) for o in observations],
        wrists=[_jpeg(o.wrist) for o in observations if o.wrist is not None],
        raw_state=np.stack([o.raw_state for o in observations]),
        raw_action=np.stack(actions),
    )


def record_attempts(simulator: Simulator, task: str, count: int, first_seed: int = 0) -> list[Demonstration]:
    """Collect so many successful attempts, from a seed on; failed ones are dropped."""
    kept: list[Demonstration] = []
    for seed in range(first_seed, first_seed + 20 * count):
        success = attempt(simulator, task, seed)
        kept += [success] if success is not None else []
        if len(kept) == count:
            return kept
    raise RuntimeError(f"{simulator.name} {task}: the expert succeeded {len(kept)} times in {20 * count} tries")


def save(path: Path, attempts: Sequence[Demonstration]) -> None:
    """Keep attempts of one task in a file that appears only once it is whole."""
    jpegs = [jpeg for a in attempts for jpeg in (*a.images, *a.wrists)]
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            task=np.array(attempts[0].task),
            instruction=np.array(attempts[0].instruction),
            seeds=np.array([a.seed for a in attempts]),
            lengths=np.array([a.num_steps for a in attempts]),
            num_cameras=np.array(2 if attempts[0].wrists else 1),
            bytes=np.frombuffer(b"".join(jpegs), np.uint8),
            offsets=np.cumsum([0, *(len(jpeg) for jpeg in jpegs)]),
            raw_state=np.concatenate([a.raw_state for a in attempts]),
            raw_action=np.concatenate([a.raw_action for a in attempts]),
        )


def load(path: Path) -> list[Demonstration]:
    """Read the attempts back."""
    with np.load(path) as kept:
        data, offsets, num_cameras = kept["bytes"].tobytes(), kept["offsets"], int(kept["num_cameras"])
        jpegs = [data[a:b] for a, b in pairwise(offsets)]
        ends = np.cumsum(kept["lengths"])
        attempts = []
        for seed, start, end in zip(kept["seeds"], ends - kept["lengths"], ends, strict=True):
            at, num_steps = num_cameras * start, end - start
            attempts.append(
                Demonstration(
                    task=str(kept["task"]),
                    instruction=str(kept["instruction"]),
                    seed=int(seed),
                    images=jpegs[at : at + num_steps],
                    wrists=jpegs[at + num_steps : at + num_cameras * num_steps],
                    raw_state=kept["raw_state"][start:end],
                    raw_action=kept["raw_action"][start:end],
                )
            )
    return attempts


def lengths(path: Path) -> list[int]:
    """Read how many steps each kept attempt has, without its pictures."""
    with np.load(path) as kept:
        return [int(n) for n in kept["lengths"]]


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=JPEG_QUALITY, colorspace="RGB")
