"""Which sizes pretrained weights decide of a policy, and where these weights lie."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.act.config import SHARED
from models.json_file import read_object
from models.vlm.config import VlmConfig
from pipelines.training import presets

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FREE = ("causal", "prompt.", "text.soft_cap", "vision.image_mean", "vision.image_std")
"""What may be changed of a pretrained model: its weights fit all the same."""
RECORD = "pretrained"
"""Key of `model_config.json` under which a run keeps what pretrained weights decided."""
SETTINGS_FILES = ("*.json",)
ALL_FILES = ("*.json", "*.safetensors")


def settings(vlm: str, out: Any) -> dict[str, Any]:
    """Give the fields of `VlmConfig` that pretrained weights decide; a run in `out` that goes on remembers them.

    Raise ValueError in one line where there are no such weights.
    """
    from models.vlm import pretrained

    recorded = remembered(vlm, out)
    return recorded if recorded is not None else pretrained.read(folder(vlm, SETTINGS_FILES)).settings


def remembered(vlm: str, out: Any) -> dict[str, Any] | None:
    """Give what a run in `out` recorded of the same weights; None where there is no such run."""
    for checkpoint in reversed(checkpoints(out)):
        with suppress(ValueError, OSError):  # damaged: training goes back to the one before, too
            about = read_object(checkpoint / "model_config.json").get(RECORD)
            if isinstance(about, dict) and about.get("vlm") == vlm and isinstance(about.get("settings"), dict):
                settings: dict[str, Any] = about["settings"]
                return settings
    return None


def checkpoints(out: Any) -> list[Path]:
    """List the checkpoints of a run, the oldest first."""
    from pipelines.training import checkpoint

    if not isinstance(out, str | Path):
        return []
    folder = Path(out) / "checkpoints"
    return [checkpoint.path(folder, step) for step in checkpoint.steps(folder)]


def folder(vlm: str, files: tuple[str, ...] = ALL_FILES) -> Path:
    """Find the folder of pretrained weights; those of the hub are downloaded, unless they were before."""
    from huggingface_hub import snapshot_download

    path = Path(vlm).expanduser()
    if path.is_dir():
        return path
    if path.exists() or not HUB_ID.fullmatch(vlm):
        raise ValueError(
            f"vlm: no folder {vlm}; expected one with config.json and safetensors, an id on the hub such as "
            f"google/paligemma-3b-pt-224, or random"
        )
    try:
        return Path(snapshot_download(vlm, allow_patterns=list(files)))
    except Exception as error:  # of its own classes, of requests', of the operating system
        first = str(error).strip().splitlines() or [""]
        raise ValueError(
            f"vlm: no folder {vlm}, and no download of it ({type(error).__name__}: {first[0][:160]}); accept its "
            f"licence on the hub where it asks for that, `hf download {vlm} --local-dir DIR` where there is a network, "
            f"then vlm=DIR"
        ) from None


def refuse_changes(vlm: str, decided: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Refuse settings of the model that pretrained weights do not fit: all of them, in one line."""
    fixed = {f"vlm.{key}": value for key, value in presets.flat(decided) if not key.startswith(FREE)}
    fixed |= {f"expert.{key}": decided["text"][key] for key in SHARED if f"vlm.text.{key}" in fixed}
    wrong = [
        f"model.{key}: found {value}, expected {fixed[key]}"
        for key, value in presets.flat(changes)
        if key in fixed and value != fixed[key]
    ]
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}, as the weights of {vlm} have; leave it out")


def differences(preset: Mapping[str, Any], decided: Mapping[str, Any], shape: VlmConfig) -> Iterator[str]:
    """Say what pretrained weights decide otherwise than the preset, a line for each; what was changed is not theirs."""
    before, now = (
        dict(presets.flat(config.model_dump(mode="json"))) for config in (VlmConfig.model_validate(preset), shape)
    )
    for key, value in presets.flat(decided):
        if value == now[key] != before[key]:
            yield f"model.vlm.{key} is {value} by the pretrained weights, not {before[key]} as in the preset"
