"""Which action a robot executes next, of the chunks that a policy gives it.

k of m: the first k actions of a chunk are executed, then the policy looks again. Temporal ensembling: it looks at
every step, and what all chunks say of that step is averaged, the oldest weighing most (ACT, arXiv:2304.13705). Under
latency the robot goes on with the old chunk for as many steps as the next one takes to be computed.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataengine.config import Config


class ChunkConfig(Config):
    """How chunks become actions."""

    ensemble: Literal["none", "exponential"] = "none"
    """`exponential` looks at every step (`action_steps=1`) and averages what all chunks say of it (ACT's temporal
    ensembling); a server does so for clients of vla-eval."""
    ensemble_decay: float = Field(0.01, ge=0, le=100)
    """A chunk that is i steps younger than the oldest weighs exp(-i times this) in the average."""
    guidance_beta: float = Field(5.0, ge=0, le=1000)
    """How much a chunk bends, at most, to continue the one that is being executed (real-time chunking)."""

    @property
    def decay(self) -> float | None:
        """What ensembling weighs by; None for none."""
        return self.ensemble_decay if self.ensemble == "exponential" else None

    def checked(self, action_steps: int) -> Self:
        """Raise ValueError where settings contradict one another."""
        if self.decay is not None and action_steps != 1:
            raise ValueError("ensembling needs a new chunk at every step: --action-steps 1")
        return self


@dataclass(frozen=True)
class Executing:
    """The chunk that a robot is executing while the next one is computed."""

    delay: int
    """Steps of it that will have been executed when the next one arrives."""
    actions: NDArray[np.float32]
    """(m, a) what is left of it, from now on."""


class Chunks:
    """The chunks of one robot in one episode."""

    def __init__(self, action_steps: int, decay: float | None = None, delay: int = 0) -> None:
        """`decay` is what ensembling weighs by: exp(-decay i) for the i-th chunk from the oldest; None for none.

        `delay` is how many steps a chunk takes to be computed; meanwhile the robot goes on with the one before.
        """
        self._action_steps, self._decay, self._delay = action_steps, decay, delay
        self._chunks = deque[tuple[int, NDArray[np.float32]]]()
        """Each with the step at which it begins, the oldest first."""
        self._step = self._next_look = self._usable_from = 0

    @property
    def needs_look(self) -> bool:
        """True where the policy is to be asked before the next action."""
        return self._step >= self._next_look

    @property
    def executing(self) -> Executing | None:
        """Say what is left of the newest chunk, where a robot goes on with it; None at the start of an episode."""
        if not self._chunks or not self._delay:
            return None
        start, chunk = self._chunks[-1]
        left = chunk[self._step - start :]
        return Executing(min(self._delay, len(left)), left) if len(left) else None

    def take(self, chunk: NDArray[np.float32]) -> None:
        """Take a chunk (h, a) whose first action is the next one."""
        left = self.executing
        self._usable_from = self._step + (left.delay if left is not None else 0)
        if self._decay is None:  # the one before goes when this one is usable
            self._chunks = deque([self._chunks[-1]] if left is not None else [])
        self._chunks.append((self._step, chunk))
        self._next_look = self._step + min(self._action_steps or len(chunk), len(chunk))

    def next(self) -> NDArray[np.float32]:
        """Give the next action (a,)."""
        usable = [*self._chunks][:-1] if self._step < self._usable_from else [*self._chunks]
        said = [chunk[self._step - start] for start, chunk in usable if self._step - start < len(chunk)]
        if self._decay is None:
            action = said[-1]
        else:
            weights = np.exp(-self._decay * np.arange(len(said)))
            action = np.average(said, axis=0, weights=weights).astype(np.float32)
        self._step += 1
        while self._chunks and self._step - self._chunks[0][0] >= len(self._chunks[0][1]):
            self._chunks.popleft()
        return action
