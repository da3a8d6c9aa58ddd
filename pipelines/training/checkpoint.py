"""All that a run needs to go on: one directory for each saved step, whole or not there at all.

`model_config.json` + `model.safetensors` (what `load_lam` and `load_act` read), `ema.safetensors`,
`optimizer.safetensors`, `rng.safetensors` and `state.json`. Nothing in it is ever executed.
"""

import json
import os
import random
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import weights

STATE_NAME = "state.json"
_PREFIX, _UNFINISHED = "step-", ".unfinished-"


def steps(directory: Path) -> list[int]:
    """List the steps of the checkpoints below a directory, oldest first."""
    found = directory.glob(f"{_PREFIX}*") if directory.is_dir() else []
    return sorted(int(p.name.removeprefix(_PREFIX)) for p in found if (p / STATE_NAME).exists())


def path(directory: Path, step: int) -> Path:
    """Name the checkpoint of a step."""
    return directory / f"{_PREFIX}{step:08d}"


def identity(checkpoint: Path) -> dict[str, Any]:
    """Read which settings and data a checkpoint belongs to."""
    return json.loads((checkpoint / STATE_NAME).read_text())["identity"]


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
        shutil.rmtree(left, ignore_errors=True)
    partial = directory / f"{_UNFINISHED}{step:08d}"
    partial.mkdir()
    tensors, plain = _flatten_optimizer(optimizer)
    rng, rng_plain = _rng()
    with disk_errors(partial):
        weights.save_model(model, partial, extra)
        write_files(partial, files)
        save_file(tensors, partial / "optimizer.safetensors")
        if ema is not None:
            averaged = {name: value.detach().cpu().contiguous() for name, value in ema.items()}
            save_file(averaged, partial / "ema.safetensors")
        save_file(rng, partial / "rng.safetensors")
    text = json.dumps({**state, "step": step, "optimizer": plain, "rng": rng_plain})
    (partial / STATE_NAME).write_text(text)
    for file in partial.iterdir():
        _flush(file)
    final = path(directory, step)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    _flush(directory)
    for old in steps(directory)[:-keep]:
        shutil.rmtree(path(directory, old))
    return final


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn what safetensors says of a full disk into the OSError that it was."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(place)) from error


def load(
    checkpoint: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, ema: dict[str, Tensor] | None
) -> dict[str, Any]:
    """Restore model, optimiser, EMA and random generators in place; return the state that `save` was given."""
    state: dict[str, Any] = json.loads((checkpoint / STATE_NAME).read_text())
    model.load_state_dict(load_file(checkpoint / weights.WEIGHTS_NAME))
    _fill_optimizer(optimizer, load_file(checkpoint / "optimizer.safetensors"), state["optimizer"])
    if ema is not None:
        for name, value in load_file(checkpoint / "ema.safetensors").items():
            ema[name].copy_(value)
    _set_rng(load_file(checkpoint / "rng.safetensors"), state["rng"])
    return state


def load_ema(checkpoint: Path, model: nn.Module) -> None:
    """Give a model the averaged weights of a checkpoint that has them."""
    place = checkpoint / "ema.safetensors"
    if place.exists():
        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in load_file(place).items():
                own[name].copy_(value)


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write small text files, each whole or not at all."""
    for name, text in files.items():
        partial = directory / f"{name}.partial"
        partial.write_text(text)
        partial.replace(directory / name)


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state into tensors by name and plain numbers."""
    found = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, fields in found["state"].items():
        for name, value in fields.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous()
            else:
                plain.setdefault(str(index), {})[name] = value
    return tensors, {"groups": found["param_groups"], "plain": plain}


def _fill_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Undo `_flatten_optimizer`."""
    fields: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain["plain"].items()}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        fields.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": fields, "param_groups": plain["groups"]})


def _rng() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take the state of every generator that code may draw from without saying so."""
    name, keys, place, has_gauss, gauss = np.random.get_state()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{i}": value for i, value in enumerate(torch.cuda.get_rng_state_all())}
    return tensors, {"numpy": [name, place, has_gauss, gauss], "python": random.getstate()}


def _set_rng(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Undo `_rng`."""
    torch.set_rng_state(tensors["torch"])
    name, place, has_gauss, gauss = plain["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), place, has_gauss, gauss))
    version, keys, gauss_next = plain["python"]
    random.setstate((version, tuple(keys), gauss_next))
    cuda = [tensors[key] for key in sorted(tensors) if key.startswith("cuda.")]
    if torch.cuda.is_available() and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)


def _flush(place: Path) -> None:
    """Put a file, or a directory's names, on the disk before it is relied on."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
