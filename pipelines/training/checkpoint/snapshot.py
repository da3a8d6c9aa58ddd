"""A run's tensors at one step, copied to where training does not touch them, so that it may go on meanwhile."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pipelines.training.checkpoint.folder import EMA, MODEL, OPTIMIZER
from pipelines.training.sharding import local

Shapes = Mapping[str, Mapping[str, Sequence[int]]]
"""By kind and name: the whole shape of what is sharded."""


@dataclass(frozen=True)
class Trained:
    """What a run trains."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    order: Sequence[str]
    """Names of what is trained: an optimiser's state is saved by the position in it, whatever its groups."""
    averages: Mapping[str, Tensor] | None

    def moments(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Split the optimiser's state into tensors by name and plain numbers; that of 8 bits is nested once more."""
        own = {name: i for i, name in enumerate(self.group_order())}
        state = self.optimizer.state_dict()["state"]
        tensors: dict[str, Tensor] = {}
        plain: dict[str, dict[str, Any]] = {}
        for index, name in enumerate(self.order):
            for key, value in state.get(own[name], {}).items():
                inner = {f"{key}.{k}": x for k, x in value.items()} if isinstance(value, dict) else {key: value}
                for k, x in inner.items():
                    if isinstance(x, Tensor):
                        tensors[f"{index}.{k}"] = x
                    else:
                        plain.setdefault(str(index), {})[k] = x
        return tensors, plain

    def group_order(self) -> list[str]:
        """Give the names of what is trained in the order of the optimiser's groups."""
        names = {id(p): name for name, p in self.model.named_parameters()}
        return [names[id(p)] for group in self.optimizer.param_groups for p in group["params"]]


@dataclass
class Snapshot:
    """What one rank saves, on the host."""

    tensors: dict[str, dict[str, Tensor]]
    """By kind and name: the rank's rows of what is sharded; on the first rank what is whole, too."""
    shapes: Shapes
    plain: dict[str, Any]
    """Numbers of the optimiser and of the generators."""


@dataclass
class Host:
    """Memory on the host that snapshots are copied into, one after another: the first use of memory takes longer."""

    buffers: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def copied(self, kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copy tensors; those of the last snapshot of that kind are overwritten."""
        return {name: self._copied((kind, name), value) for name, value in tensors.items()}

    def _copied(self, key: tuple[str, str], value: Tensor) -> Tensor:
        buffer = self.buffers.get(key)
        if buffer is None or buffer.shape != value.shape or buffer.dtype != value.dtype:
            buffer = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
            self.buffers[key] = buffer
        return buffer.copy_(value, non_blocking=True)


def take(trained: Trained, rank: int, host: Host | None) -> Snapshot:
    """Take what a rank saves; without `host` the tensors are those of the run itself."""
    moments, plain = trained.moments()
    kinds: dict[str, Mapping[str, Tensor]] = {MODEL: trained.model.state_dict(), OPTIMIZER: moments}
    own = dict(trained.model.named_parameters())
    if trained.averages is not None:
        kinds[EMA] = trained.averages
    tensors: dict[str, dict[str, Tensor]] = {}
    shapes: dict[str, dict[str, Sequence[int]]] = {}
    for kind, values in kinds.items():
        tensors[kind] = {}
        for name, value in values.items():
            whole = own[name] if kind == EMA else value
            if isinstance(whole, DTensor):
                shapes.setdefault(kind, {})[name] = list(whole.shape)
            if isinstance(whole, DTensor) or rank == 0:
                tensors[kind][name] = local(value)
    if host is not None:
        tensors = {kind: host.copied(kind, values) for kind, values in tensors.items()}
    elif next(iter(own.values())).is_cuda:
        tensors = {kind: {name: value.cpu() for name, value in values.items()} for kind, values in tensors.items()}
    if host is not None and next(iter(own.values())).is_cuda:
        torch.cuda.synchronize()
    rng, rng_plain = _rng()
    return Snapshot({**tensors, "rng": rng}, shapes, {"optimizer": {"plain": plain}, "rng": rng_plain})


def _rng() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take the state of every generator that code may draw from without saying so."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{i}": value for i, value in enumerate(torch.cuda.get_rng_state_all())}
    return tensors, {"numpy": [name, position, has_gauss, gauss], "python": random.getstate()}


def set_rng(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Undo what a snapshot took of the generators."""
    torch.set_rng_state(tensors["torch"])
    name, position, has_gauss, gauss = plain["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    version, keys, gauss_next = plain["python"]
    random.setstate((version, tuple(keys), gauss_next))
    cuda = [tensors[key] for key in sorted(tensors) if key.startswith("cuda.")]
    if torch.cuda.is_available() and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)
