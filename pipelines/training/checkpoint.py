"""All that a run needs to go on: one directory for each saved step, whole or not there at all.

`model_config.json` + `model.safetensors` (what `load_lam` and `load_act` read), `ema.safetensors`,
`optimizer.safetensors`, `rng.safetensors` and `state.json`, which has a checksum of each file and of itself, so that
damage is seen. Nothing in it is ever executed.
"""

import hashlib
import json
import os
import random
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dataengine.errors import DataEngineError
from dataengine.reading import one_line
from dataengine.whole_file import flush, write_whole
from models import weights
from models.fingerprint import sha256

STATE_NAME = "state.json"
EMA_NAME, OPTIMIZER_NAME, RNG_NAME = "ema.safetensors", "optimizer.safetensors", "rng.safetensors"
DAMAGE = (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError)
"""What loading raises over files that are not as they were written."""
_PREFIX, _UNFINISHED = "step-", ".unfinished-"


def steps(directory: Path) -> list[int]:
    """List the steps of the checkpoints below a directory, oldest first."""
    folders = directory.glob(f"{_PREFIX}*") if directory.is_dir() else []
    return sorted(int(p.name.removeprefix(_PREFIX)) for p in folders if (p / STATE_NAME).exists())


def path(directory: Path, step: int) -> Path:
    """Name the checkpoint of a step."""
    return directory / f"{_PREFIX}{step:08d}"


def step_of(folder: Path) -> int | None:
    """Tell which step's checkpoint a folder is; None for one that is none."""
    number = folder.name.removeprefix(_PREFIX)
    return int(number) if folder.name.startswith(_PREFIX) and number.isdecimal() else None


class DamagedCheckpointError(DataEngineError):
    """A checkpoint cannot be loaded; the one before may do."""


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Read what `save` was given; raise DamagedCheckpointError unless it, and each file beside it, is as written."""
    with _named(checkpoint):
        state: dict[str, Any] = json.loads((checkpoint / STATE_NAME).read_bytes())
        if state.get("checksum") not in (None, _checksum(state)):
            raise ValueError(f"{STATE_NAME} has changed")
        if not isinstance(state["identity"], dict):
            raise TypeError(f"{STATE_NAME} does not say which run it is of")
        for name, digest in state.get("sha256", {}).items():  # older ones have none
            _check_bytes(checkpoint / name, digest)
    return state


def _check_bytes(file: Path, digest: str | None) -> None:
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
def _named(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        reason = one_line(f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error), 200)
        raise DamagedCheckpointError(f"{checkpoint}: damaged ({reason})") from error


def _checksum(state: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in state.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def save(
    directory: Path,
    step: int,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Mapping[str, Tensor] | None,
    state: Mapping[str, Any],
    extra: Mapping[str, Any],
    files: Mapping[str, str],
    keep: int,
) -> Path:
    """Write a checkpoint, then remove all but the newest `keep`.

    `extra` goes into `model_config.json`, `files` lie beside it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob(f"{_UNFINISHED}*"):
        _remove(left, files)
    partial = directory / f"{_UNFINISHED}{step:08d}"
    partial.mkdir()
    tensors, plain = _flatten_optimizer(optimizer)
    rng, rng_plain = _rng()
    with disk_errors(partial):
        known = {weights.WEIGHTS_NAME: weights.save_model(model, partial, extra)}
        write_files(partial, files)
        save_file(tensors, partial / OPTIMIZER_NAME)
        if ema is not None:
            averaged = {name: value.detach().cpu().contiguous() for name, value in ema.items()}
            save_file(averaged, partial / EMA_NAME)
        save_file(rng, partial / RNG_NAME)
    digests = {file.name: known.get(file.name) or sha256(file) for file in sorted(partial.iterdir())}
    about = json.loads(json.dumps({**state, "step": step, "optimizer": plain, "rng": rng_plain, "sha256": digests}))
    (partial / STATE_NAME).write_text(json.dumps({**about, "checksum": _checksum(about)}), encoding="utf-8")
    for file in partial.iterdir():
        flush(file)
    final = path(directory, step)
    if final.exists():
        _remove(final, files)
    if final.exists():
        raise DataEngineError(f"{final}: holds files that are not of a checkpoint; move them away, then go on")
    partial.rename(final)
    flush(directory)
    for old in steps(directory)[:-keep]:
        _remove(path(directory, old), files)
    return final


def _remove(checkpoint: Path, files: Mapping[str, str]) -> None:
    """Delete what a checkpoint is made of, first what makes it one; a file of anybody else stays, with its folder."""
    ours = (STATE_NAME, weights.WEIGHTS_NAME, weights.CONFIG_NAME, EMA_NAME, OPTIMIZER_NAME, RNG_NAME, *files)
    for name in ours:
        (checkpoint / name).unlink(missing_ok=True)
    for left in checkpoint.glob("*.partial"):  # a killed process was at it
        if left.name.removeprefix(".").startswith(tuple(name.rpartition(".")[0] for name in ours)):
            left.unlink()
    with suppress(OSError):
        checkpoint.rmdir()


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


def load(
    checkpoint: Path,
    state: Mapping[str, Any],
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Mapping[str, Tensor] | None,
) -> None:
    """Restore model, optimiser, EMA and random generators in place, with what `read_state` found.

    Raise DamagedCheckpointError where that cannot be done; some of them may be restored then.
    """
    with _named(checkpoint):
        model.load_state_dict(load_file(checkpoint / weights.WEIGHTS_NAME))
        _fill_optimizer(optimizer, load_file(checkpoint / OPTIMIZER_NAME), state["optimizer"])
        if ema is not None:
            for name, value in load_file(checkpoint / EMA_NAME).items():
                ema[name].copy_(value)
        _set_rng(load_file(checkpoint / RNG_NAME), state["rng"])


def load_ema(checkpoint: Path, model: nn.Module) -> None:
    """Give a model the averaged weights of a checkpoint that has them; raise DamagedCheckpointError if they changed."""
    folder = checkpoint / EMA_NAME
    if folder.exists():
        own = dict(model.named_parameters())
        with _named(checkpoint), torch.no_grad():
            _check_bytes(folder, json.loads((checkpoint / STATE_NAME).read_bytes()).get("sha256", {}).get(EMA_NAME))
            for name, value in load_file(folder).items():
                own[name].copy_(value)


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write small text files, each whole or not at all."""
    for name, text in files.items():
        write_whole(directory / name, text)


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state into tensors by name and plain numbers; that of 8 bits is nested once more."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, fields in state["state"].items():
        for name, value in fields.items():
            inner = {f"{name}.{key}": x for key, x in value.items()} if isinstance(value, dict) else {name: value}
            for key, x in inner.items():
                if isinstance(x, Tensor):
                    tensors[f"{index}.{key}"] = x.detach().cpu().contiguous()
                else:
                    plain.setdefault(str(index), {})[key] = x
    return tensors, {"groups": state["param_groups"], "plain": plain}


def _fill_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Undo `_flatten_optimizer`."""
    flat = {f"{index}.{name}": value for index, values in plain["plain"].items() for name, value in values.items()}
    fields: dict[int, dict[str, Any]] = {}
    for key, value in {**flat, **tensors}.items():
        index, name, *inner = key.split(".")
        one = fields.setdefault(int(index), {})
        if inner:
            one.setdefault(name, {})[inner[0]] = value
        else:
            one[name] = value
    optimizer.load_state_dict({"state": fields, "param_groups": plain["groups"]})


def _rng() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take the state of every generator that code may draw from without saying so."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{i}": value for i, value in enumerate(torch.cuda.get_rng_state_all())}
    return tensors, {"numpy": [name, position, has_gauss, gauss], "python": random.getstate()}


def _set_rng(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Undo `_rng`."""
    torch.set_rng_state(tensors["torch"])
    name, position, has_gauss, gauss = plain["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    version, keys, gauss_next = plain["python"]
    random.setstate((version, tuple(keys), gauss_next))
    cuda = [tensors[key] for key in sorted(tensors) if key.startswith("cuda.")]
    if torch.cuda.is_available() and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
