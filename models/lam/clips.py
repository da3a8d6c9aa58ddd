"""What a user hands to a latent action model as video, checked and turned into clips."""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

EXPECTED = "expected uint8 of torch or numpy, (t, 3, height, width) or (b, t, 3, height, width)"


def as_clips(video: object, device: torch.device) -> UInt8[Tensor, "b t c height width"]:
    """Take a clip or clips from torch or numpy to a device.

    Raise TypeError where the video is no array of uint8, and ValueError where its shape is another.
    """
    if isinstance(video, np.ndarray):
        if video.dtype != np.uint8:
            raise TypeError(f"video: found numpy {video.dtype}, {EXPECTED}")
        video = torch.from_numpy(np.require(video, requirements=("C", "W")))  # torch takes no view that runs backwards
    if not isinstance(video, Tensor):
        raise TypeError(f"video: found {type(video).__name__}, {EXPECTED}")
    if video.dtype != torch.uint8:
        raise TypeError(f"video: found {video.dtype}, {EXPECTED}; levels go from 0 to 255")
    if video.dim() not in (4, 5) or video.shape[-3] != 3:
        last = " (channels come before height and width)" if video.shape[-1:] == (3,) else ""
        raise ValueError(f"video: found shape {tuple(video.shape)}{last}, {EXPECTED}")
    return (video if video.dim() == 5 else video[None]).to(device)
