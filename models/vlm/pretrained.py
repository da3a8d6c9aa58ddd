"""A published vision-language model at rest: `config.json`, and `model.safetensors` whole or in shards.

Nothing in a folder is ever executed: weights that only exist as pickles are refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from models.files import regular
from models.json_file import read_object
from models.vlm import families
from models.vlm.config import VlmConfig
from models.vlm.family import TIED, Family, Stated, translate
from models.vlm.vlm import Vlm

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
_PICKLES: Final = ("*.bin", "*.pth", "*.pt", "*.ckpt", "*.msgpack", "*.npz")
_FLOATS: Final = ("F16", "BF16", "F32", "F64")


@dataclass(frozen=True)
class Tensorfile:
    """Where a weight of ours lies."""

    path: Path
    name: str
    """Its published name."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pretrained:
    """A folder of which `config.json` was read."""

    folder: Path
    family: Family
    stated: dict[str, Any]
    """What `config.json` holds."""
    settings: dict[str, Any]
    """Fields of `VlmConfig` that the folder decides, nested as these are."""


def read(directory: str | Path) -> Pretrained:
    """Read which model a folder holds, and its sizes; raise ValueError in one line where that cannot be told."""
    folder = Path(directory)
    path = folder / "config.json"
    try:
        stated = read_object(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder}: no config.json; expected a folder that holds a vision-language model of Hugging Face"
        ) from None
    try:
        family = family_of(stated)
        settings = family.settings(stated)
        settings["vision"] |= _pixels(folder)
        config = VlmConfig.model_validate(settings)
    except KeyError as error:
        raise ValueError(f"{path}: no key {error}, expected the settings of a whole model; copy it again") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {key}: found {first['input']!r:.60}, {message}") from None
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0][:200]}") from None
    stack = config.text
    if stack.num_heads % stack.num_kv_heads:
        raise ValueError(f"{path}: {stack.num_heads} heads cannot share {stack.num_kv_heads} key heads evenly")
    return Pretrained(folder, family, stated, _decided(config, settings))


def _decided(config: VlmConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """Complete what a family said by defaults: all but the length of texts, and a bound on scores it does not name."""
    decided = config.model_dump(mode="json", exclude={"text_length"})
    if "soft_cap" not in settings["text"]:
        del decided["text"]["soft_cap"]
    return decided


def family_of(stated: Stated) -> Family:
    """Find the family of a `config.json`; raise ValueError that lists what there is."""
    model_type = stated.get("model_type")
    known: list[str] = []
    for module in iter_modules(families.__path__):
        family: Family = import_module(f"{families.__name__}.{module.name}").FAMILY
        if model_type in family.model_types:
            return family
        known += family.model_types
    raise ValueError(f"model_type: found {model_type!r:.60}, expected one of {', '.join(sorted(known))}")


def _pixels(folder: Path) -> dict[str, Any]:
    """Read how pixels enter the tower, where a folder says so."""
    try:
        stated = read_object(folder / "preprocessor_config.json")
    except FileNotFoundError:
        return {}
    return {key: stated[key] for key in ("image_mean", "image_std") if key in stated}


def check(pretrained: Pretrained, config: VlmConfig) -> dict[str, Tensorfile]:
    """Find every weight of a `Vlm` of that shape; raise ValueError that names the first that is missing or unfit."""
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in Vlm(config).state_dict().items()}
    files: dict[str, Tensorfile] = {}
    rules, last = pretrained.family.rules(pretrained.stated), f"stack.blocks.{config.text.num_layers - 1}."
    for path, published, shape, dtype in _headers(pretrained.folder):
        try:
            name = translate(published, rules)
        except ValueError as error:
            raise ValueError(f"{path}: {error}, a {pretrained.family.title} by config.json") from None
        if name is None or (name.startswith(last) and name not in expected):
            continue  # the last block gives keys and values only
        if name not in expected and name != TIED:
            raise ValueError(f"{path}: {published[:120]} has no place in the model that config.json describes")
        if dtype not in _FLOATS:
            raise ValueError(f"{path}: {published[:120]} is of type {dtype}, expected one of {', '.join(_FLOATS)}")
        files[name] = Tensorfile(path, published, shape)
    tied = files.pop(TIED, None)
    if tied is not None and pretrained.stated.get("tie_word_embeddings", True):
        files.setdefault("embed.weight", tied)
    for name, wanted in expected.items():
        if name not in files:
            if name in pretrained.family.zeros:
                continue
            raise ValueError(f"{pretrained.folder}: no weight for {name} {list(wanted)}; download all files again")
        if files[name].shape != wanted:
            raise ValueError(
                f"{files[name].path}: {files[name].name}: found {list(files[name].shape)}, expected {list(wanted)} by "
                f"config.json; download both again"
            )
    return files


def load(vlm: Vlm, pretrained: Pretrained) -> None:
    """Copy the weights of a folder into a model, one after the other: no second model is ever in memory.

    They are cast to the model's precision. Raise ValueError in one line where the files do not fit.
    """
    own = vlm.state_dict()
    files = check(pretrained, vlm.config)
    by_path: dict[Path, list[str]] = {}
    for name, file in files.items():
        by_path.setdefault(file.path, []).append(name)
    for path, names in by_path.items():
        with _opened(path) as opened:
            for name in names:
                weight = opened.get_tensor(files[name].name)
                own[name].copy_(pretrained.family.convert(name, weight, pretrained.stated))
    for name in pretrained.family.zeros:
        if name not in files:
            own[name].zero_()


def _headers(folder: Path) -> Iterator[tuple[Path, str, tuple[int, ...], str]]:
    """List file, name, shape and type of every tensor."""
    for path, names in _files(folder).items():
        with _opened(path) as opened:
            there = set(opened.keys())
            for name in sorted(there if names is None else names):
                if name not in there:
                    raise ValueError(f"{path}: no tensor {name[:120]}, which {INDEX} places there; download it again")
                part = opened.get_slice(name)
                yield path, name, tuple(part.get_shape()), part.get_dtype()


def _files(folder: Path) -> dict[Path, list[str] | None]:
    """List the files of weights, and for shards the tensors that the index places there."""
    if (folder / WEIGHTS).exists():
        return {folder / WEIGHTS: None}
    try:
        placed = read_object(folder / INDEX).get("weight_map")
    except FileNotFoundError:
        pickles = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
        if pickles:
            raise ValueError(
                f"{folder}: holds {pickles[0]} and no {WEIGHTS}; such files can run code when they are read: download "
                f"the safetensors, or convert it where you trust it"
            ) from None
        raise ValueError(f"{folder}: neither {WEIGHTS} nor {INDEX}; download the weights, too") from None
    if not isinstance(placed, dict) or not placed or not all(isinstance(file, str) for file in placed.values()):
        raise ValueError(f"{folder / INDEX}: no `weight_map` of tensors to files; download it again")
    files: dict[Path, list[str] | None] = {}
    for name, file in placed.items():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{folder / INDEX}: places tensors in {file!r:.80}, expected a safetensors file beside it")
        names = files.setdefault(folder / file, [])
        assert names is not None
        names.append(name)
    return files


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; what is wrong with it becomes one line."""
    try:
        with safe_open(regular(path), framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file, which {INDEX} names; download it, too") from None
    except (SafetensorError, IsADirectoryError) as error:
        raise ValueError(f"{path}: cut short or no safetensors file ({error!s:.200}); download it again") from None
