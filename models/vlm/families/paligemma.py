"""PaliGemma 1 and 2 (Beyer et al. 2024, arXiv:2407.07726; Steiner et al. 2024, arXiv:2412.03555): SigLIP and Gemma.

Licence: Gemma Terms of Use (https://ai.google.dev/gemma/terms), to be accepted before the download. Older files have a
level `vision_model` more, and `language_model.model` is `model.language_model` in a state dict of transformers 5.
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
    """Read sizes; what a published file leaves out are the defaults of `transformers`' classes for Gemma."""
    text, vision = stated["text_config"], siglip_settings(stated["vision_config"], image_size=224)
    require("text_config.model_type", text.get("model_type", "gemma"), "gemma", "gemma2")
    require("hidden_activation", text.get("hidden_activation"), None, "gelu_pytorch_tanh")
    second = _is_second(stated)
    stack = decoder_settings(text, head_dim=256, rms_norm_eps=1e-6)
    if second:
        stack |= {"output_norms": True, "soft_cap": text.get("attn_logit_softcapping", 50.0) or 0.0}
        window, patches = text.get("sliding_window") or 4096, (vision["image_size"] // vision["patch_size"]) ** 2
        if patches >= window:
            raise ValueError(f"sliding_window: found {window}, expected more than the {patches} tokens of a picture")
    return {"vision": vision, "text": stack, "vocab_size": text["vocab_size"]}


def rules(stated: Stated) -> tuple[Rule, ...]:
    """Translate names of saved files and of state dicts."""
    language = r"(?:model\.)?language_model\.(?:model\.)?"
    return (
        *decoder_rules(language, _is_second(stated)),
        *siglip_rules(r"(?:model\.)?vision_tower\.(?:vision_model\.)?"),
        (r"^(?:model\.)?multi_modal_projector\.linear\.", "projector."),
        (r"^(?:language_model\.)?lm_head\.weight$", TIED),
    )


def convert(name: str, weight: Tensor, stated: Stated) -> Tensor:
    """Put Gemma 2's own scale of queries, which need not be the root of the head's width, into their projection."""
    if _is_second(stated) and name.startswith("stack.") and name.endswith(".q_proj.weight"):
        text = stated["text_config"]
        ratio = text.get("head_dim", 256) / text.get("query_pre_attn_scalar", 256)
        return weight.float() * ratio**0.5 if ratio != 1.0 else weight
    return weight


def _is_second(stated: Stated) -> bool:
    return stated["text_config"].get("model_type") == "gemma2"


FAMILY = Family("PaliGemma", ("paligemma",), settings, rules, convert)
