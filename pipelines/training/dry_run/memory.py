"""Memory of one GPU by part, for a way to divide the training; and the nearest way that fits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from torch import nn

from pipelines.training.blocks import blocks
from pipelines.training.dry_run.cost import PassCost
from pipelines.training.memory import Need
from pipelines.training.sharding import kept_whole

GATHERED_BLOCKS = 2
"""Blocks that are whole at once under FSDP2: the one that runs, and the next one on its way."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of a model's parts, whatever runs it."""

    need: Need
    whole: int
    """Of weights, those that no sharding divides, and buffers."""
    largest_block: int
    outside: int
    """Of weights outside of blocks, which are gathered all at once."""

    @classmethod
    def of(cls, model: nn.Module, need: Need) -> "Sizes":
        """Measure a model, which may lie on the meta device."""
        kept = {id(p): p.nbytes for p in kept_whole(model)}
        in_blocks = {id(p) for block in blocks(model) for p in block.parameters()}
        return cls(
            need=need,
            whole=sum(kept.values()) + sum(b.nbytes for b in model.buffers()),
            largest_block=max((sum(p.nbytes for p in block.parameters()) for block in blocks(model)), default=0),
            outside=sum(p.nbytes for p in model.parameters() if id(p) not in in_blocks and id(p) not in kept),
        )


@dataclass(frozen=True)
class Way:
    """How a training is divided."""

    gpus: int
    sharding: str
    recompute: bool
    accumulate: int
    bf16: bool

    def parts(self, sizes: Sizes, costs: Mapping[bool, PassCost], windows: int, pictures: int) -> dict[str, int]:
        """Name the bytes on one GPU, when most is needed; `costs`, by recomputation, and `pictures` are of one window.

        `windows` is the batch of a step.
        """
        need, share = sizes.need, 1 / self.gpus if self.sharding == "fsdp2" else 1.0
        each = windows / self.accumulate / self.gpus
        cost = costs[self.recompute].scaled(each, need.gradients)
        divided = max(need.weights - sizes.whole, 0)
        held = {
            "weights": int(divided * share) + sizes.whole,
            "optimizer": int(need.moments * share),
            "averages": int(need.averages * share),
            "pictures": int(each * pictures),
            "activations": cost.activations,
        }
        if cost.casts and self.sharding == "none":  # sharded blocks are gathered in the type that they compute in
            held["weights in bfloat16"] = cost.casts
        if self.gpus == 1 and self.accumulate == 1:
            # No bucket holds them from the start: they come while activations go.
            return {**held, "gradients": cost.peak - cost.activations}
        work = max(cost.peak - cost.activations - need.gradients, 0)
        held |= {"gradients": int(need.gradients * share), "temporaries": work}
        if self.sharding == "fsdp2" and self.gpus > 1:
            narrow = 2 if self.bf16 else 1  # blocks are gathered in the type that they compute in
            held["gathered"] = sizes.outside + GATHERED_BLOCKS * sizes.largest_block // narrow + sizes.largest_block
        return held

    def settings(self, other: "Way") -> str:
        """Name what another way changes, as options."""
        said = []
        if other.recompute and not self.recompute:
            said.append("--checkpoint-activations")
        if other.accumulate != self.accumulate:
            said.append(f"--grad-accumulation-steps {other.accumulate}")
        if other.sharding != self.sharding:
            said.append(f"--sharding {other.sharding}")
        if other.gpus != self.gpus:
            said.append(f"--gpus {other.gpus}")
        return " ".join(said)


def alternatives(way: Way, windows: int) -> Iterator[Way]:
    """List other ways to compute the same steps, the one that costs least time first."""
    most = max(windows // way.gpus, 1)
    accumulations = [n for n in range(way.accumulate, most + 1) if windows % (n * way.gpus) == 0]
    shardings = [way.sharding, *(["fsdp2"] if way.gpus > 1 and way.sharding == "none" else [])]
    for sharding, recompute, accumulate in product(shardings, sorted({way.recompute, True}), accumulations):
        yield replace(way, sharding=sharding, recompute=recompute, accumulate=accumulate)
    for gpus in (2, 4, 8, 16, 32, 64, 128, 256, 512):
        if gpus > way.gpus and windows % gpus == 0:
            for recompute, accumulate in product((False, True), (1, 2, 4)):
                if windows % (accumulate * gpus) == 0:
                    yield replace(way, gpus=gpus, sharding="fsdp2", recompute=recompute, accumulate=accumulate)
