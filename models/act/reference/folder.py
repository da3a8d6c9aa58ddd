"""A reference's folder: weights, inputs and outputs, checked so that whatever is wrong costs one line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.act.act import Act
from models.act.reference.layout import Layout, read_layout
from models.act.reference.names import translate
from models.batch import Observation
from models.files import regular
from models.json_file import read_object

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Reference:
    """What another implementation was given and what it gave."""

    layout: Layout
    weights: Tensors
    """By our names."""
    inputs: Tensors
    outputs: Tensors
    gradient_norms: dict[str, dict[str, float | None]]
    """Norm of each loss term's gradient by the reference's parameter names; empty where none were written."""
    trunk: Tensors
    """Pictures and features of a full-size ResNet-18; empty where there are none."""

    def model(self, **changes: Any) -> Act:
        """Make the actor with the reference's weights, some of its settings changed."""
        act = Act(self.layout.act_config(**changes))
        act.load_state_dict(self.weights)
        return act.eval()

    def observation(self) -> Observation:
        """Give the inputs as the actor takes them."""
        x, tokens = self.inputs, self.layout.layout
        b = x["image"].shape[0]
        wrist = x["wrist_image"].permute(0, 3, 1, 2) if self.layout.wrist else x["image"].new_zeros(b, 3, 32, 32)
        return Observation(
            image=x["image"],
            wrist=wrist,
            has_wrist=x["has_wrist"].bool() if self.layout.wrist else torch.zeros(b, dtype=torch.bool),
            token_ids=x["token_ids"][:, tokens.num_image_tokens :],
            token_mask=x["token_mask"][:, tokens.num_image_tokens :].bool(),
            state=x["state"][:, 0],
            state_mask=x["state_dim_mask"].bool(),
            embodiment_id=x["dataset_id"],
            dataset_id=x["dataset_id"],
            steps_per_latent=x["steps_per_latent"],
            control_hz=x["control_frequency"],
        )


def read(directory: str | Path) -> Reference:
    """Read a folder; raise ValueError in one line where it is no reference, or not a whole one."""
    folder = Path(directory)
    try:
        stated = read_object(folder / "config.json")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder}: no config.json; expected a reference's folder") from None
    try:
        layout = read_layout(stated)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None
    weights, inputs, outputs = (_tensors(folder / f"{name}.safetensors") for name in ("weights", "inputs", "outputs"))
    try:
        weights = translate(weights, layout.joint.num_layers)
    except ValueError as error:
        raise ValueError(f"{folder / 'weights.safetensors'}: {error}") from None
    _check_weights(folder / "weights.safetensors", layout, weights)
    _check_inputs(folder / "inputs.safetensors", layout, inputs)
    trunk = folder / "resnet18_trunk.safetensors"
    norms = folder / "gradient_norms.json"
    return Reference(
        layout=layout,
        weights=weights,
        inputs=inputs,
        outputs=outputs,
        gradient_norms=_norms(norms) if norms.exists() else {},
        trunk=_tensors(trunk) if trunk.exists() else {},
    )


def _tensors(path: Path) -> Tensors:
    try:
        return load_file(regular(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; a reference has weights, inputs and outputs, copy it again") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short or no safetensors file ({error!s:.200}); copy it again") from None


def _norms(path: Path) -> dict[str, dict[str, float | None]]:
    norms = read_object(path).get("norms")
    if not isinstance(norms, dict) or not all(isinstance(one, dict) for one in norms.values()):
        raise ValueError(f"{path}: no `norms` by parameter and loss term, found {json.dumps(norms)[:60]}")
    return norms


def _check_weights(path: Path, layout: Layout, weights: Tensors) -> None:
    """Compare names and shapes with the actor of that layout, which is made without memory for its weights."""
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in Act(layout.act_config()).state_dict().items()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            seen, wanted = shapes.get(name, "none"), expected.get(name, "none")
            raise ValueError(f"{path}: {name}: found {seen}, expected {wanted} by config.json")


def _check_inputs(path: Path, layout: Layout, inputs: Tensors) -> None:
    """Check that all that the runs need is there and of the shapes that `config.json` states."""
    if "image" not in inputs:
        raise ValueError(f"{path}: no tensor 'image'; a reference's inputs have one")
    tokens, b = layout.layout, inputs["image"].shape[0]
    z = tokens.num_latent_actions * tokens.codes_per_latent
    h, d = tokens.num_robot_tokens, tokens.latent_dim
    a, s = max(e.action_dim for e in layout.embodiments), max(e.state_dim for e in layout.embodiments)
    side = layout.siglip.image_size
    expected = {
        "image": (b, 3, side, side),
        **dict.fromkeys(("token_ids", "token_mask"), (b, tokens.num_vlm_tokens)),
        **dict.fromkeys(("dataset_id", "steps_per_latent", "control_frequency", "t_latent", "t_robot"), (b,)),
        "state": (b, 1, s),
        "state_dim_mask": (b, s),
        "action_dim_mask": (b, a),
        **dict.fromkeys(("latents", "latent_noise", "x_t_latent", "sample_latent_noise"), (b, z, d)),
        **dict.fromkeys(("actions", "robot_noise", "x_t_robot", "sample_robot_noise"), (b, h, a)),
        **dict.fromkeys(("latent_loss_mask", "latent_visible_half"), (b, z)),
        "robot_loss_mask": (b, h),
    }
    if layout.wrist:
        side = layout.wrist.image_size
        expected |= {"has_wrist": (b,), "wrist_image": (b, side, side, 3)}
    for name, shape in expected.items():
        seen = tuple(inputs[name].shape) if name in inputs else "none"
        if seen != shape:
            raise ValueError(f"{path}: {name}: found {seen}, expected {shape} by config.json")
    _check_rows(path, "dataset_id", inputs["dataset_id"], min(len(layout.embodiments), layout.context.num_dataset_rows))
    _check_rows(path, "token_ids", inputs["token_ids"][:, tokens.num_image_tokens :], layout.vlm.vocab_size)
    if not layout.wrist and "has_wrist" in inputs and inputs["has_wrist"].any():
        raise ValueError(f"{path}: has_wrist is true somewhere, but config.json has no wrist encoder")


def _check_rows(path: Path, name: str, ids: Tensor, count: int) -> None:
    if ids.is_floating_point() or not ((ids >= 0) & (ids < count)).all():
        raise ValueError(
            f"{path}: {name}: expected integers from 0 to {count - 1}, found {ids.unique().tolist()!s:.60}"
        )
