"""Which model this is, and whether its files are as they were written: no torch is needed for that."""

import hashlib
import json
from pathlib import Path

from models.files import regular, why_no_weights
from models.json_file import read_object
from models.missing import what_is_missing


def fingerprint(directory: str | Path) -> str:
    """Hash a model's weights and settings: equal only for models that write equal labels.

    Raise ValueError where there is no model.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in ("model_config.json", "model.safetensors"):
        if not (Path(directory) / name).exists():
            lacks = f"no {name}; {what_is_missing(Path(directory))}"
            raise ValueError(why_no_weights(directory, lacks))
    settings = read_object(Path(directory) / "model_config.json")
    digest.update(json.dumps([settings.get("architecture"), settings.get("config")], sort_keys=True).encode())
    with regular(Path(directory) / "model.safetensors").open("rb") as weights:
        for block in iter(lambda: weights.read(1 << 22), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256(file: str | Path) -> str:
    """Hash a file's bytes."""
    with regular(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
