"""Which parts are still to be read, how often each was tried, and when to give one up; the same for both engines."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dataengine.episode import Part, Reject
from dataengine.errors import CorpusError
from dataengine.guard import share_gb
from dataengine.runners.worker import Failure, Outcome
from dataengine.store.commit.receipts import Receipt

WORKER_DIED = "WorkerDied"
MAX_STALLS = 2


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much an engine may take on, and how long it bears with a part."""

    workers: int = 0
    """Parts read side by side; 0 for as many as there are cores."""
    max_attempts: int = 3
    stall_s: float = 600.0
    """Seconds without a new episode after which a reader counts as hung. One that was is tried once more, whatever
    `max_attempts` says: a decoder that hangs on a file mostly does so again, and holds a worker for as long."""
    memory_gb: float = 0.0
    """That a reader may take beside what its process holds; 0 for an even share of the machine."""

    @property
    def granted_gb(self) -> float:
        """What `memory_gb` means on this machine."""
        return self.memory_gb or share_gb(self.workers)

    @property
    def as_text(self) -> str:
        """What may have made a sound part fail: one that was given up is tried again when it changes."""
        return f"stall_s={self.stall_s:g} memory_gb={self.granted_gb:g}"


class Assigned(NamedTuple):
    """A part, and which of a run's readers reads it."""

    reader: int
    part: Part


@dataclass(frozen=True)
class Attempt:
    """One reading of one part."""

    reader: int
    part: Part
    number: int
    """From 1."""


class Attempts:
    """The queue of a run. `next` hands out work, `settle` takes what became of it."""

    def __init__(self, parts: Sequence[Assigned], limits: Limits) -> None:
        self._limits = limits
        self._waiting = deque(Attempt(reader, part, 1) for reader, part in parts)
        self._begun_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> Attempt:
        """Take the next attempt off the queue."""
        attempt = self._waiting.popleft()
        self._begun_s[attempt.part.part_id] = time.monotonic()
        return attempt

    def died(self, attempt: Attempt) -> Reject | None:
        """Note that the worker died of a part, or was killed by the watch."""
        limits = self._limits
        was_silent = time.monotonic() - self._begun_s[attempt.part.part_id] >= limits.stall_s
        reason = (
            f"its worker died or was silent for {limits.stall_s:.0f} s, in each of {attempt.number} attempts; "
            f"a decoder that crashes or hangs, or takes more than {limits.granted_gb:g} GB; --set stall_s or memory_gb"
        )
        is_last = was_silent and attempt.number >= MAX_STALLS
        return self._failed(attempt, Failure(reason=reason, error=WORKER_DIED, blame="bad part" if is_last else "part"))

    def settle(self, attempt: Attempt, outcome: Outcome) -> Receipt | Reject | None:
        """Return what is final about a part, or None if it goes back into the queue.

        Raise CorpusError when the corpus cannot be written: no other part would fare better.
        """
        return outcome if isinstance(outcome, Receipt) else self._failed(attempt, outcome)

    def _failed(self, attempt: Attempt, failure: Failure) -> Reject | None:
        part = attempt.part
        if failure.blame == "corpus":
            raise CorpusError(
                f"could not write part {part.name}: {failure.reason}; what is staged stays, the same command continues"
            )
        if failure.blame == "part" and attempt.number < self._limits.max_attempts:
            self._waiting.append(replace(attempt, number=attempt.number + 1))
            return None
        return Reject(
            part_id=part.part_id,
            dataset=part.dataset,
            source_uri=part.uri,
            record="",
            reason=failure.reason,
            error=failure.error,
            attempts=attempt.number,
            traceback_digest=failure.traceback_digest,
        )
