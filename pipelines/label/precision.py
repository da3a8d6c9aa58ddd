"""How exactly a latent action model computes labels, and what that does to them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dataengine.errors import DataEngineError

if TYPE_CHECKING:
    from models.lam import Lam

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True)
class CodesCompared:
    """Codes that were computed in float32 as well."""

    codes: int = 0
    differ: int = 0

    def __add__(self, other: "CodesCompared") -> "CodesCompared":
        return CodesCompared(self.codes + other.codes, self.differ + other.differ)


def set_precision(lam: "Lam", precision: Precision) -> None:
    """Have a model, and on a GPU this process, compute so; raise DataEngineError where the device cannot.

    float32 is exact here: torch by itself takes TF32 in convolutions, and in products where it was asked for.
    """
    import torch

    on_gpu = lam.mean.device.type == "cuda"
    if precision == "tf32" and not on_gpu:
        raise DataEngineError(
            f"precision is tf32, which is one of NVIDIA's GPUs, and this model is on {lam.mean.device.type}; "
            f"take fp32 or bf16"
        )
    lam.encodes_in_bf16 = precision == "bf16"
    if on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
