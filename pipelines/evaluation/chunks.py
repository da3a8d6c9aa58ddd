"""Which action a robot executes next, of the chunks that a policy gives it.

k of m: the first k actions of a chunk are executed, then the policy looks again. Temporal ensembling: it looks at
every step, and what all chunks say of that step is averaged, the oldest weighing most (ACT, arXiv:2304.13705).
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray


class Chunks:
    """The chunks of one robot in one episode."""

    def __init__(self, action_steps: int, decay: float | None = None) -> None:
        """`decay` is what ensembling weighs by: exp(-decay i) for the i-th chunk from the oldest; None for none."""
        self._action_steps, self._decay = action_steps, decay
        self._chunks = deque[tuple[int, NDArray[np.float32]]]()
        """Each with the step at which it begins, the oldest first."""
        self._step = 0
        self._next_look = 0

    @property
    def needs_look(self) -> bool:
        """True where the policy is to be asked before the next action."""
        return self._step >= self._next_look

    def take(self, chunk: NDArray[np.float32]) -> None:
        """Take a chunk (h, a) whose first action is the next one."""
        if self._decay is None:
            self._chunks.clear()
        self._chunks.append((self._step, chunk))
        self._next_look = self._step + min(self._action_steps or len(chunk), len(chunk))

    def next(self) -> NDArray[np.float32]:
        """Give the next action (a,)."""
        said = [chunk[self._step - start] for start, chunk in self._chunks]
        if self._decay is None:
            action = said[-1]
        else:
            weights = np.exp(-self._decay * np.arange(len(said)))
            action = np.average(said, axis=0, weights=weights).astype(np.float32)
        self._step += 1
        while self._chunks and self._step - self._chunks[0][0] >= len(self._chunks[0][1]):
            self._chunks.popleft()
        return action
