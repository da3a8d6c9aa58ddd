"""A training step and its measures with torch alone: bf16 autocast, clipping, fused AdamW, as the trainer does them."""

import functools
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from models.lam.space_time import SpaceTimeBlock
from models.layers.stack import GemmaBlock
from models.layers.transformer import DecoderBlock
from models.vlm.vision import VisionBlock
from pipelines.training.peak import named_peak_flops


def peak_flops(device: str, dtype: torch.dtype) -> tuple[float, str]:
    """Give the most that a device does in a second, and how that is known: else it is measured, as on a CPU."""
    name = torch.cuda.get_device_name() if device == "cuda" else "this CPU"
    known = named_peak_flops(name) if dtype == torch.bfloat16 else None
    if known is not None:
        return known, f"{name}, dense {dtype}, data sheet"
    side = 8192 if device == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = min(seconds_of(lambda: (a @ b, a @ b), device) for _ in range(8))
    return 4 * side**3 / best, f"{name}, {dtype}, best of its own matrix products of side {side}"


def seconds_of(work: Callable[[], Any], device: str) -> float:
    """Time some work: on a CPU its threads' time there, on a GPU until it has ended."""
    if device != "cuda":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory_gib(device: str) -> float:
    """Give what was taken at most: of the GPU, or by the whole process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def recompute_blocks(model: nn.Module) -> None:
    """Recompute every block in the backward pass, as `checkpoint_activations` does."""
    for parent in list(model.modules()):
        if isinstance(parent, nn.ModuleList):
            for block in parent:
                block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)


def compile_blocks(model: nn.Module) -> None:
    """Compile block by block: blocks of one kind share their code, and what lies between them stays as it is."""
    for module in model.modules():
        if isinstance(module, GemmaBlock | VisionBlock | SpaceTimeBlock | DecoderBlock):
            module.compile(dynamic=False)


class Stepping:
    """One model, its optimiser, and a batch in memory that it trains on."""

    def __init__(self, model: nn.Module, batch: Any, device: str, bf16: bool, recompute: bool, compiled: bool) -> None:
        self.model, self.batch, self.device, self.bf16 = model.train(), batch, device, bf16
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
        if recompute:
            recompute_blocks(model)
        if compiled:
            compile_blocks(model)

    def step(self) -> None:
        """Take one step; nothing in it waits for the device."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            loss, _ = self.model.loss(self.batch)  # type: ignore[operator]
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.grad is not None], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def measure(self, steps: int, warm: int = 2) -> dict[str, float]:
        """Give the median milliseconds of a step, its spread, and the peak of memory."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(warm):
            self.step()
        ms = sorted(1e3 * seconds_of(self.step, self.device) for _ in range(steps))
        times = {"step_ms": statistics.median(ms), "step_ms_min": ms[0], "step_ms_max": ms[-1]}
        return {**times, "peak_memory_gib": peak_memory_gib(self.device)}
