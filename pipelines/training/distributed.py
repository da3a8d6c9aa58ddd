"""One process or many: the process group of torchrun, and the few collective calls that training makes."""

import atexit
import os
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from dataengine.errors import DataEngineError
from dataengine.reading import one_line
from pipelines.training.meeting import Meeting, assigned, meet


@dataclass(frozen=True)
class Distributed:
    """One process among its peers; alone it is rank 0 of 1 and nothing is ever sent."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main_process(self) -> bool:
        """True for rank 0, which writes files and prints."""
        return self.rank == 0

    def print0(self, message: str) -> None:
        """Print a line on stderr, from rank 0 alone."""
        if self.is_main_process:
            print(message, file=sys.stderr, flush=True)  # noqa: T201

    def any(self, flag: bool) -> bool:
        """Tell whether any rank says so; all ranks get the same answer."""
        return bool(self.max(int(flag)))

    def max(self, number: int) -> int:
        """Give every rank the largest number of all."""
        if self.world_size == 1:
            return number
        value = torch.tensor([number], device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value.item())

    def broadcast(self, number: int) -> int:
        """Give every rank the number of rank 0."""
        if self.world_size == 1:
            return number
        value = torch.tensor([number], device=self.device)
        dist.broadcast(value, src=0)
        return int(value.item())

    def broadcast_text(self, text: str) -> str:
        """Give every rank the text of rank 0."""
        if self.world_size == 1:
            return text
        encoded = text.encode()
        letters = torch.zeros(self.broadcast(len(encoded)), dtype=torch.uint8)
        if self.is_main_process:
            letters = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
        letters = letters.to(self.device)
        dist.broadcast(letters, src=0)
        return letters.cpu().numpy().tobytes().decode()

    def all_reduce_mean(self, values: Tensor) -> Tensor:
        """Average a tensor over all ranks."""
        if self.world_size > 1:
            dist.all_reduce(values, dist.ReduceOp.SUM)
            values = values / self.world_size
        return values

    def all_gather(self, values: Tensor) -> Tensor:
        """Give every rank the tensors of all, one after another along a new first axis."""
        if self.world_size == 1:
            return values[None]
        rows = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(rows, values.contiguous())
        return torch.stack(rows)

    def broadcast_weights(self, model: nn.Module) -> None:
        """Give every rank the parameters and buffers of rank 0; of a sharded model those that every rank has whole."""
        if self.world_size > 1:
            for tensor in model.state_dict().values():
                if not isinstance(tensor, DTensor):
                    dist.broadcast(tensor, src=0)

    def broadcast_buffers(self, model: nn.Module, names: Container[str]) -> None:
        """Give every rank buffers of rank 0, by their names."""
        if self.world_size > 1:
            for name, buffer in model.named_buffers():
                if name in names:
                    dist.broadcast(buffer, src=0)

    def add_up(self, tensor: Tensor) -> None:
        """Add to a tensor, in place, those of the other ranks."""
        if self.world_size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.SUM)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            dist.barrier()


def give_up_s(hang_timeout_s: float) -> float:
    """Say after how long torch itself gives up a collective call: whoever names the rank that hangs comes first."""
    return 1.5 * hang_timeout_s + 60


@contextmanager
def process_group(device: torch.device, hang_timeout_s: float = 1800, alone: bool = False) -> Iterator[Distributed]:
    """Meet the other processes that torchrun or Ray started, for as long as the block runs.

    A process that has no others makes a group if it asks for one, `alone`: sharding needs it. Raise DataEngineError
    where one of the others does not come.
    """
    rank, world_size = assigned()
    if world_size == 1 and not alone:
        yield Distributed(0, 1, device)
        return
    if dist.is_initialized():  # Ray Train has met them already
        yield Distributed(dist.get_rank(), dist.get_world_size(), device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    timeout = timedelta(seconds=give_up_s(hang_timeout_s))
    meeting: Meeting | None = None
    try:
        if world_size == 1:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
        else:
            meeting = meet(rank, world_size)
            dist.init_process_group(backend, store=meeting.store, rank=rank, world_size=world_size, timeout=timeout)
    except (DataEngineError, dist.DistError, RuntimeError, ValueError) as error:
        raise DataEngineError(
            f"rank {os.environ.get('RANK')} of {world_size} cannot meet the others at "
            f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}: {one_line(str(error), 200)}; see "
            f"whether all of them started"
        ) from error
    try:
        with meeting.naming_the_lost() if meeting else nullcontext():
            yield Distributed(dist.get_rank(), dist.get_world_size(), device)
    finally:
        _release_later(dist.group.WORLD)
        dist.destroy_process_group()


_released: list[object] = []


def _release_later(group: object) -> None:
    """Keep a process group until the next one ends or the process does, so that no model is its last owner.

    The reducer of DistributedDataParallel that frees a Gloo group waits, holding the interpreter, for threads of the
    group that wait for the interpreter to free a tensor (pytorch#56297). The group's own object gives it up meanwhile.
    """
    _released[:] = [group]


atexit.register(_released.clear)
