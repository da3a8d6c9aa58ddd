"""The GPUs that a training is planned for."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from dataengine.config import MOST_WORKERS, Config

RESERVED = 0.05
"""Share of a GPU's memory that the driver, kernels and gaps between tensors take."""


class Gpu(NamedTuple):
    """A GPU by its data sheet."""

    name: str
    """By which its products in bfloat16 are known."""
    memory_gb: float
    fp32_tflops: float
    """Without TF32, which training does not use."""


GpuName = Literal["a100-40gb", "a100", "h100", "h200", "b200", "l40s", "rtx4090"]
GPUS: Mapping[GpuName, Gpu] = {
    "a100-40gb": Gpu("A100", 40, 19.5),
    "a100": Gpu("A100", 80, 19.5),
    "h100": Gpu("H100", 80, 67),
    "h200": Gpu("H200", 141, 67),
    "b200": Gpu("B200", 180, 75),
    "l40s": Gpu("L40S", 48, 91.6),
    "rtx4090": Gpu("RTX 4090", 24, 82.6),
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
        from pipelines.training.peak import DENSE_BF16_TFLOPS  # with torch

        gpu = GPUS[self.gpu]
        return 1e12 * (DENSE_BF16_TFLOPS[gpu.name] if bf16 else gpu.fp32_tflops)
