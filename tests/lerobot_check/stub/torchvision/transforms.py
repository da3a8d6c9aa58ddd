"""The one transform that lerobot's dataset class applies."""

import numpy as np
import torch


class ToTensor:
    """Pictures (height, width, c) of 0 to 255 become tensors (c, height, width) of 0 to 1."""

    def __call__(self, picture: object) -> torch.Tensor:
        array = np.asarray(picture)
        planes = torch.from_numpy(np.ascontiguousarray(array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)))
        return planes.float() / 255 if planes.dtype == torch.uint8 else planes
