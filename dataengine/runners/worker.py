"""What both engines do with a part, in a process that may die of it."""

import faulthandler
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import LimitError, is_disk_full
from dataengine.guard import little_memory, share_gb, too_much
from dataengine.protocols import PartReader
from dataengine.reading import digest, is_certain, on_progress, one_line
from dataengine.store.commit.receipts import Receipt
from dataengine.store.commit.staging import ReadError, Staging, stage_part
from dataengine.store.tables import say_error

Blame = Literal["part", "bad part", "corpus"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a part could not be staged."""

    reason: str
    error: str
    traceback_digest: str = ""
    blame: Blame = "part"
    """`part`: worth another attempt; `bad part`: certain at the first; `corpus`: not its fault, all must stop."""


Outcome = Receipt | Failure
"""What comes back from a worker: never an episode, never an exception that might not unpickle."""


def read_part(
    source: PartReader, part: Part, staging: Staging, attempt: int, stall_s: float, memory_gb: float = 0.0
) -> Outcome:
    """Read, check and stage one part. A reader that is silent for `stall_s` ends the whole process."""
    with little_memory(memory_gb or share_gb(), "memory_gb"):
        return _read_part(source, part, staging, attempt, stall_s)


def _read_part(source: PartReader, part: Part, staging: Staging, attempt: int, stall_s: float) -> Outcome:
    try:
        return stage_part(part, watched(source.read(part), stall_s), staging, attempt)
    except ReadError as error:
        cause = error.__cause__ or error
        if isinstance(cause, MemoryError):
            return _failure(LimitError(too_much()), "bad part")
        if is_disk_full(cause):
            return _failure(cause, "corpus")
        return _failure(cause, "bad part" if is_certain(cause) else "part")
    except Exception as error:
        return _failure(error, "corpus")
    finally:
        faulthandler.cancel_dump_traceback_later()


def watched(records: Iterator[Episode | Reject], stall_s: float) -> Iterator[Episode | Reject]:
    """Pass records on, and start the clock anew before each; it runs in C and needs no GIL, so a stuck decoder ends."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        on_progress(start := partial(_start_clock, stall_s, nowhere)),
    ):
        while True:
            start()
            record = next(records, None)
            if record is None:
                return
            yield record


def _start_clock(stall_s: float, nowhere: TextIO) -> None:
    faulthandler.dump_traceback_later(stall_s, exit=True, file=nowhere)


def _failure(error: BaseException, blame: Blame) -> Failure:
    reason = one_line(say_error(error))
    return Failure(reason=reason, error=type(error).__name__, traceback_digest=digest(error), blame=blame)
