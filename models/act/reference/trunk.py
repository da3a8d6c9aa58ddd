"""The full-size ResNet-18, too large to be written: its weights follow from a formula, its features are compared."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from models.act.config import WristConfig
from models.act.reference.folder import Tensors
from models.act.wrist import MEAN, STD, Trunk


@torch.no_grad()
def outputs(golden: Tensors) -> Iterator[tuple[str, Tensor]]:
    """Give the features of the pictures: after the first stage and at the end, with running and batch statistics."""
    trunk = _filled(Trunk(WristConfig().widths))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    pixels = (golden["wrist_image"].permute(0, 3, 1, 2) / 255.0 - mean) / std
    kept: list[Tensor] = []
    hook = trunk.layer1.register_forward_hook(lambda _module, _args, out: kept.append(out))
    yield "features_eval", trunk.eval()(pixels)
    hook.remove()
    yield "after_stem_and_stage1_eval", kept[0]
    yield "features_train", trunk.train()(pixels)


def _filled(trunk: Trunk) -> Trunk:
    """Give it the weights of the formula, as the reference numbers its tensors."""
    state = trunk.state_dict()
    names = sorted((name for name in state if "num_batches" not in name), key=_numbered)
    for k, name in enumerate(names):
        u = formula(k, state[name].shape)
        if state[name].dim() == 4:
            u = 1.2 * 12**0.5 * u / state[name][0].numel() ** 0.5
        elif name.endswith("running_var"):
            u = 1.0 + 0.8 * u
        elif name.endswith("weight"):
            u = 0.7 + 0.4 * u
        else:
            u = 0.4 * u
        state[name] = u.float()
    trunk.load_state_dict(state)
    return trunk


def formula(k: int, shape: torch.Size) -> Tensor:
    """Uniform numbers in -0.5 to 0.5 from a 32-bit hash of the tensor's number k and the element's index."""
    with np.errstate(over="ignore"):
        i = np.arange(shape.numel(), dtype=np.uint32)
        h = np.uint32(2654435761) * i + np.uint32((40503 * k + 12345) % 2**32)
        for multiplier, shift in ((2246822519, 16), (3266489917, 13)):
            h = (h ^ (h >> np.uint32(shift))) * np.uint32(multiplier)
        h ^= h >> np.uint32(16)
    return torch.from_numpy(h / 2.0**32 - 0.5).reshape(shape)


def _numbered(name: str) -> str:
    """Sort as the reference numbered its tensors: by place in a Sequential (conv 0, norm 1, stages 4 to 7)."""
    stem = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    first, rest = name.split(".", 1)
    return f"{stem[first]}.{rest}"
