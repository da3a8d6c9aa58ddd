"""What both engines do with a part, in a process that may die of it."""

import faulthandler
import hashlib
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import DataEngineError
from dataengine.protocols import PartReader
from dataengine.store.receipts import Receipt
from dataengine.store.staging import ReadError, Staging, stage_part
from dataengine.store.tables import is_disk_full, say_error

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


def read_part(source: PartReader, part: Part, staging: Staging, attempt: int, stall_s: float) -> Outcome:
    """Read, check and stage one part. A reader that is silent for `stall_s` ends the whole process."""
    try:
        return stage_part(part, watched(source.read(part), stall_s), staging, attempt)
    except ReadError as error:
        cause = error.__cause__ or error
        if is_disk_full(cause):
            return _failure(cause, "corpus")
        return _failure(cause, "bad part" if isinstance(cause, DataEngineError) else "part")
    except Exception as error:
        return _failure(error, "corpus")
    finally:
        faulthandler.cancel_dump_traceback_later()


def watched(records: Iterator[Episode | Reject], stall_s: float) -> Iterator[Episode | Reject]:
    """Pass records on, and start the clock anew before each; it runs in C and needs no GIL, so a stuck decoder ends."""
    with Path(os.devnull).open("w") as nowhere:
        while True:
            faulthandler.dump_traceback_later(stall_s, exit=True, file=nowhere)
            record = next(records, None)
            if record is None:
                return
            yield record


def _failure(error: BaseException, blame: Blame) -> Failure:
    text = "".join(traceback.format_exception(error))
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return Failure(reason=say_error(error), error=type(error).__name__, traceback_digest=digest, blame=blame)
