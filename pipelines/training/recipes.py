"""What each preset is trained with, where nobody says otherwise: the one place for learning rates and lengths.

`paper` is villa-X as far as it was published (batch and learning rate of the LAM, all of ACT but its number of
steps); the smaller ones are ours, found on CPUs.
"""

from typing import Any

from models.config import merged

COLOURS = {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.05}
"""As in the authors' configuration, for both models; the tiny ones learn too briefly to gain by it."""

LAM_PICTURES = {"crop_area": (0.8, 1.0), "crop_aspect": (0.75, 1.333), **COLOURS}
"""The authors crop for the latent action model only, once per clip."""

LAM: dict[str, dict[str, Any]] = {
    # 550 steps of 16 clips are a minute of one core.
    "tiny": {"steps": 550, "batch_size": 16, "lr": 2e-3, "final_lr": 0.05, "warmup_steps": 20, "checkpoint_every": 250},
    "small": {
        "steps": 20_000,
        "batch_size": 64,
        "lr": 4e-4,
        "warmup_steps": 500,
        "bf16": True,
        "augment": LAM_PICTURES,
    },
    "paper": {
        "steps": 100_000,
        "batch_size": 512,
        "lr": 1.5e-4,
        "warmup_steps": 2000,
        "bf16": True,
        "augment": LAM_PICTURES,
    },
}

ACT: dict[str, dict[str, Any]] = {
    "tiny": {
        "steps": 1500,
        "batch_size": 64,
        "lr": 2e-3,
        "final_lr": 0.02,
        "warmup_steps": 100,
        "ema_decay": 0.99,
        "weight_decay": 0.01,
        "bf16": None,  # a third less time on processors that have it, nothing lost
        "checkpoint_every": 500,
    },
    "small": {
        "steps": 30_000,
        "batch_size": 256,
        "lr": 1e-4,
        "warmup_steps": 500,
        "ema_decay": 0.999,
        "weight_decay": 0.01,
        "bf16": True,
        "augment": COLOURS,
    },
    "paper": {
        "steps": 60_000,
        "batch_size": 512,
        "lr": 5e-5,
        "warmup_steps": 200,
        "schedule": "constant",
        "weight_decay": 0.0,
        "bf16": True,
        "augment": COLOURS,
        "scale_latents": False,
    },
}

WORLD: dict[str, dict[str, Any]] = {
    "tiny": {
        "steps": 800,
        "batch_size": 16,
        "lr": 2e-3,
        "final_lr": 0.05,
        "warmup_steps": 40,
        "ema_decay": 0.99,
        "weight_decay": 0.01,
        "bf16": None,
        "checkpoint_every": 250,
    },
    "small": {
        "steps": 40_000,
        "batch_size": 128,
        "lr": 3e-4,
        "warmup_steps": 1000,
        "ema_decay": 0.999,
        "weight_decay": 0.01,
        "bf16": True,
    },
}


def keys(recipes: dict[str, dict[str, Any]]) -> frozenset[str]:
    """Name the settings that presets have something to say about, the model's among them."""
    return frozenset(["model", *(key for recipe in recipes.values() for key in recipe)])


def fill(recipes: dict[str, dict[str, Any]], given: Any) -> Any:
    """Lay what was given over the recipe of its preset; what is no preset is left for the settings to refuse."""
    if not isinstance(given, dict):
        return given
    preset = given.get("preset", "tiny")
    return merged(recipes.get(preset, {}) if isinstance(preset, str) else {}, given)
