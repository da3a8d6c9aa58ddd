"""The blocks of a model, which memory is saved by: each is recomputed, sharded or compiled as one."""

import functools
from collections.abc import Iterator

from torch import nn
from torch.utils.checkpoint import checkpoint as recompute


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """List the members of every ModuleList, inner ones first.

    A class derived from ModuleList is no list of blocks: which of its members run may depend on the batch, and ranks
    must run the same blocks.
    """
    for parent in reversed(list(model.modules())):
        if type(parent) is nn.ModuleList:
            yield from parent


def checkpoint_blocks(model: nn.Module) -> None:
    """Recompute every block in the backward pass. Names of weights stay as they are."""
    for block in blocks(model):
        block.forward = functools.partial(recompute, block.forward, use_reentrant=False)


def compile_blocks(root: nn.Module) -> None:
    """Compile every block, or all of a model that has none.

    What lies around blocks looks at data (which embodiments a batch has), where a graph has to end: the whole loss of
    the actor is 21 graphs, its blocks are 6 that are shared by all blocks of a shape.
    """
    for module in list(blocks(root)) or [root]:
        module.compile()
