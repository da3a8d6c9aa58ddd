"""Models whose weights have no memory yet: what gave them their values is remembered, and done again for a shard.

While such a model is made, tensors that `torch.empty` would give lie on the meta device, and every operation that
writes to one is noted, a random one with the generator's state. Random numbers are drawn all the same, into a tensor
that is dropped at once, so that the generator goes on as ever. The same operations on a tensor with memory then give a
weight the values that it would have had, to the last bit; no more than one weight is whole at a time. A tensor that
was copied into a weight is kept until that weight is made; one of a safetensors file lies in the mapped file.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipelines.training.sharding import local, rows

M = TypeVar("M", bound=nn.Module)

EMPTY = (torch.ops.aten.empty.memory_format, torch.ops.aten.new_empty.default)
ZEROS = (torch.ops.aten.new_zeros.default, torch.ops.aten.zeros_like.default)
OVERWRITING = ("uniform_", "normal_", "zero_", "fill_", "copy_")
"""Operations that leave nothing of what a tensor held."""


class ReadsWeightsError(RuntimeError):
    """A model reads weights while it is made, when they have no values."""


class Piece(NamedTuple):
    """The part of a weight that an operation wrote to."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class Write(NamedTuple):
    """An operation that wrote to a piece of a weight."""

    op: Callable[..., Any]
    piece: Piece
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    versions: tuple[int, ...]
    """How often each tensor among the arguments had been written to."""
    state: Tensor | None
    """Of the random generator before it."""

    def to(self, whole: Tensor) -> None:
        """Do it again; the generator of random numbers stays where it is."""
        assert self.versions == _versions((self.args, self.kwargs)), f"what {self.op} took was written to since"
        piece = whole.as_strided(*self.piece)
        if self.state is None:
            self.op(piece, *self.args, **self.kwargs)
            return
        generator = _generator(self.kwargs)
        now = generator.get_state()
        generator.set_state(self.state)
        self.op(piece, *self.args, **self.kwargs)
        generator.set_state(now)


@dataclass
class Origin:
    """How a weight got its values."""

    like: Tensor
    """Of its shape, on the meta device."""
    writes: list[Write] = field(default_factory=list)

    def note(self, write: Write) -> None:
        """Take one more operation; what it leaves nothing of is forgotten."""
        covers = torch.Size(write.piece.size).numel() == self.like.numel()
        if covers and write.op.__name__.partition(".")[0] in OVERWRITING:
            self.writes.clear()
        self.writes.append(write)

    def make(self) -> Tensor:
        """Give the whole weight, on the CPU."""
        whole = torch.empty_like(self.like, device="cpu")
        with torch.no_grad():
            for write in self.writes:
                write.to(whole)
        return whole


class Weights:
    """The values of weights that have no memory yet, by name."""

    def __init__(self, origins: Mapping[str, Origin]) -> None:
        self._origins = dict(origins)

    def make(self, name: str) -> Tensor:
        """Make a weight, whole, on the CPU."""
        return self._origins[name].make()

    @torch.no_grad()
    def fill(self, root: nn.Module, model: nn.Module, device: torch.device) -> None:
        """Give what this rank holds of each weight memory on a device, and its values, which are forgotten here."""
        root._apply(lambda t: torch.empty_like(t, device=device) if t.device.type == "meta" else t.to(device))
        for name, t in _tensors(model):
            if name in self._origins:
                held, whole = rows(t), self._origins.pop(name).make()
                local(t).copy_(whole[held.start : held.stop] if whole.dim() else whole)


def make_without_memory(build: Callable[[], M]) -> tuple[M, Weights]:
    """Make a model whose weights have no memory yet. What it makes with values at once, as most buffers, has its own.

    Raise ReadsWeightsError where its making depends on values of weights.
    """
    with _Deferring() as deferring, _LooksReal(deferring):
        try:
            model = build()
        except RuntimeError as error:
            raise deferring.reads or error from None
    return model, Weights({name: deferring.origins[_storage(t)] for name, t in _tensors(model) if t.is_meta})


class _Deferring(TorchDispatchMode):
    """Notes what is done to empty tensors, which it makes without memory."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[int, Origin] = {}
        """By the storage of what is made."""
        self.reads: ReadsWeightsError | None = None
        """What was raised for an operation; torch may have said it in other words."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        ours = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and self.is_deferred(t)]
        if func in EMPTY and _on_cpu(kwargs, ours):
            made = func(*args, **{**kwargs, "device": "meta"})
            # Torch reads a file's tensor into an empty one without elements.
            return self._begin(made) if made.numel() else func(*args, **kwargs)
        if not ours:
            return func(*args, **kwargs)
        if func in ZEROS:
            made = self._begin(func(*args, **kwargs))
            self._note(torch.ops.aten.zero_.default, (made,), {})
            return made
        if func._schema.is_mutable and len(ours) == 1 and args[0] is ours[0]:
            self._note(func, args, kwargs)
            return args[0]
        if not func._schema.is_mutable:
            with contextlib.suppress(RuntimeError):  # it wants numbers
                made = func(*args, **kwargs)
                if all(isinstance(t, Tensor) and self.is_deferred(t) for t in tree_leaves(made)):
                    return made  # the same numbers in another shape
        self.reads = ReadsWeightsError(f"{func.__name__} reads weights")
        raise self.reads

    def _begin(self, made: Tensor) -> Tensor:
        self.origins[_storage(made)] = Origin(made)
        return made

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        target, *rest = args
        piece = Piece(tuple(target.shape), target.stride(), target.storage_offset())
        state = None
        if torch.Tag.nondeterministic_seeded in func.tags:
            state = _generator(kwargs).get_state()
            func(torch.empty_strided(piece.size, piece.stride, dtype=target.dtype), *rest, **kwargs)
        self.origins[_storage(target)].note(Write(func, piece, tuple(rest), kwargs, _versions((rest, kwargs)), state))

    def is_deferred(self, tensor: Tensor) -> bool:
        """Tell whether a tensor, or what it looks at, was made here."""
        return tensor.device.type == "meta" and _storage(tensor) in self.origins


class _LooksReal(TorchFunctionMode):
    """Says of deferred tensors that they are no meta tensors, which some of torch's functions leave as they are."""

    def __init__(self, deferring: _Deferring) -> None:
        super().__init__()
        self._deferring = deferring

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func == _IS_META and self._deferring.is_deferred(args[0]):
            return False
        return func(*args, **(kwargs or {}))


_IS_META = Tensor.is_meta.__get__  # type: ignore[attr-defined]


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return itertools.chain(model.named_parameters(), model.named_buffers())


def _on_cpu(kwargs: Mapping[str, Any], ours: list[Tensor]) -> bool:
    """Tell whether a new tensor would lie on the CPU, or is like one that would."""
    device = kwargs.get("device")
    return bool(ours) if device is None and ours else torch.device(device or "cpu").type == "cpu"


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _versions(args: Any) -> tuple[int, ...]:
    return tuple(t._version for t in tree_leaves(args) if isinstance(t, Tensor))


def _generator(kwargs: Mapping[str, Any]) -> Generator:
    given: Generator | None = kwargs.get("generator")
    return torch.default_generator if given is None else given
