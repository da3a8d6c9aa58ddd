"""How a step is computed: in which precision, and with what kept or computed again."""

import torch


def is_fast_at_bf16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16 matrices; without them it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and known is not None and bool(known())
