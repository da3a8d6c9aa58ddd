"""A function of tensors as a CUDA graph: recorded once for each shape of its inputs, then replayed in one call."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

MOST_GRAPHS = 8
"""Shapes that are kept; each holds the memory of one call."""
WARM_CALLS = 2
"""Before recording: libraries allocate and choose kernels in their first calls."""


@dataclass(frozen=True)
class Recording:
    """A graph, the tensors that it reads, and those that it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: tuple[Tensor, ...]


class Graphs:
    """Records and replays. Tensors on the CPU among the inputs are not read again: a graph belongs to their values."""

    def __init__(self) -> None:
        self.recordings: OrderedDict[Hashable, Recording] = OrderedDict()

    def __call__(self, function: Callable[..., tuple[T, ...]], inputs: tuple[Any, ...], constant: Hashable) -> Any:
        """Give what the function gives for these inputs; `constant` is what else it depends on.

        The next call overwrites it.
        """
        leaves = list(tensors(inputs))
        key = (constant, *(_kind(x) for x in leaves))
        if key not in self.recordings:
            self.recordings[key] = record(function, inputs)
        self.recordings.move_to_end(key)
        if len(self.recordings) > MOST_GRAPHS:
            self.recordings.popitem(last=False)
        recording = self.recordings[key]
        for own, given in zip(recording.inputs, (x for x in leaves if x.is_cuda), strict=True):
            own.copy_(given, non_blocking=True)
        recording.graph.replay()
        return recording.outputs


def record(function: Callable[..., tuple[Any, ...]], inputs: tuple[Any, ...]) -> Recording:
    """Record a call on copies of its inputs."""
    own = copied(inputs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_CALLS):
            function(*own)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = function(*own)
    return Recording(graph, [x for x in tensors(own) if x.is_cuda], outputs)


def _kind(x: Tensor) -> Hashable:
    """Tell what a graph depends on: shape and type of a tensor on the GPU, values of one on the CPU."""
    return (x.shape, x.dtype) if x.is_cuda else (x.shape, tuple(x.flatten().tolist()))


def tensors(tree: Any) -> list[Tensor]:
    """List the tensors of nested tuples and dataclasses."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, tuple):
        return [x for part in tree for x in tensors(part)]
    if is_dataclass(tree):
        return [x for f in fields(tree) for x in tensors(getattr(tree, f.name))]
    return []


def copied(tree: T) -> T:
    """Copy the tensors of nested tuples and dataclasses."""
    if isinstance(tree, Tensor):
        return tree.clone()  # type: ignore[return-value]
    if isinstance(tree, tuple):
        parts = [copied(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(tree, **{f.name: copied(getattr(tree, f.name)) for f in fields(tree)})
    return tree
