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
from models.files import regular
from models.fingerprint import sha256
from models.json_file import read_object
from models.lam import Lam, LamConfig
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
"""Tensors whose shapes tell what the settings leave out."""

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
    directory = Path(directory)
    config = cast(Config, model.config).model_dump(mode="json")
    stated = {**(extra_json or {}), "architecture": type(model).__name__, "version": 1, "config": config}
    return _write(directory, model.state_dict(), stated)


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
    theirs = {name: value for name, value in lam.state_dict().items() if not name.startswith("proprio.")}
    for name, _ in lam.vq.named_buffers():
        theirs.pop(f"vq.{name}")
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
    _write(Path(directory), {name: value.float() for name, value in theirs.items()}, stated)


def read_config(directory: str | Path) -> dict[str, Any]:
    """Return everything in the JSON file; `config` holds the settings of the model named in `architecture`."""
    path = Path(directory) / CONFIG_NAME
    try:
        found = read_object(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path.parent}: no {CONFIG_NAME}; expected a directory that `villa train` wrote") from None
    if not isinstance(found.get("config"), dict):
        raise ValueError(f"{path}: expected an object with `architecture` and `config`")
    return found


def load_lam(directory: str | Path, device: str | torch.device = "cpu") -> Lam:
    """Read a latent action model, ours or the published one, ready for inference."""
    found = read_config(directory)
    architecture = found.get("architecture")
    if architecture not in ("Lam", RELEASED_LAM):
        raise ValueError(_other_model(directory, architecture, "Lam"))
    header = _read_header(directory)
    if architecture == "Lam":
        return _load(Lam, _settings(LamConfig, found["config"], directory), directory, found, header).to(device).eval()
    stated = {"interval_s": found["interval_s"]} if "interval_s" in found else {}
    try:
        read_off = released_config(found["config"], {name: shape for name, (shape, _) in header.items()}).model_dump()
    except ValueError as error:
        raise ValueError(f"{directory}: {_first_line(error)}") from error
    config = _settings(LamConfig, {**read_off, **stated}, directory)
    # what the published files cannot hold: the memory of our codebook's schedule
    own = {f"vq.{name}" for name, _ in _without_memory(lambda: Lam(config)).vq.named_buffers()}
    return _load(Lam, config, directory, found, header, own=own).to(device).eval()


def load_act(directory: str | Path, device: str | torch.device = "cpu") -> Act:
    """Read a policy, ready for inference."""
    found = read_config(directory)
    if found.get("architecture") != "Act":
        raise ValueError(_other_model(directory, found.get("architecture"), "Act"))
    config = _settings(ActConfig, found["config"], directory)
    return _load(Act, config, directory, found, _read_header(directory)).to(device).eval()


def load_world(directory: str | Path, device: str | torch.device = "cpu") -> World:
    """Read a world model, ready to render."""
    found = read_config(directory)
    if found.get("architecture") != "World":
        raise ValueError(_other_model(directory, found.get("architecture"), "World"))
    config = _settings(WorldConfig, found["config"], directory)
    return _load(World, config, directory, found, _read_header(directory)).to(device).eval()


def _other_model(directory: str | Path, found: Any, wanted: str) -> str:
    """Say what a folder holds, and what to give instead."""
    title, origin = TITLES[wanted]
    there = TITLES.get(str(found), (f"a {found!s:.80}", ""))[0]
    return f"{directory}: holds {there}, expected {title}; give a folder that {origin}"


def released_config(stated: Mapping[str, Any], shape: Shapes) -> LamConfig:
    """Translate the published settings; those not stated are read off the tensors' shapes, unknown ones are ignored."""
    absent = [name for name in _LANDMARKS if name not in shape]
    if absent:
        raise ValueError(f"no tensor {absent[0]}: these are not the weights of a latent action model")
    try:
        fields = _read_off(shape)
    except (IndexError, ValueError, ZeroDivisionError):
        raise ValueError("tensors of other shapes than a latent action model's; copy the weights again") from None
    fields |= {ours: stated[theirs] for theirs, ours in _RELEASED_KEYS.items() if stated.get(theirs) is not None}
    return LamConfig(**fields)


def _read_off(shape: Shapes) -> dict[str, Any]:
    """Tell the settings of a published model by the shapes of its tensors."""
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
        raise ValueError(f"{directory}: {CONFIG_NAME} without {WEIGHTS_NAME}; copy both") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short or no safetensors file ({error!s:.200}); copy it again") from error
    return {name: (tuple(s.get_shape()), s.get_dtype() in _FLOATS) for name, s in slices.items()}


def _load(
    kind: Callable[[C], M],
    config: C,
    directory: str | Path,
    found: Mapping[str, Any],
    header: Header,
    own: Container[str] = (),
) -> M:
    """Make a model and fill it, once its settings are known to fit the weights: they might ask for any memory.

    `found` is all that the JSON file says. What is named in `own` may be missing from the weights and keeps its start.
    """
    wanted = {
        name: (tuple(value.shape), value.is_floating_point())
        for name, value in _without_memory(lambda: kind(config)).state_dict().items()
        if name not in own or name in header
    }
    for name in sorted(wanted.keys() | header.keys()):
        if wanted.get(name) != header.get(name):
            raise ValueError(
                f"{directory}: weights do not fit {CONFIG_NAME}: {name[:200]}: found {_say(header.get(name))}, "
                f"expected {_say(wanted.get(name))}; copy both from one run"
            )
    _check_bytes(Path(directory) / WEIGHTS_NAME, found)
    model = kind(config)
    try:
        model.load_state_dict(load_file(Path(directory) / WEIGHTS_NAME), strict=False)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{directory}: {WEIGHTS_NAME}: {str(error).splitlines()[-1].strip()[:200]}") from error
    return model


def _check_bytes(path: Path, found: Mapping[str, Any]) -> None:
    """Refuse weights that are not those that were written; of models from before there were checksums nobody knows."""
    if "sha256" in found and found["sha256"] != {WEIGHTS_NAME: sha256(path)}:
        raise ValueError(
            f"{path}: damaged, or of another run than the {CONFIG_NAME} beside it, which has the checksum of other "
            f"bytes; copy both again, or write the model again"
        )


def _say(tensor: tuple[tuple[int, ...], bool] | None) -> str:
    return "none" if tensor is None else f"{'floats' if tensor[1] else 'integers'} {list(tensor[0])}"


def _without_memory(make: Callable[[], M]) -> M:
    """Make a model that has shapes and no numbers."""
    with torch.device("meta"):
        return make()


def _depth(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in shapes if name.startswith(prefix))


def _first_line(error: ValueError) -> str:
    """Say the first thing that is wrong with some settings."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    words = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return words
    return f"{'.'.join(str(word) for word in first['loc'])}: found {repr(first['input'])[:80]}, {words}"


def _write(directory: Path, tensors: Mapping[str, Tensor], stated: Mapping[str, Any]) -> str:
    """Write both files, then let them take their names at one go; return the checksum of the weights."""
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
