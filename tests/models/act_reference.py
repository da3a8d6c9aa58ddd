"""The reference policy's vectors, and its parameter names in our words."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.act import Act, ActConfig, WristConfig
from models.batch import Observation
from models.layers.config import StackConfig
from models.vlm.config import VisionConfig, VlmConfig

GOLDEN = Path(__file__).parent / "golden_act"
NUM_PATCHES = 4
NUM_LATENT = 24
NUM_CONTEXT = 10

RULES = (
    (r"^embed_tokens\.", "vlm.embed."),
    (r"^multi_modal_projector\.linear\.", "vlm.projector."),
    (r"^vision_tower\.vision_model\.embeddings\.patch_embedding\.", "vlm.vision.stem."),
    (r"^vision_tower\.vision_model\.embeddings\.position_embedding\.weight$", "vlm.vision.position"),
    (r"^vision_tower\.vision_model\.encoder\.layers\.(\d)\.self_attn\.", r"vlm.vision.blocks.\1.attention."),
    (r"^vision_tower\.vision_model\.encoder\.layers\.(\d)\.layer_norm(\d)\.", r"vlm.vision.blocks.\1.norm\2."),
    (r"^vision_tower\.vision_model\.encoder\.layers\.(\d)\.mlp\.", r"vlm.vision.blocks.\1."),
    (r"^vision_tower\.vision_model\.post_layernorm\.", "vlm.vision.norm."),
    (r"^joint_model\.mixtures\.vlm\.layers\.", "vlm.stack.blocks."),
    (r"^joint_model\.mixtures\.latent_action\.norm\.", "latent.norm."),
    (r"^joint_model\.mixtures\.latent_action\.layers\.", "latent.stack.blocks."),
    (r"^joint_model\.mixtures\.action\.norm\.", "robot.norm."),
    (r"^joint_model\.mixtures\.action\.layers\.", "robot.stack.blocks."),
    (r"^latent_action_encoder\.", "latent.encoder."),
    (r"^latent_action_decoder\.", "latent.decoder."),
    (r"^action_encoder\.dataset_(\d)\.", r"robot.encoder.bodies.\1.inner."),
    (r"^action_decoder\.dataset_(\d)\.", r"robot.decoder.bodies.\1."),
    (r"^proprio_encoder\.dataset_(\d)\.", r"robot.context.state.bodies.\1.inner."),
    (r"^dataset_embedder\.", "robot.context.dataset."),
    (r"^wrist_camera_embedder\.", "robot.context.has_wrist."),
    (r"^la2ra_embedder\.", "robot.context.steps_per_latent."),
    (r"^freq_embedder\.", "robot.context.control_hz."),
    (r"^wrist_image_encoder\.tokens$", "robot.context.wrist.resampler.queries"),
    (r"^wrist_image_encoder\.cross_attention\.", "robot.context.wrist.resampler."),
    (r"^wrist_image_encoder\.net\.0\.", "robot.context.wrist.trunk.conv1."),
    (r"^wrist_image_encoder\.net\.1\.", "robot.context.wrist.trunk.bn1."),
)


def our_name(theirs: str) -> str:
    """Translate one parameter name."""
    layer = re.match(r"^wrist_image_encoder\.net\.([4-7])\.(.*)$", theirs)
    if layer:
        return f"robot.context.wrist.trunk.layer{int(layer[1]) - 3}.{layer[2]}"
    for pattern, ours in RULES:
        name, hits = re.subn(pattern, ours, theirs)
        if hits:
            name = name.replace(".self_attn.", ".").replace("input_layernorm", "input_norm")
            return name.replace("post_attention_layernorm", "mlp_norm")
    raise KeyError(theirs)


@cache
def vectors(name: str) -> dict[str, Tensor]:
    """Load one of the safetensors files."""
    return load_file(GOLDEN / f"{name}.safetensors")


@cache
def gradient_norms() -> dict[str, dict[str, float | None]]:
    """Norm of each loss term's gradient, by the reference's parameter names."""
    return json.loads((GOLDEN / "gradient_norms.json").read_text())["norms"]


def config(**changes: Any) -> ActConfig:
    """The toy model's shape."""
    shape = json.loads((GOLDEN / "config.json").read_text())
    joint, vlm, expert, siglip, wrist = (shape[k] for k in ("joint", "vlm", "expert", "siglip", "wrist"))
    both = {
        "num_layers": joint["num_layers"],
        "num_heads": joint["num_heads"],
        "num_kv_heads": joint["num_kv_heads"],
        "head_dim": joint["head_dim"],
        "soft_cap": joint["logit_soft_cap"],
    }
    vision = VisionConfig(
        **{k: siglip[k] for k in ("width", "mlp_width", "num_layers", "num_heads", "image_size", "patch_size")}
    )
    fields: dict[str, Any] = {
        "vlm": VlmConfig(
            vision=vision,
            text=StackConfig(width=vlm["width"], mlp_width=vlm["mlp_width"], rope_theta=vlm["rope_theta"], **both),
            vocab_size=vlm["vocab_size"],
            text_length=shape["layout"]["num_vlm_tokens"] - NUM_PATCHES,
        ),
        "expert": StackConfig(
            width=expert["width"], mlp_width=expert["mlp_width"], rope_theta=expert["rope_theta"], **both
        ),
        "wrist": WristConfig(
            image_size=wrist["image_size"],
            widths=tuple(wrist["trunk_widths"]),
            num_tokens=wrist["num_tokens"],
            num_heads=wrist["heads"],
            head_dim=wrist["head_dim"],
        ),
        "state_dims": tuple(e["state_dim"] for e in shape["embodiments"]),
        "action_dims": tuple(e["action_dim"] for e in shape["embodiments"]),
        "num_datasets": shape["context"]["num_dataset_rows"],
        "num_latents": shape["layout"]["num_latent_actions"],
        "codes_per_latent": shape["layout"]["codes_per_latent"],
        "latent_dim": shape["layout"]["latent_dim"],
        "horizon": shape["layout"]["num_robot_tokens"],
    }
    return ActConfig(**{**fields, **changes})


def model(**changes: Any) -> Act:
    """The toy model with the reference's weights, which must fill it completely."""
    act = Act(config(**changes))
    ours = {our_name(name): tensor for name, tensor in vectors("weights").items()}
    ours["robot.context.wrist.resampler.queries"] = ours["robot.context.wrist.resampler.queries"][0]
    missing, unexpected = act.load_state_dict(ours, strict=False)
    assert not missing
    # Only what the last block of a stream without an output would need is left over.
    assert all(name.startswith("vlm.stack.blocks.2.") for name in unexpected)
    return act.eval()


def observation() -> Observation:
    """The four samples: three embodiments, wrist views in the first and third, texts of four lengths."""
    x = vectors("inputs")
    return Observation(
        image=x["image"],
        wrist=x["wrist_image"].permute(0, 3, 1, 2),
        has_wrist=x["has_wrist"],
        token_ids=x["token_ids"][:, NUM_PATCHES:],
        token_mask=x["token_mask"][:, NUM_PATCHES:].bool(),
        state=x["state"][:, 0],
        state_mask=x["state_dim_mask"],
        embodiment_id=x["dataset_id"],
        dataset_id=x["dataset_id"],
        steps_per_latent=x["steps_per_latent"],
        control_hz=x["control_frequency"],
    )


def formula(k: int, shape: torch.Size) -> Tensor:
    """Uniform numbers in -0.5 to 0.5 from a 32-bit hash of the tensor's number k and the element's index."""
    with np.errstate(over="ignore"):
        i = np.arange(shape.numel(), dtype=np.uint32)
        h = np.uint32(2654435761) * i + np.uint32((40503 * k + 12345) % 2**32)
        for multiplier, shift in ((2246822519, 16), (3266489917, 13)):
            h = (h ^ (h >> np.uint32(shift))) * np.uint32(multiplier)
        h ^= h >> np.uint32(16)
    return torch.from_numpy(h / 2.0**32 - 0.5).reshape(shape)
