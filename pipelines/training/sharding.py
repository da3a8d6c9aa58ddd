"""A model's weights, gradients and moments divided among ranks: FSDP2, block by block.

A rank holds its rows of every weight: those of dimension 0, in equal chunks, the last of them shorter or empty. While
a block runs, the ranks have all of it. Weights that the model moves itself (a codebook), and single numbers, stay whole
on every rank.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from pipelines.training.blocks import blocks

T = TypeVar("T")


class Call(nn.Module):
    """Makes any call of a model the forward pass of a module, which sharding and data parallelism wrap."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: Callable[..., T], *args: Any) -> T:
        """Call a function with the model and some arguments."""
        return call(self.model, *args)


class Rows(NamedTuple):
    """Rows of dimension 0, `stop` left out."""

    start: int
    stop: int


def shard(root: Call, device: torch.device, bf16: bool) -> None:
    """Shard a model over all ranks, in place, on a device; the weights that each has before must be equal.

    Weights on the meta device stay there, each rank's rows of them, until they are given memory. With `bf16` blocks are
    gathered in bfloat16, where autocast computes in it anyway; what lies outside of blocks is gathered, and every
    gradient is summed, in float32.
    """
    # Blocks return keys and values as views; nothing is written into them.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)  # torch's own calls
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    whole = set(kept_whole(root.model))
    narrow = MixedPrecisionPolicy(torch.bfloat16 if bf16 else None, torch.float32, None, cast_forward_inputs=False)
    wide = MixedPrecisionPolicy(cast_forward_inputs=False)
    for block in blocks(root.model):
        fully_shard(block, mesh=mesh, mp_policy=narrow, ignored_params=whole)
    # Gathered again for the backward pass: nothing that was gathered is left when weights are changed by hand.
    fully_shard(root, mesh=mesh, mp_policy=wide, ignored_params=whole, reshard_after_forward=True)


def kept_whole(model: nn.Module) -> Iterator[nn.Parameter]:
    """List the parameters that are not sharded."""
    for module in model.modules():
        moves = module is not model and hasattr(module, "begin_step")
        yield from (p for p in module.parameters(recurse=moves) if moves or p.dim() == 0)


def is_sharded(root: nn.Module) -> bool:
    """Tell whether `shard` was applied."""
    return isinstance(root, FSDPModule)


def local(tensor: Tensor) -> Tensor:
    """Give what this rank holds of a tensor, detached: it shares memory with it."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor.detach()


def rows(tensor: Tensor) -> Rows:
    """Tell which rows of a tensor this rank holds; (0, 1) of a single number."""
    if not isinstance(tensor, DTensor):
        return Rows(0, tensor.shape[0] if tensor.dim() else 1)
    held = chunk_rows(tensor.shape[0], tensor.device_mesh.get_local_rank(), tensor.device_mesh.size())
    assert held.stop - held.start == tensor.to_local().shape[0]
    return held


def chunk_rows(num: int, rank: int, world_size: int) -> Rows:
    """Tell which of `num` rows a rank holds."""
    chunk = -(-num // world_size)
    start = min(rank * chunk, num)
    return Rows(start, min(start + chunk, num))


def like(tensor: Tensor, held: Tensor) -> Tensor:
    """Make of what this rank holds a tensor that is sharded as another one is."""
    if not isinstance(tensor, DTensor):
        return held
    return DTensor.from_local(
        held, tensor.device_mesh, tensor.placements, run_check=False, shape=tensor.shape, stride=tensor.stride()
    )


def reduce_whole_gradients(model: nn.Module) -> None:
    """Average over ranks the gradients of what is not sharded."""
    for p in model.parameters():
        if p.grad is not None and not isinstance(p, DTensor):
            dist.all_reduce(p.grad)
            p.grad /= dist.get_world_size()


def clip_gradients(model: nn.Module, max_norm: float) -> Tensor:
    """Scale all gradients down to a norm over all ranks; return the norm that they had."""
    trained = [p for p in model.parameters() if p.grad is not None]
    shards = [p for p in trained if isinstance(p, DTensor)]
    whole = [p for p in trained if not isinstance(p, DTensor)]
    if not shards:
        return nn.utils.clip_grad_norm_(trained, max_norm)
    norm = nn.utils.get_total_norm([p.grad for p in shards if p.grad is not None])
    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
    if whole:
        norm = torch.hypot(norm, nn.utils.get_total_norm([p.grad for p in whole if p.grad is not None]))
    for some in (shards, whole):
        nn.utils.clip_grads_with_norm_(some, max_norm, norm)
    return norm


class Skeleton:
    """A model without weights, from which whole copies are made: a sharded model cannot be copied."""

    def __init__(self, model: nn.Module) -> None:
        empty: dict[int, Any] = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in model.parameters()}
        self._model = copy.deepcopy(model, empty)

    @torch.no_grad()
    def filled(self, model: nn.Module, averages: Mapping[str, Tensor], keep: bool) -> nn.Module | None:
        """Copy a model with its weights whole, or their averages where there are any; on the CPU if it is sharded.

        All ranks take part, those that `keep` it get it.
        """
        state: dict[str, Tensor] = {}
        for name, p in model.named_parameters():
            value = like(p, averages.get(name, local(p)))
            value = value.full_tensor() if isinstance(value, DTensor) else value.clone()
            if keep:
                state[name] = value.cpu() if isinstance(p, DTensor) else value
        if not keep:
            return None
        device = next(iter(state.values())).device
        copied = copy.deepcopy(self._model)
        copied.load_state_dict(state, strict=False, assign=True)
        for buffer, now in zip(copied.buffers(), model.buffers(), strict=True):
            buffer.copy_(now)
        return copied.to(device)
