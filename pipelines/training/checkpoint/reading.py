"""From the files of a checkpoint into a run, whatever the number of ranks that wrote them and that read them."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pipelines.training.checkpoint.folder import (
    EMA,
    MODEL,
    OPTIMIZER,
    RNG_NAME,
    STATE_NAME,
    check_bytes,
    file_name,
    named,
)
from pipelines.training.checkpoint.snapshot import Trained, set_rng
from pipelines.training.sharding import Rows, chunk_rows, like, local, rows


class Stored:
    """The tensors of one kind in a checkpoint, read row by row: no more is read than what is asked for."""

    def __init__(self, checkpoint: Path, kind: str, sharded: Mapping[str, Any] | None) -> None:
        """Open a kind; `sharded` is what the state says of shards, None where each tensor is whole in one file."""
        self._checkpoint, self._kind, self._stack = checkpoint, kind, ExitStack()
        self._num: int = sharded["num_shards"] if sharded else 1
        self._shapes: Mapping[str, Sequence[int]] = sharded["shapes"].get(kind, {}) if sharded else {}
        self._files: dict[int, Any] = {}

    def __enter__(self) -> "Stored":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def names(self) -> set[str]:
        """Name all tensors."""
        return {*self._file(0).keys(), *self._shapes}

    def read(self, name: str, wanted: Rows | None = None) -> Tensor:
        """Read some rows of dimension 0, or all of a tensor."""
        shape = self._shapes.get(name)
        if shape is None:
            stored = self._file(0).get_slice(name)
            return (
                stored[wanted.start : wanted.stop] if wanted and stored.get_shape() else self._file(0).get_tensor(name)
            )
        wanted = wanted or Rows(0, shape[0])
        pieces = []
        for shard in range(self._num):
            held = chunk_rows(shape[0], shard, self._num)
            start, stop = max(held.start, wanted.start), min(held.stop, wanted.stop)
            if start < stop:
                stored = self._file(shard).get_slice(name)
                if stored.get_shape() != [held.stop - held.start, *shape[1:]]:
                    raise ValueError(f"{name} has shape {stored.get_shape()} in shard {shard + 1}")
                pieces.append(stored[start - held.start : stop - held.start])
        if not pieces:
            return self._file(0).get_slice(name)[0:1][:0]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _file(self, shard: int) -> Any:
        if shard not in self._files:
            path = self._checkpoint / file_name(self._kind, shard, self._num)
            self._files[shard] = self._stack.enter_context(safe_open(path, framework="pt"))
        return self._files[shard]


def load(checkpoint: Path, state: Mapping[str, Any], trained: Trained) -> None:
    """Restore model, optimiser, averages and random generators in place, with what `read_state` found.

    A rank reads its own rows only. Raise DamagedCheckpointError where that cannot be done; some of them may be restored
    then.
    """
    sharded = state.get("sharded")
    with named(checkpoint), torch.no_grad():
        with Stored(checkpoint, MODEL, sharded) as stored:
            _fill(trained.model.state_dict(), stored)
        with Stored(checkpoint, OPTIMIZER, sharded) as stored:
            _fill_optimizer(trained, stored, state["optimizer"]["plain"])
        if trained.averages is not None:
            own = dict(trained.model.named_parameters())
            with Stored(checkpoint, EMA, sharded) as stored:
                for name, average in trained.averages.items():
                    average.copy_(_read(stored, name, own[name]))
        set_rng(load_file(checkpoint / RNG_NAME), state["rng"])


def read_weights(checkpoint: Path, state: Mapping[str, Any], *, averaged: bool) -> tuple[dict[str, Tensor], bool]:
    """Read a whole model, with the averages of what is trained if they are asked for and there; say whether they are.

    Raise DamagedCheckpointError where that cannot be done.
    """
    sharded = state.get("sharded")
    num_shards = sharded["num_shards"] if sharded else 1
    averaged = averaged and (checkpoint / file_name(EMA, 0, num_shards)).exists()
    tensors: dict[str, Tensor] = {}
    with named(checkpoint):
        for kind in (MODEL, EMA) if averaged else (MODEL,):
            with Stored(checkpoint, kind, sharded) as stored:
                tensors |= {name: stored.read(name) for name in stored.names()}
    return {name: tensors[name] for name in sorted(tensors)}, averaged


def _fill(tensors: Mapping[str, Tensor], stored: Stored) -> None:
    """Copy what is stored into tensors, as `load_state_dict` would."""
    odd = stored.names() ^ tensors.keys()
    if odd:
        raise ValueError(f"weights of another model: {min(odd)} is not in both")
    for name, tensor in tensors.items():
        local(tensor).copy_(_read(stored, name, tensor))


def _read(stored: Stored, name: str, tensor: Tensor) -> Tensor:
    """Read this rank's rows of a tensor."""
    value = stored.read(name, rows(tensor) if isinstance(tensor, DTensor) else None)
    if value.shape != local(tensor).shape:
        raise ValueError(f"{name}: found shape {list(value.shape)}, expected {list(local(tensor).shape)}")
    return value


def _fill_optimizer(trained: Trained, stored: Stored, plain: Mapping[str, Mapping[str, Any]]) -> None:
    """Undo `Trained.moments`."""
    own = {name: i for i, name in enumerate(trained.group_order())}
    parameters = dict(trained.model.named_parameters())
    fields: dict[int, dict[str, Any]] = {}

    def put(key: str, value: Any) -> None:
        position, name, *inner = key.split(".")
        one = fields.setdefault(own[trained.order[int(position)]], {})
        if inner:
            one.setdefault(name, {})[inner[0]] = value
        else:
            one[name] = value

    for position, values in plain.items():
        for name, number in values.items():
            put(f"{position}.{name}", number)
    for key in stored.names():
        p = parameters[trained.order[int(key.split(".")[0])]]
        put(key, _moment(stored, key, p))
    groups = trained.optimizer.state_dict()["param_groups"]
    trained.optimizer.load_state_dict({"state": fields, "param_groups": groups})


def _moment(stored: Stored, key: str, p: nn.Parameter) -> Tensor:
    """Read a tensor of the optimiser's state: as the weight that it is of where it has a number for each."""
    if isinstance(p, DTensor) and not key.endswith(".step"):
        return like(p, _read(stored, key, p).to(p.device))
    return stored.read(key)


def load_ema(checkpoint: Path, model: nn.Module) -> None:
    """Give a model the averaged weights of a checkpoint that has them; raise DamagedCheckpointError if they changed."""
    file = checkpoint / file_name(EMA, 0, 1)
    if file.exists():
        own = dict(model.named_parameters())
        with named(checkpoint), torch.no_grad():
            check_bytes(file, json.loads((checkpoint / STATE_NAME).read_bytes()).get("sha256", {}).get(file.name))
            with Stored(checkpoint, EMA, None) as stored:
                for name in stored.names():
                    own[name].copy_(stored.read(name))
