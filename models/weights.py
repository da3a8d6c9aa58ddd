"""Models at rest: a directory with `model_config.json` and `model.safetensors`; nothing in them is ever executed.

The first has a checksum of the second (`sha256`), so that damaged weights are seen; it may be edited itself. The
published latent action model lies in the same two files, under its own class name.
"""

import json
import os
from collections.abc import Callable, Container, Mapping
from math import isqrt
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.act import Act, ActConfig
from models.config import Config
from models.files import regular, why_no_weights
from models.fingerprint import sha256
from models.json_file import read_object
from models.lam import Lam, LamConfig
from models.missing import what_is_missing
from models.world import World, WorldConfig

C = TypeVar("C", bound=Config)
M = TypeVar("M", bound=nn.Module)
_FLOATS = ("F16", "F32", "F64", "BF16")
"""What safetensors calls the types that weights may have."""

Shapes = Mapping[str, tuple[int, ...]]
Header = Mapping[str, tuple[tuple[int, ...], bool]]
"""Shape of each tensor of a file, and whether it holds floats."""

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

TITLES = {
    "Lam": ("a latent action model", "`villa train lam` wrote, or a released one"),
    "Act": ("a policy", "`villa train act` wrote"),
    "World": ("a world model", "`villa train world` wrote"),
}
"""What each architecture is called, and where one comes from."""

_LANDMARKS = (
    *("encoder.embed.proj.weight", "encoder.pe_spatial", "encoder.pe_temporal", "encoder.layers.0.mlp.fc1.weight"),
    *(
        "encoder.map_block.latents",
        "vq.embedding.weight",
        "decoder.embed.proj.weight",
        "decoder.layers.0.attn.q.weight",
    ),
)
"""Tensors whose shapes give the settings that are not stated."""

_TRAINED_WITH = {
    "augment_type": "resize_crop",
    "augment_level": "clip",
    "random_crop_scale": [0.8, 1.0],
    "random_crop_ratio": [0.75, 4 / 3],
    "use_xformers": None,
}
"""Settings of the published class that no tensor and no latent action depends on, at its defaults."""


def save_model(model: nn.Module, directory: str | Path, extra_json: Mapping[str, Any] | None = None) -> str:
    """Write a model and its `config`; `extra_json` (statistics, snapshot ...) goes beside them, see `read_config`.

    Each file appears whole or not at all. Return the SHA-256 of the weights' file.
    """
    return save_tensors(directory, model.state_dict(), stated_by(model, extra_json))


def stated_by(model: nn.Module, extra_json: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give what `model_config.json` says of a model, but for the checksum of its weights."""
    config = cast(Config, model.config).model_dump(mode="json")
    return {**(extra_json or {}), "architecture": type(model).__name__, "version": 1, "config": config}


def save_released_lam(lam: Lam, directory: str | Path, extra_json: Mapping[str, Any] | None = None) -> None:
    """Write a latent action model as its authors publish theirs, for their inference code and others' that reads it.

    That format has no proprio forward model, no frame spacing and only the published architecture: the first stays
    behind, the second goes beside the settings (`interval_s`, which our reader takes up and theirs passes over), and a
    model of another architecture raises ValueError. `extra_json` goes beside the settings, too.
    """
    config = lam.config
    other = [f"{key}={getattr(config, key)}" for key, needed in _NEEDED.items() if getattr(config, key) != needed]
    if other:
        needed = " ".join(f"--set model.{key}={str(value).lower()}" for key, value in _NEEDED.items())
        raise ValueError(
            f"the released format cannot hold {', '.join(other)}; train with `--preset paper` or {needed} to get there"
        )
    left = ("proprio.", *(f"vq.{name}" for name, _ in lam.vq.named_buffers()))
    released = {name: value for name, value in lam.state_dict().items() if not name.startswith(left)}
    settings = {key: getattr(config, ours) for key, ours in _RELEASED_KEYS.items()}
    derived = {"in_channels": 3, "grid_size": config.grid, "embed_tokens": config.num_patches}
    stated = {
        **(extra_json or {}),
        "architecture": RELEASED_LAM,
        "description": f"latent action model, {config.interval_s:g} s between frames",
        "version": 0,
        "interval_s": config.interval_s,
        "config": {**settings, **derived, **_TRAINED_WITH},
    }
    save_tensors(directory, {name: value.float() for name, value in released.items()}, stated)


def read_config(directory: str | Path) -> dict[str, Any]:
    """Return everything in the JSON file; `config` holds the settings of the model named in `architecture`."""
    path = Path(directory) / CONFIG_NAME
    try:
        metadata = read_object(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path.parent}: no {CONFIG_NAME}; {what_is_missing(path.parent)}") from None
    if not isinstance(metadata.get("config"), dict):
        raise ValueError(f"{path}: expected an object with `architecture` and `config`")
    return metadata


def load_lam(directory: str | Path, device: str | torch.device = "cpu") -> Lam:
    """Read a latent action model, ours or the published one, ready for inference."""
    metadata = read_config(directory)
    architecture = metadata.get("architecture")
    if architecture not in ("Lam", RELEASED_LAM):
        raise ValueError(_other_model(directory, architecture, "Lam"))
    header = _read_header(directory)
    if architecture == "Lam":
        config = _settings(LamConfig, metadata["config"], directory)
        return _load(Lam, config, directory, metadata, header).to(device).eval()
    stated = {"interval_s": metadata["interval_s"]} if "interval_s" in metadata else {}
    try:
        shapes = {name: shape for name, (shape, _) in header.items()}
        published = released_config(metadata["config"], shapes).model_dump()
    except ValueError as error:
        raise ValueError(f"{directory}: {_first_line(error)}") from error
    config = _settings(LamConfig, {**published, **stated}, directory)
    # the published files do not hold the state of our codebook's schedule
    optional = {f"vq.{name}" for name, _ in _on_meta_device(lambda: Lam(config)).vq.named_buffers()}
    return _load(Lam, config, directory, metadata, header, optional=optional).to(device).eval()


def load_act(directory: str | Path, device: str | torch.device = "cpu") -> Act:
    """Read a policy, ready for inference."""
    metadata = read_config(directory)
    if metadata.get("architecture") != "Act":
        raise ValueError(_other_model(directory, metadata.get("architecture"), "Act"))
    config = _settings(ActConfig, metadata["config"], directory)
    return _load(Act, config, directory, metadata, _read_header(directory)).to(device).eval()


def load_world(directory: str | Path, device: str | torch.device = "cpu") -> World:
    """Read a world model, ready to render."""
    metadata = read_config(directory)
    if metadata.get("architecture") != "World":
        raise ValueError(_other_model(directory, metadata.get("architecture"), "World"))
    config = _settings(WorldConfig, metadata["config"], directory)
    return _load(World, config, directory, metadata, _read_header(directory)).to(device).eval()


def _other_model(directory: str | Path, architecture: Any, expected: str) -> str:
    """Write the message about a folder that holds another model."""
    title, origin = TITLES[expected]
    holds = TITLES.get(str(architecture), (f"a {architecture!s:.80}", ""))[0]
    return f"{directory}: holds {holds}, expected {title}; give a folder that {origin}"


def released_config(stated: Mapping[str, Any], shape: Shapes) -> LamConfig:
    """Translate the published settings; those not stated follow from the tensors' shapes, unknown ones are ignored."""
    absent = [name for name in _LANDMARKS if name not in shape]
    if absent:
        raise ValueError(f"no tensor {absent[0]}: these are not the weights of a latent action model")
    try:
        fields = _fields_from_shapes(shape)
    except (IndexError, ValueError, ZeroDivisionError):
        raise ValueError("tensors of other shapes than a latent action model's; copy the weights again") from None
    fields |= {
        ours: stated[published] for published, ours in _RELEASED_KEYS.items() if stated.get(published) is not None
    }
    return LamConfig(**fields)


def _fields_from_shapes(shape: Shapes) -> dict[str, Any]:
    """Infer the settings of a published model from the shapes of its tensors."""
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
    # without these norms the number of heads follows from no shape
    if fields["encoder_qk_norm"]:
        fields["encoder_heads"] = width // shape["encoder.layers.0.attn.q_norm.weight"][0]
    if fields["decoder_qk_norm"]:
        fields["decoder_heads"] = decoder_width // shape["decoder.layers.0.attn.q_layernorm.weight"][0]
    return fields


def _settings(kind: type[C], stated: Mapping[str, Any], directory: str | Path) -> C:
    """Check the settings of a file, which an older version may have written; pydantic would use a paragraph."""
    try:
        return kind.model_validate(kind.saved_as_today(stated))
    except ValueError as error:
        raise ValueError(f"{directory}: {CONFIG_NAME}: {_first_line(error)}") from error


def _read_header(directory: str | Path) -> Header:
    """Read the names, shapes and kinds of tensors, none of their numbers; safetensors checked them against the size."""
    path = Path(directory) / WEIGHTS_NAME
    try:
        with safe_open(regular(path), framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ValueError(why_no_weights(directory, f"{CONFIG_NAME} without {WEIGHTS_NAME}; copy both")) from None
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short or no safetensors file ({error!s:.200}); copy it again") from error
    return {name: (tuple(s.get_shape()), s.get_dtype() in _FLOATS) for name, s in slices.items()}


def _load(
    kind: Callable[[C], M],
    config: C,
    directory: str | Path,
    metadata: Mapping[str, Any],
    header: Header,
    optional: Container[str] = (),
) -> M:
    """Make a model and load its weights, after checking that they fit its settings, which might ask for any memory.

    `metadata` is the content of the JSON file. Tensors in `optional` may be missing from the weights: they stay as
    initialised.
    """
    expected = {
        name: (tuple(value.shape), value.is_floating_point())
        for name, value in _on_meta_device(lambda: kind(config)).state_dict().items()
        if name not in optional or name in header
    }
    for name in sorted(expected.keys() | header.keys()):
        if expected.get(name) != header.get(name):
            raise ValueError(
                f"{directory}: weights do not fit {CONFIG_NAME}: {name[:200]}: found {_describe(header.get(name))}, "
                f"expected {_describe(expected.get(name))}; copy both from one run"
            )
    _check_bytes(Path(directory) / WEIGHTS_NAME, metadata)
    model = kind(config)
    try:
        model.load_state_dict(load_file(Path(directory) / WEIGHTS_NAME), strict=False)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{directory}: {WEIGHTS_NAME}: {str(error).splitlines()[-1].strip()[:200]}") from error
    return model


def _check_bytes(path: Path, metadata: Mapping[str, Any]) -> None:
    """Refuse weights that differ from what was written; models from before there were checksums are not checked."""
    if "sha256" in metadata and metadata["sha256"] != {WEIGHTS_NAME: sha256(path)}:
        raise ValueError(
            f"{path}: damaged, or of another run than the {CONFIG_NAME} beside it, which has the checksum of other "
            f"bytes; copy both again, or write the model again"
        )


def _describe(tensor: tuple[tuple[int, ...], bool] | None) -> str:
    return "none" if tensor is None else f"{'floats' if tensor[1] else 'integers'} {list(tensor[0])}"


def _on_meta_device(make: Callable[[], M]) -> M:
    """Make a model with shapes only, on the meta device."""
    with torch.device("meta"):
        return make()


def _depth(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in shapes if name.startswith(prefix))


def _first_line(error: ValueError) -> str:
    """Say the first thing that is wrong with some settings."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return message
    return f"{'.'.join(str(key) for key in first['loc'])}: found {repr(first['input'])[:80]}, {message}"


def save_tensors(directory: str | Path, tensors: Mapping[str, Tensor], stated: Mapping[str, Any]) -> str:
    """Write both files of a model, each whole or not at all, from its weights and what `stated_by` says of it.

    Return the SHA-256 of the weights' file.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    weights, settings = (_partial(directory / name) for name in (WEIGHTS_NAME, CONFIG_NAME))
    try:
        save_file(plain, weights)
        digest = sha256(weights)
        text = json.dumps({**stated, "sha256": {WEIGHTS_NAME: digest}}, indent=2)
        settings.write_text(text + "\n", encoding="utf-8")
        weights.replace(directory / WEIGHTS_NAME)
        settings.replace(directory / CONFIG_NAME)
    finally:
        for left in (weights, settings):
            left.unlink(missing_ok=True)
    return digest


def _partial(path: Path) -> Path:
    return path.with_suffix(f".{os.getpid()}.partial")
