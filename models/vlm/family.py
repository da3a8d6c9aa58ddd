"""What a family of published vision-language models must say of itself: one file of `models.vlm.families` each.

Its `FAMILY` is found by the `model_type` in a folder's `config.json`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Rule = tuple[str, str]
"""Pattern of a published parameter's name, and ours; an empty one drops what our model has no use for."""
Stated = Mapping[str, Any]
"""What a `config.json` holds, or a part of it."""

TIED = "lm_head.weight"
"""Our name for a head of which the rows are those of the token embeddings, where a file holds only one of the two."""


def _as_it_is(name: str, weight: Tensor, stated: Stated) -> Tensor:
    return weight


@dataclass(frozen=True)
class Family:
    """How published files become a `Vlm`."""

    title: str
    model_types: tuple[str, ...]
    settings: Callable[[Stated], dict[str, Any]]
    """Fields of `VlmConfig` by a `config.json`: its sizes, how pixels enter, what surrounds a text. A key that is
    missing may raise KeyError, one that asks for what we have not raises ValueError."""
    rules: Callable[[Stated], tuple[Rule, ...]]
    convert: Callable[[str, Tensor, Stated], Tensor] = _as_it_is
    """Makes of a published weight ours, by our name for it."""
    zeros: tuple[str, ...] = ()
    """Weights of ours that these files lack and that are zero then."""


def translate(name: str, rules: tuple[Rule, ...]) -> str | None:
    """Give our name of a published weight, None for one that we drop; raise ValueError for one that no rule knows."""
    for pattern, ours in rules:
        new, hits = re.subn(pattern, ours, name)
        if hits:
            return new or None
    raise ValueError(f"{name[:120]} is no weight of such a model")


def siglip_rules(tower: str) -> tuple[Rule, ...]:
    """Translate the names of a SigLIP tower; `tower` is the pattern of what stands before them."""
    return (
        (rf"^{tower}embeddings\.patch_embedding\.", "vision.stem."),
        (rf"^{tower}embeddings\.position_embedding\.weight$", "vision.position"),
        (rf"^{tower}encoder\.layers\.(\d+)\.self_attn\.", r"vision.blocks.\1.attention."),
        (rf"^{tower}encoder\.layers\.(\d+)\.layer_norm([12])\.", r"vision.blocks.\1.norm\2."),
        (rf"^{tower}encoder\.layers\.(\d+)\.mlp\.", r"vision.blocks.\1."),
        (rf"^{tower}post_layernorm\.", "vision.norm."),
        (rf"^{tower}head\..*$", ""),  # pools a picture to one vector
    )


def decoder_rules(model: str, output_norms: bool = False) -> tuple[Rule, ...]:
    """Translate the names of a language model of Llama's or Gemma's kind; Gemma 2 norms what layers give, too."""
    block = rf"^{model}layers\.(\d+)\."
    norms = {"input_layernorm": "input_norm", "post_attention_layernorm": "mlp_norm"}
    if output_norms:
        norms |= {"post_attention_layernorm": "attention_out_norm", "pre_feedforward_layernorm": "mlp_norm"}
        norms |= {"post_feedforward_layernorm": "mlp_out_norm"}
    return (
        (rf"^{model}embed_tokens\.weight$", "embed.weight"),
        (rf"{block}self_attn\.([qkvo]_proj)\.", r"stack.blocks.\1.\2."),
        (rf"{block}self_attn\.rotary_emb\..*$", ""),  # a table that old files hold
        (rf"{block}mlp\.", r"stack.blocks.\1.mlp."),
        *((rf"{block}{theirs}\.", rf"stack.blocks.\1.{ours}.") for theirs, ours in norms.items()),
        (rf"^{model}norm\..*$", ""),  # before the head that generates text
    )


def siglip_settings(vision: Stated, **defaults: Any) -> dict[str, Any]:
    """Read the fields of `VisionConfig`; keys that a published file may leave out need a default."""
    require("hidden_act", vision.get("hidden_act", "gelu_pytorch_tanh"), "gelu_pytorch_tanh")
    stated = {**defaults, **vision}
    return {
        "image_size": stated["image_size"],
        "patch_size": stated["patch_size"],
        "width": stated["hidden_size"],
        "mlp_width": stated["intermediate_size"],
        "num_layers": stated["num_hidden_layers"],
        "num_heads": stated["num_attention_heads"],
        "eps": stated.get("layer_norm_eps", 1e-6),
    }


def decoder_settings(text: Stated, **defaults: Any) -> dict[str, Any]:
    """Read the fields of `StackConfig` that all language models have."""
    for key in ("attention_bias", "mlp_bias"):
        require(key, text.get(key, False), False)
    stated = {**defaults, **text}
    return {
        "width": stated["hidden_size"],
        "mlp_width": stated["intermediate_size"],
        "num_layers": stated["num_hidden_layers"],
        "num_heads": stated["num_attention_heads"],
        "num_kv_heads": stated["num_key_value_heads"],
        "head_dim": stated.get("head_dim") or stated["hidden_size"] // stated["num_attention_heads"],
        "eps": stated["rms_norm_eps"],
        "rope_theta": _rope_theta(stated),
    }


def _rope_theta(text: Stated) -> float:
    """Read the longest wavelength, which newer files keep in `rope_parameters`."""
    parameters = text.get("rope_parameters") or {}
    scaling = text.get("rope_scaling") or {}
    for rope in (parameters, scaling):
        require("rope_type", rope.get("rope_type", rope.get("type", "default")), "default")
    return float(parameters.get("rope_theta") or text.get("rope_theta") or 1e4)


def require(key: str, value: Any, *expected: Any) -> None:
    """Refuse a choice of a published model that ours does not have."""
    if value not in expected:
        raise ValueError(f"{key}: found {value!r:.60}, expected {' or '.join(map(repr, expected))}")
