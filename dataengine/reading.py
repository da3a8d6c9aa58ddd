"""One bad record costs one record, whatever a library raises over it: unexpected errors get their name here, once.

with reading():
    episode = convert(raw)       # KeyError, OverflowError, MemoryError ... become an UnexpectedError, a RecordError

What is no record's fault passes: a full disk, too many open files, a network that is away. Another attempt may do.
"""

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError, LimitError, UnexpectedError
from dataengine.guard import too_much

_NAMES = """
EAGAIN EBUSY ECONNABORTED ECONNREFUSED ECONNRESET EDQUOT EHOSTDOWN EHOSTUNREACH EINTR EIO EMFILE ENETDOWN ENETUNREACH
ENFILE ENOBUFS ENODEV ENOMEM ENOSPC ENXIO EROFS ESTALE ETIMEDOUT
"""
OF_THE_MACHINE = frozenset(getattr(errno, name) for name in _NAMES.split() if hasattr(errno, name))
"""Errors of the system that say nothing about a file."""
CERTAIN = (DataEngineError, ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError)
"""What would be raised again at the next attempt; a ValueError, too, but for those that are an OSError besides."""
OUR_CODE = Path(__file__).parent
WATCHERS = ("reading.py", "worker.py", "staging.py")
"""Files that every error comes through."""
MAX_LETTERS = 500
LONGEST_FILE = 80
"""Letters of a file's name in a message."""


@contextmanager
def reading(where: str = "") -> Iterator[None]:
    """Turn what reading a record raises into UnexpectedError, unless it has a name already or is the machine's fault.

    `where` precedes the reason. Our own mistakes (AssertionError) pass.
    """
    try:
        yield
    except (DataEngineError, AssertionError):
        raise
    except MemoryError as error:
        raise LimitError(f"{where}: {explain(error)}" if where else explain(error)) from error
    except Exception as error:
        if is_of_the_machine(error):
            raise
        raise UnexpectedError(f"{where}: {explain(error)}" if where else explain(error)) from error


_watch: list[Callable[[], None]] = []


@contextmanager
def on_progress(restart: Callable[[], None]) -> Iterator[None]:
    """Have `restart` called whenever long work within one record says that it goes on."""
    _watch.append(restart)
    try:
        yield
    finally:
        _watch.remove(restart)


def goes_on() -> None:
    """Tell the watch of a worker, if there is one, that a reader is busy, not stuck: a long walk, a long video."""
    for restart in _watch:
        restart()


def is_of_the_machine(error: BaseException | None) -> bool:
    """Tell errors of the system from those of a file, also below what a library made of them.

    FFmpeg's are always a file's: it calls damage an input/output error.
    """
    while error is not None:
        is_ffmpegs = type(error).__module__.startswith("av.")
        if isinstance(error, OSError) and not is_ffmpegs and error.errno in OF_THE_MACHINE:
            return True
        error = error.__cause__
    return False


def is_certain(error: BaseException) -> bool:
    """Tell whether another attempt would end in the same way."""
    if isinstance(error, OSError) or is_of_the_machine(error):
        return False
    return isinstance(error, (*CERTAIN, ValueError))


def explain(error: BaseException) -> str:
    """Say in one line what an unexpected error is and which of our files it came through."""
    if isinstance(error, MemoryError):
        return f"{too_much()}{_in_our_code(error)}"
    if isinstance(error, OSError) and error.strerror:
        name = Path(str(error.filename)).name if error.filename else ""
        return one_line(f"{one_line(name, LONGEST_FILE) or 'a file'} cannot be read ({error.strerror})")
    return one_line(f"cannot be read ({type(error).__name__}: {error}){_in_our_code(error)}")


def one_line(text: str, letters: int = MAX_LETTERS) -> str:
    """Make text of untrusted bytes fit for a table and a terminal: one line, not too long, no lone surrogates."""
    line = " ".join(text[: 4 * letters].split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= letters else f"{line[: letters - 4]} ..."


def digest(error: BaseException) -> str:
    """Tell errors of one cause by one word."""
    text = "".join(traceback.format_exception(error))
    return hex_digest(text.encode("utf-8", "backslashreplace"))


def _in_our_code(error: BaseException) -> str:
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(OUR_CODE) and Path(frame.filename).name not in WATCHERS
    ]
    return f", at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
