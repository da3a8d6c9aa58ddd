"""Published weights of a ResNet-18 for the wrist camera's trunk: torchvision's names, in safetensors or a .pth file."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.act.config import WristConfig
from models.act.wrist import Trunk
from models.files import regular


def check_trunk(config: WristConfig, path: str | Path) -> None:
    """Raise ValueError in one line where a file does not fit a trunk of that shape."""
    with torch.device("meta"):
        trunk = Trunk(config.widths)
    _fitting(trunk, path)


def load_trunk(trunk: Trunk, path: str | Path) -> None:
    """Fill a trunk; raise ValueError in one line where the file does not fit it."""
    own = trunk.state_dict()
    for name, weight in _fitting(trunk, path).items():
        own[name].copy_(weight)


def _fitting(trunk: Trunk, path: str | Path) -> dict[str, Tensor]:
    """Read the weights that the trunk has; the classifier stays behind."""
    given, fitting = _read(Path(path)), {}
    for name, own in trunk.state_dict().items():
        counter = name.endswith("num_batches_tracked")  # nothing depends on it, and older files lack it
        if name not in given and counter:
            continue
        if name not in given:
            raise ValueError(
                f"{path}: no weight {name}; expected those of a ResNet-18 by torchvision's names, such as "
                f"layer1.0.conv1.weight"
            )
        if given[name].shape != own.shape or not (counter or given[name].is_floating_point()):
            raise ValueError(
                f"{path}: {name}: found {_describe(given[name])}, expected floats {list(own.shape)} by model.wrist"
            )
        fitting[name] = given[name]
    return fitting


def _read(path: Path) -> Mapping[str, Tensor]:
    """Read a file of tensors; a pickle may hold nothing else, and none of its code runs."""
    try:
        if regular(path).suffix == ".safetensors":
            return load_file(path)
        given = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected weights of a ResNet-18") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short or no safetensors file ({error!s:.200}); download it again") from None
    except UnpicklingError:
        raise ValueError(f"{path}: damaged, or holds more than tensors, which is not read; give safetensors") from None
    except (RuntimeError, EOFError, OSError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path}: no file of weights ({str(error).splitlines()[0][:120]}); download it again"
        ) from None
    if not isinstance(given, Mapping) or not all(isinstance(one, Tensor) for one in given.values()):
        raise ValueError(f"{path}: holds a {type(given).__name__}, expected weights by name, a state dict")
    return given


def _describe(tensor: Tensor) -> str:
    return f"{'floats' if tensor.is_floating_point() else 'integers'} {list(tensor.shape)}"
