"""What stops a command, said in one line: where, what was found, what was expected, what to do next."""

import errno
import re
from collections.abc import Sequence
from typing import Any

MAX_LETTERS = 2_000
_BUSY = re.compile(r"HTTP status (429|50[0234])\b|503 Service Unavailable|Slow ?Down")
"""In what pyarrow and Lance say of a store that answers so."""


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, means that no space is left; Lance says so in words only."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
            return True
        error = error.__cause__
    return False


def is_store_busy(error: BaseException) -> bool:
    """Tell whether an object store refused to answer for now, after its client has tried for a while; by words only."""
    return bool(_BUSY.search(str(error)))


class DataEngineError(Exception):
    """Bad data or a bad place stops the command; the message is all that a user sees (exit code 2)."""

    def __str__(self) -> str:
        """Give the message as any terminal and table takes it: what a dataset says of itself may have no end."""
        text = super().__str__().encode("utf-8", "backslashreplace").decode()
        return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS // 2]} ... {text[-MAX_LETTERS // 2 :]}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Come whole out of a worker process, which by default calls the class with the message alone."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[DataEngineError], args: tuple[Any, ...], facts: dict[str, Any]) -> DataEngineError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class OtherSettingsError(DataEngineError):
    """What is there was made with other settings; `details` names each that differs, for a line of its own."""

    def __init__(self, message: str, details: Sequence[str]) -> None:
        super().__init__(message)
        self.details = tuple(details)


class UnknownOptionError(DataEngineError):
    """A source has no option of this name; a command line compares it with its own options, too."""

    def __init__(self, message: str, source: str, flag: str, known: Sequence[str], otherwise: str) -> None:
        super().__init__(message)
        self.source, self.flag, self.known, self.otherwise = source, flag, tuple(known), otherwise


class SourceError(DataEngineError):
    """A raw dataset is not what its name says: wrong folder, missing files, another layout."""


class ChangedError(SourceError):
    """Files of a part were written to since the run began: what was read of it may be of two states."""


class AlteredError(ChangedError):
    """A record that is in the corpus reads otherwise now."""


class MissingMappingError(SourceError):
    """A dataset that cannot be read without a mapping; `draft` is one to start from, for stdout."""

    def __init__(self, message: str, draft: str) -> None:
        super().__init__(message)
        self.draft = draft


class CorpusError(DataEngineError):
    """A corpus is missing, of another schema version, or damaged."""


class RecordError(DataEngineError):
    """One record is bad; sources turn it into a `Reject` and go on with the next."""


class UnexpectedError(RecordError):
    """Reading a record raised what no reader expects; named by `dataengine.reading`, and worth a look at the code."""


class LimitError(RecordError):
    """A record that took more memory than a reader may; with higher limits it may be sound."""


class FilteredRecordError(RecordError):
    """A sound record that a rule of its dataset leaves out (a failed attempt); counted apart from bad ones."""


class NoCameraError(RecordError):
    """Pictures of one deep channel, which are distances; the camera is left out, or its record where none is left."""
