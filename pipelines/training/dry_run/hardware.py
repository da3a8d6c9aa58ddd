"""The GPUs that a training is planned for."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from dataengine.config import MOST_WORKERS, Config

RESERVED = 0.05
"""Share of a GPU's memory that the driver, kernels and gaps between tensors take."""


class Gpu(NamedTuple):
    """A GPU by its data sheet; dense products, no sparsity."""

    memory_gb: float
    bf16_tflops: float
    fp32_tflops: float
    """Without TF32, which training does not use."""


GpuName = Literal["a100-40gb", "a100", "h100", "h200", "b200", "l40s", "rtx4090"]
GPUS: Mapping[GpuName, Gpu] = {
    "a100-40gb": Gpu(40, 312, 19.5),
    "a100": Gpu(80, 312, 19.5),
    "h100": Gpu(80, 989, 67),
    "h200": Gpu(141, 989, 67),
    "b200": Gpu(180, 2250, 75),
    "l40s": Gpu(48, 362, 91.6),
    "rtx4090": Gpu(24, 165, 82.6),
}


class HardwareConfig(Config):
    """What a training is planned for."""

    gpus: int = Field(1, ge=1, le=MOST_WORKERS)
    """How many, a process on each."""
    gpu: GpuName = "h100"
    """Which."""
    gpu_memory_gb: float | None = Field(None, gt=0, le=10_000)
    """Memory of one, where it is not that of the data sheet."""
    mfu: float = Field(0.4, gt=0, le=1)
    """Share of the GPU's peak that the model's own work is assumed to reach."""

    @property
    def usable_bytes(self) -> int:
        """Memory of one GPU that tensors can have."""
        return int((self.gpu_memory_gb or GPUS[self.gpu].memory_gb) * 1e9 * (1 - RESERVED))

    def peak_flops(self, bf16: bool) -> float:
        """Give the work that one GPU could do in a second."""
        gpu = GPUS[self.gpu]
        return 1e12 * (gpu.bf16_tflops if bf16 else gpu.fp32_tflops)
