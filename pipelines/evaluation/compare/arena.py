"""Where a comparison is played: what it needs of a simulator, wherever that lives."""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, Protocol

from pipelines.evaluation.compare.pairs import Start


class Share(NamedTuple):
    """Starts of one task that one policy is to play."""

    player: int
    """Index of the policy."""
    starts: tuple[Start, ...]


class Arena(Protocol):
    """Plays starts of several policies, and knows what was played before."""

    fingerprints: Sequence[str]
    """Of the policies: a comparison goes on only with the same ones."""
    calibration: str
    """Whether the simulator was shown to do what recordings say."""

    def order(self) -> list[Start]:
        """List the starts in the order in which they are compared."""
        ...

    def known(self) -> list[dict[Start, bool | None]]:
        """Give what every policy solved before; None is an episode that was lost."""
        ...

    def play(
        self, shares: Sequence[Share], counted: Callable[[int], None]
    ) -> Generator[tuple[int, dict[Start, bool | None]], None, None]:
        """Yield (index of the policy, outcomes) as they come."""
        ...
