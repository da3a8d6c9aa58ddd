"""Models at rest: a directory with `model_config.json` and `model.safetensors`; nothing in them is ever executed.

The published latent action model lies in the same two files, under its own class name.
"""

import json
import os
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.act import Act, ActConfig
from models.config import Config
from models.lam import Lam, LamConfig
from models.world import World, WorldConfig

CONFIG_NAME = "model_config.json"
WEIGHTS_NAME = "model.safetensors"
RELEASED_LAM = "IgorModel"
"""The class name in the files that villa-X's authors published."""

_RELEASED_KEYS = {
    "resolution": "resolution",
    "patch_size": "patch_size",
    "d_t": "num_frames",
    "encoder_depth": "encoder_depth",
    "encoder_embed_dim": "encoder_width",
    "encoder_n_heads": "encoder_heads",
    "mlp_ratio": "mlp_ratio",
    "st_use_qk_norm": "encoder_qk_norm",
    "num_learned_tokens": "num_slots",
    "action_latent_dim": "latent_dim",
    "map_heads": "map_heads",
    "n_codes": "num_codes",
    "decoder_depth": "decoder_depth",
    "decoder_embed_dim": "decoder_width",
    "decoder_n_heads": "decoder_heads",
    "use_qk_norm": "decoder_qk_norm",
}


_NEEDED = {
    "pooling": "released",
    "normalize_latents": False,
    "conditioning": "token",
    "residual_output": False,
}
"""Settings for which the published class has no others."""

_LANDMARKS = (
    *("encoder.embed.proj.weight", "encoder.pe_spatial", "encoder.pe_temporal", "encoder.layers.0.mlp.fc1.weight"),
    *(
        "encoder.map_block.latents",
        "vq.embedding.weight",
        "decoder.embed.proj.weight",
        "decoder.layers.0.attn.q.weight",
    ),
)
"""Tensors whose shapes tell what the settings leave out."""

_TRAINED_WITH = {
    "augment_type": "resize_crop",
    "augment_level": "clip",
    "random_crop_scale": [0.8, 1.0],
    "random_crop_ratio": [0.75, 4 / 3],
    "use_xformers": None,
}
"""Settings of the published class that no tensor and no latent action depends on, at its defaults."""


def save_model(model: nn.Module, directory: str | Path, extra_json: Mapping[str, Any] | None = None) -> None:
    """Write a model and its `config`; `extra_json` (statistics, snapshot ...) goes beside them, see `read_config`.

    Each file appears whole or not at all.
    """
    directory = Path(directory)
    config = cast(Config, model.config).model_dump(mode="json")
    stated = {**(extra_json or {}), "architecture": type(model).__name__, "version": 1, "config": config}
    _write(directory, model.state_dict(), stated)


def save_released_lam(lam: Lam, directory: str | Path) -> None:
    """Write a latent action model as its authors publish theirs, for their inference code and others' that reads it.

    That format has no proprio forward model, no frame spacing and only the published architecture: the first stays
    behind, the second goes beside the settings (`interval_s`, which our reader takes up and theirs passes over), and a
    model of another architecture raises ValueError.
    """
    config = lam.config
    other = [f"{key}={getattr(config, key)}" for key, needed in _NEEDED.items() if getattr(config, key) != needed]
    if other:
        needed = " ".join(f"--set model.{key}={str(value).lower()}" for key, value in _NEEDED.items())
        raise ValueError(
            f"the released format cannot hold {', '.join(other)}; train with `--preset paper` or {needed} to get there"
        )
    theirs = {name: value for name, value in lam.state_dict().items() if not name.startswith("proprio.")}
    for name, _ in lam.vq.named_buffers():
        theirs.pop(f"vq.{name}")
    settings = {key: getattr(config, ours) for key, ours in _RELEASED_KEYS.items()}
    derived = {"in_channels": 3, "grid_size": config.grid, "embed_tokens": config.num_patches}
    stated = {
        "architecture": RELEASED_LAM,
        "description": f"latent action model, {config.interval_s:g} s between frames",
        "version": 0,
        "interval_s": config.interval_s,
        "config": {**settings, **derived, **_TRAINED_WITH},
    }
    _write(Path(directory), {name: value.float() for name, value in theirs.items()}, stated)


def read_config(directory: str | Path) -> dict[str, Any]:
    """Return everything in the JSON file; `config` holds the settings of the model named in `architecture`."""
    path = Path(directory) / CONFIG_NAME
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path.parent}: no {CONFIG_NAME}; expected a directory that `villa train` wrote") from None
    except ValueError as error:
        raise ValueError(f"{path}: cut short or not JSON ({error}); copy it again") from None
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        raise ValueError(f"{path}: expected an object with `architecture` and `config`")
    return found


def load_lam(directory: str | Path, device: str | torch.device = "cpu") -> Lam:
    """Read a latent action model, ours or the published one, ready for inference."""
    found = read_config(directory)
    architecture = found.get("architecture")
    if architecture not in ("Lam", RELEASED_LAM):
        raise ValueError(f"{directory}: holds a {architecture}, expected a Lam or {RELEASED_LAM}")
    tensors = _read_tensors(directory)
    if architecture == RELEASED_LAM:
        stated = {"interval_s": found["interval_s"]} if "interval_s" in found else {}
        try:
            model = Lam(LamConfig(**{**released_config(found["config"], tensors).model_dump(), **stated}))
        except ValueError as error:
            raise ValueError(f"{directory}: {_first_line(error)}") from error
        # what the published files cannot hold: the memory of our codebook's schedule
        tensors |= {f"vq.{name}": value for name, value in model.vq.named_buffers()}
    else:
        model = Lam(LamConfig(**found["config"]))
    _fill(model, tensors, directory)
    return model.to(device).eval()


def load_act(directory: str | Path, device: str | torch.device = "cpu") -> Act:
    """Read a policy, ready for inference."""
    found = read_config(directory)
    if found.get("architecture") != "Act":
        raise ValueError(f"{directory}: holds a {found.get('architecture')}, expected an Act")
    model = Act(ActConfig(**found["config"]))
    _fill(model, _read_tensors(directory), directory)
    return model.to(device).eval()


def load_world(directory: str | Path, device: str | torch.device = "cpu") -> World:
    """Read a world model, ready to render."""
    found = read_config(directory)
    if found.get("architecture") != "World":
        raise ValueError(f"{directory}: holds a {found.get('architecture')}, expected a World")
    model = World(WorldConfig(**found["config"]))
    _fill(model, _read_tensors(directory), directory)
    return model.to(device).eval()


def released_config(stated: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LamConfig:
    """Translate the published settings; those not stated are read off the tensors' shapes, unknown ones are ignored."""
    shape = {name: tuple(value.shape) for name, value in tensors.items()}
    absent = [name for name in _LANDMARKS if name not in shape]
    if absent:
        raise ValueError(f"no tensor {absent[0]}: these are not the weights of a latent action model")
    width, patch_size = shape["encoder.embed.proj.weight"][0], shape["encoder.embed.proj.weight"][2]
    decoder_width = shape["decoder.embed.proj.weight"][0]
    fields: dict[str, Any] = {
        "resolution": isqrt(shape["encoder.pe_spatial"][1]) * patch_size,
        "patch_size": patch_size,
        "num_frames": shape["encoder.pe_temporal"][1],
        "encoder_depth": _depth(shape, "encoder.layers."),
        "encoder_width": width,
        "encoder_qk_norm": "encoder.layers.0.attn.q_norm.weight" in shape,
        "mlp_ratio": shape["encoder.layers.0.mlp.fc1.weight"][0] / width,
        "num_slots": shape["encoder.map_block.latents"][0],
        "num_codes": shape["vq.embedding.weight"][0],
        "latent_dim": shape["vq.embedding.weight"][1],
        "decoder_depth": _depth(shape, "decoder.layers."),
        "decoder_width": decoder_width,
        "decoder_qk_norm": "decoder.layers.0.attn.q_layernorm.weight" in shape,
        "use_proprio": False,  # never published
    }
    # without these norms no shape tells the number of heads
    if fields["encoder_qk_norm"]:
        fields["encoder_heads"] = width // shape["encoder.layers.0.attn.q_norm.weight"][0]
    if fields["decoder_qk_norm"]:
        fields["decoder_heads"] = decoder_width // shape["decoder.layers.0.attn.q_layernorm.weight"][0]
    fields |= {ours: stated[theirs] for theirs, ours in _RELEASED_KEYS.items() if stated.get(theirs) is not None}
    return LamConfig(**fields)


def _read_tensors(directory: str | Path) -> dict[str, Tensor]:
    path = Path(directory) / WEIGHTS_NAME
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{directory}: {CONFIG_NAME} without {WEIGHTS_NAME}; copy both") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short or no safetensors file ({error}); copy it again") from error


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], directory: str | Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = next(line.strip() for line in str(error).splitlines()[1:])
        raise ValueError(f"{directory}: weights do not fit {CONFIG_NAME}: {first[:200]}") from error


def _depth(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in shapes if name.startswith(prefix))


def _first_line(error: ValueError) -> str:
    """Say what is wrong with some settings; pydantic would use a paragraph."""
    if isinstance(error, ValidationError):
        return "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
    return str(error)


def _write(directory: Path, tensors: Mapping[str, Tensor], stated: Mapping[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    _replace(directory / WEIGHTS_NAME, lambda path: save_file(plain, path))
    text = json.dumps(stated, indent=2)
    _replace(directory / CONFIG_NAME, lambda path: path.write_text(text + "\n"))


def _replace(path: Path, write: Any) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    write(partial)
    partial.replace(path)
