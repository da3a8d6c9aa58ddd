"""What lies in the folder of a checkpoint, and whether it is as it was written.

`model_config.json` + `model.safetensors` (what `load_lam` and `load_act` read), `ema.safetensors`,
`optimizer.safetensors`, `rng.safetensors` and `state.json`, which has a checksum of each file and of itself, so that
damage is seen. Of a sharded run each rank's part of the first, second and third is a file of its own,
`model-00001-of-00008.safetensors`. Nothing in it is ever executed.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from dataengine.errors import DataEngineError
from dataengine.reading import one_line
from dataengine.whole_file import write_whole
from models import weights
from models.fingerprint import sha256

STATE_NAME = "state.json"
MODEL, EMA, OPTIMIZER = "model", "ema", "optimizer"
KINDS = (MODEL, EMA, OPTIMIZER)
"""What of a run is saved rank by rank; the first part of a file's name."""
RNG_NAME = "rng.safetensors"
DAMAGE = (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError)
"""What loading raises over files that are not as they were written."""
UNFINISHED = ".unfinished-"
_PREFIX = "step-"
_SHARD = re.compile(r"(model|ema|optimizer)-\d{5}-of-\d{5}\.safetensors|receipt-\d{5}\.json")


def steps(directory: Path) -> list[int]:
    """List the steps of the checkpoints below a directory, oldest first."""
    folders = directory.glob(f"{_PREFIX}*") if directory.is_dir() else []
    return sorted(int(p.name.removeprefix(_PREFIX)) for p in folders if (p / STATE_NAME).exists())


def path(directory: Path, step: int) -> Path:
    """Name the checkpoint of a step."""
    return directory / f"{_PREFIX}{step:08d}"


def unfinished(directory: Path, step: int) -> Path:
    """Name the folder in which a checkpoint is written."""
    return directory / f"{UNFINISHED}{step:08d}"


def step_of(folder: Path) -> int | None:
    """Tell which step's checkpoint a folder is; None for one that is none."""
    number = folder.name.removeprefix(_PREFIX)
    return int(number) if folder.name.startswith(_PREFIX) and number.isdecimal() else None


def file_name(kind: str, shard: int, num_shards: int) -> str:
    """Name the file of a shard, counted from 0; one alone has no number."""
    return f"{kind}-{shard + 1:05d}-of-{num_shards:05d}.safetensors" if num_shards > 1 else f"{kind}.safetensors"


class DamagedCheckpointError(DataEngineError):
    """A checkpoint cannot be loaded; the one before may do."""


def read_state(checkpoint: Path, rank: int = 0, world_size: int = 1) -> dict[str, Any]:
    """Read the state of a run; raise DamagedCheckpointError unless it, and each file beside it, is as written.

    Of several ranks each checks its share of the files.
    """
    with named(checkpoint):
        state: dict[str, Any] = json.loads((checkpoint / STATE_NAME).read_bytes())
        if state.get("checksum") not in (None, checksum(state)):
            raise ValueError(f"{STATE_NAME} has changed")
        if not isinstance(state["identity"], dict):
            raise TypeError(f"{STATE_NAME} does not say which run it is of")
        for name, digest in list(state.get("sha256", {}).items())[rank::world_size]:  # older ones have none
            check_bytes(checkpoint / name, digest)
    return state


def check_bytes(file: Path, digest: str | None) -> None:
    """Raise ValueError for a file that is not as it was written."""
    if digest is not None and sha256(file) != digest:
        raise ValueError(f"{file.name} has changed")


def newest_whole(directory: Path) -> Path:
    """Find the newest checkpoint that is as it was written; say on stderr which are not."""
    for step in reversed(steps(directory)):
        try:
            read_state(path(directory, step))
            return path(directory, step)
        except DamagedCheckpointError as error:
            print(f"{error}; taking the one before, if there is one", file=sys.stderr)  # noqa: T201
    raise DataEngineError(f"{directory}: no checkpoint is whole; train again, or copy one from elsewhere")


@contextmanager
def named(checkpoint: Path) -> Iterator[None]:
    """Raise DamagedCheckpointError, with the folder's name, for whatever loading raises."""
    try:
        yield
    except DAMAGE as error:
        reason = one_line(f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error), 200)
        raise DamagedCheckpointError(f"{checkpoint}: damaged ({reason})") from error


def checksum(state: Mapping[str, Any]) -> str:
    """Hash a state without its own checksum."""
    plain = {key: value for key, value in state.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def remove(checkpoint: Path, files: Collection[str]) -> None:
    """Delete what a checkpoint is made of, first what makes it one; a file of anybody else stays, with its folder.

    `files` name the small ones that lie beside the weights.
    """
    ours = (STATE_NAME, weights.CONFIG_NAME, *(file_name(kind, 0, 1) for kind in KINDS), RNG_NAME, *files)
    for name in ours:
        (checkpoint / name).unlink(missing_ok=True)
    for left in list(checkpoint.iterdir()) if checkpoint.is_dir() else []:
        if _SHARD.fullmatch(left.name) or (left.suffix == ".partial" and _is_part(left.name, ours)):
            left.unlink()
    with suppress(OSError):
        checkpoint.rmdir()


def _is_part(name: str, ours: Collection[str]) -> bool:
    """Tell whether a killed process was writing one of our files under this name."""
    stem = name.removeprefix(".")
    return bool(_SHARD.match(stem)) or stem.startswith(tuple(one.rpartition(".")[0] for one in ours))


def prune(directory: Path, newest: int, keep_last: int, best: int | None, files: Collection[str]) -> None:
    """Delete all checkpoints but the last `keep_last` up to the step `newest`, and that of the step `best`.

    Later ones count for none: the run went back from them because they are damaged.
    """
    for step in [step for step in steps(directory) if step <= newest][:-keep_last]:
        if step != best:
            remove(path(directory, step), files)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what safetensors says of a full disk into the OSError that it was."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder)) from error


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write small text files, each whole or not at all."""
    for name, text in files.items():
        write_whole(directory / name, text)
