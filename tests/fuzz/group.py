"""What a kind of input is, and how what is read of it is looked at."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Group:
    """One kind of input."""

    build: Callable[[Path], Any]
    """Write a sound tree."""
    read: Callable[[Path], Any]
    """Read all of it as a command would, and give what must be equal where nothing is allowed to change silently."""
    prey: tuple[str, ...] = ("*",)
    """Which files are damaged: patterns of their names."""
    equal: bool = False
    """Damage must be noticed: what is read equals what is read of the sound tree, or is an error."""
    records: bool = False
    """Without mended sums every record that is read must be one of the sound tree's."""


UNEXPECTED: list[str] = []
"""Errors that no reader expected of the input that is being read, each a reject by now: right, and worth a look."""


def ingested(source_name: str, root: Path, **settings: Any) -> list[str]:
    """Read a dataset as a worker does, up to the rows that would be written; digests of its episodes."""
    from dataengine import catalog, errors
    from dataengine.reading import explain, is_certain
    from dataengine.store import Staging
    from dataengine.store.commit import staging
    from dataengine.store.commit.new_rows import NewRows
    from dataengine.store.tables import EPISODES

    source = catalog.source(source_name)(str(root), **settings)
    bodies = (source.embodiment, *getattr(source, "other_embodiments", ()))
    ids = {"dataset_ids": {source.name: 1}, "embodiment_ids": dict.fromkeys(bodies, 1)}
    digests: list[str] = []
    for part in source.parts():
        passed = staging._Passed()
        about = Staging(corpus="none", run_id="fuzz", **ids)
        try:
            rows = staging._batches(part, source.read(part), about, NewRows(EPISODES), None, passed, 1)
            digests.extend(
                digest([row.column(n).to_pylist() for n in ("state", "action", "num_steps")]) for row in rows
            )
        except errors.DataEngineError:  # costs the part
            continue
        except Exception as error:
            if not is_certain(error):
                raise
            UNEXPECTED.append(explain(error))
        for reject in passed.rejects:
            kind = getattr(errors, reject.error, None)
            if kind is None or issubclass(kind, errors.UnexpectedError):
                UNEXPECTED.append(reject.reason)
    return digests


@contextmanager
def allowed() -> Iterator[None]:
    """Pass over errors that a caller turns into a reject or into one line."""
    try:
        yield
    except Exception as error:
        if not is_named(error):
            raise


def is_named(error: BaseException) -> bool:
    """Tell an error that the command line prints as bad input."""
    from cli.contract import _explain

    return isinstance(error, Exception) and _explain("fuzz", error)[1] == 2 and len(str(error)) < 5_000


def digest(value: Any) -> str:
    """Tell values apart."""
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def files(file: Path) -> Iterator[Path]:
    """List a tree's files."""
    return (path for path in sorted(file.rglob("*")) if path.is_file())
