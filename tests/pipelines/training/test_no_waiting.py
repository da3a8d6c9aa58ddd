"""A step of training never makes the host wait for the device.

Without a GPU the device is played: tensors of model, optimiser and batch are marked as lying there, and so is whatever
is computed from one of them. The operators that read such a tensor on the host are those that would wait.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipelines.training.distributed import Distributed
from pipelines.training.settings import LoopConfig
from tests.support.ranked import BATCH, RUNS

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "unique_consecutive"}
"""Operators whose result, or its shape, the host must read."""


class PlayedDevice(TorchDispatchMode):
    """Marks what is computed from marked tensors; lists the operators that would wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        is_there = any(getattr(x, "is_there", False) for x in inputs)
        indexed_by_mask = name in ("index", "index_put", "index_put_") and any(
            x.dtype == torch.bool for x in inputs[1:]
        )
        if is_there and (name in WAITING or indexed_by_mask):
            self.waited.append(name)
        result = func(*args, **(kwargs or {}))
        if is_there:
            mark(result)
        return result


def mark(tensors: Any) -> None:
    for one in tree_leaves(tensors):
        if isinstance(one, Tensor):
            one.is_there = True  # type: ignore[attr-defined]


def played_step(run: Any) -> list[str]:
    """Take a step; give the operators that would have waited."""
    mark([list(run.model.parameters()), list(run.model.buffers()), run.optimizer.state_dict()])
    mark(dict(run.recorder.sums))
    draw = type(run.loader).__next__

    def marked(loader: Any) -> Any:
        batch = draw(loader)
        mark([getattr(batch, f.name) for f in fields(batch) if f.name not in batch.on_host])
        return batch

    with pytest.MonkeyPatch.context() as patch, PlayedDevice() as device:
        patch.setattr(type(run.loader), "__next__", marked)
        run._one_step()
    return device.waited


@pytest.mark.parametrize("kind", list(RUNS))
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_does_not_wait_for_the_device(tmp_path: Path, kind: str, accumulate: int) -> None:
    config = LoopConfig(
        steps=4,
        batch_size=BATCH,
        grad_accumulation_steps=accumulate,
        ema_decay=0.9,
        augment={"crop_area": [0.8, 1.0], "brightness": 0.1, "hue": 0.05},
    )
    run = RUNS[kind](tmp_path / "run", Distributed(0, 1, torch.device("cpu")), config)
    run.model.train()
    run._one_step()  # the first one looks at memory, and a codebook may start
    assert played_step(run) == []


def test_a_wait_is_seen(tmp_path: Path) -> None:
    run = RUNS["lam"](tmp_path / "run", Distributed(0, 1, torch.device("cpu")), LoopConfig(steps=4, batch_size=BATCH))
    run.model.train()
    loss = run.model.loss

    def waits(*args: Any) -> Any:
        value, figures = loss(*args)
        return value * float(figures["visual"] > 0), figures

    run.model.loss = waits
    assert "_local_scalar_dense" in played_step(run)


def test_all_that_travels_to_a_gpu_is_page_locked_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RUNS["act"](tmp_path / "run", Distributed(0, 1, torch.device("cpu")), LoopConfig(steps=4, batch_size=BATCH))
    locked: list[int] = []

    def pin_memory(tensor: Tensor) -> Tensor:
        locked.append(tensor.data_ptr())
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin_memory)
    batch = run.loader.make(0)
    assert not locked, "on a CPU nothing is"
    run.loader.collator.buffers.pinned = True
    monkeypatch.setattr(torch, "empty", _without("pin_memory", torch.empty))
    batch = run.loader.make(1)
    travelling = [f.name for f in fields(batch) if isinstance(getattr(batch, f.name), Tensor)]
    expected = {getattr(batch, name).data_ptr() for name in travelling if name not in batch.on_host}
    assert set(locked) == expected


def _without(name: str, function: Any) -> Any:
    return lambda *args, **kwargs: function(*args, **{key: value for key, value in kwargs.items() if key != name})
