"""The device that a model runs on."""

import os
from typing import TYPE_CHECKING

from dataengine.errors import DataEngineError

if TYPE_CHECKING:
    import torch

KNOWN = "cpu, cuda, cuda:N or mps"


def pick_device(name: str | None) -> "torch.device":
    """Take the named device, or the best there is; under torchrun each process takes its own GPU."""
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DataEngineError(f"device '{name}': unknown; expected {KNOWN}") from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type not in there:
        raise DataEngineError(f"device '{name}': not supported; expected {KNOWN}")
    if (device.index or 0) >= there[device.type]:
        raise DataEngineError(
            f"device '{name}': torch finds {there[device.type]} devices of this kind here; `villa doctor` says what "
            f"there is, cpu always works"
        )
    return device
