"""One process or many: what torchrun says, and the few words that ranks exchange."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dataengine.errors import DataEngineError


@dataclass(frozen=True)
class Ranks:
    """One process among its peers; alone it is rank 0 of 1 and nothing is ever sent."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """True for the one that writes files and talks."""
        return self.rank == 0

    def tell(self, words: str) -> None:
        """Say something on stderr, once."""
        if self.leads:
            print(words, file=sys.stderr, flush=True)  # noqa: T201

    def any(self, flag: bool) -> bool:
        """Tell whether any rank says so; all ranks get the same answer."""
        if self.world_size == 1:
            return flag
        told = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told.item())

    def from_leader(self, number: int) -> int:
        """Give every rank the leader's number."""
        if self.world_size == 1:
            return number
        told = torch.tensor([number], device=self.device)
        dist.broadcast(told, src=0)
        return int(told.item())

    def mean(self, values: Tensor) -> Tensor:
        """Average a tensor over ranks."""
        if self.world_size > 1:
            dist.all_reduce(values, dist.ReduceOp.SUM)
            values = values / self.world_size
        return values

    def copy_from_leader(self, model: nn.Module) -> None:
        """Give every rank the leader's parameters and buffers."""
        if self.world_size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            dist.barrier()


KNOWN = "cpu, cuda, cuda:N or mps"


def pick_device(name: str | None) -> torch.device:
    """Take the named device, or the best there is; under torchrun each process takes its own GPU."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DataEngineError(f"device '{name}': unknown; expected {KNOWN}") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type not in there:
        raise DataEngineError(f"device '{name}': not supported; expected {KNOWN}")
    if (device.index or 0) >= there[device.type]:
        raise DataEngineError(
            f"device '{name}': torch finds {there[device.type]} devices of this kind here; `villa doctor` says what "
            f"there is, cpu always works"
        )
    return device


@contextmanager
def join(device: torch.device) -> Iterator[Ranks]:
    """Meet the other processes that torchrun started, for as long as the block runs."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Ranks(0, 1, device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
