"""SmolVLM and Idefics3 (Marafioti et al. 2025, arXiv:2504.05299; Laurencon et al. 2024, arXiv:2408.12637).

Licence of SmolVLM's weights: Apache 2.0. A SigLIP tower, of which every square of patches becomes one token by pixel
shuffle, and a Llama. One picture is read as a square, without tiles; the text follows it, as in SmolVLA (Shukor et al.
2025, arXiv:2506.01844), without the template of a chat.
"""

from typing import Any

from torch import Tensor

from models.vlm.family import (
    TIED,
    Family,
    Rule,
    Stated,
    decoder_rules,
    decoder_settings,
    require,
    siglip_rules,
    siglip_settings,
)


def settings(stated: Stated) -> dict[str, Any]:
    """Read sizes; what a published file leaves out are the defaults of `transformers`' classes."""
    text, vision = stated["text_config"], stated["vision_config"]
    require("text_config.model_type", text.get("model_type", "llama"), "llama")
    require("hidden_act", text.get("hidden_act", "silu"), "silu")
    require("qk_layer_norms", text.get("qk_layer_norms", False), False)
    stack = decoder_settings(text, rms_norm_eps=1e-5, num_key_value_heads=text["num_attention_heads"])
    return {
        "vision": siglip_settings(vision, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=16),
        "text": {**stack, "activation": "silu", "scale_embeddings": False},
        "vocab_size": text["vocab_size"],
        "pixel_shuffle": stated.get("scale_factor", 2),
        "causal": True,
        "prompt": {"bos_id": None, "suffix": "\n"},
    }


def rules(stated: Stated) -> tuple[Rule, ...]:
    """Translate names."""
    return (
        *decoder_rules(r"model\.text_model\."),
        *siglip_rules(r"model\.vision_model\."),
        (r"^model\.connector\.modality_projection\.proj\.", "projector."),
        (r"^lm_head\.weight$", TIED),
    )


def convert(name: str, weight: Tensor, stated: Stated) -> Tensor:
    """Store gains of the language model's norms as differences from 1, as Gemma's are."""
    return weight.float() - 1.0 if name.startswith("stack.") and "_norm." in name else weight


FAMILY = Family("SmolVLM", ("smolvlm", "idefics3"), settings, rules, convert, zeros=("projector.bias",))
