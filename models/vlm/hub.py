"""Maps PaliGemma's published parameter names to ours. Newer files leave out the level `vision_model`."""

import re
from collections.abc import Mapping

from torch import Tensor

RULES = (
    (r"^language_model\.model\.embed_tokens\.weight$", "embed.weight"),
    (r"^language_model\.model\.layers\.(\d+)\.self_attn\.([qkvo]_proj)\.", r"stack.blocks.\1.\2."),
    (r"^language_model\.model\.layers\.(\d+)\.mlp\.", r"stack.blocks.\1.mlp."),
    (r"^language_model\.model\.layers\.(\d+)\.input_layernorm\.", r"stack.blocks.\1.input_norm."),
    (r"^language_model\.model\.layers\.(\d+)\.post_attention_layernorm\.", r"stack.blocks.\1.mlp_norm."),
    (r"^multi_modal_projector\.linear\.", "projector."),
    (r"^vision_tower\.(?:vision_model\.)?embeddings\.patch_embedding\.", "vision.stem."),
    (r"^vision_tower\.(?:vision_model\.)?embeddings\.position_embedding\.weight$", "vision.position"),
    (r"^vision_tower\.(?:vision_model\.)?encoder\.layers\.(\d+)\.self_attn\.", r"vision.blocks.\1.attention."),
    (r"^vision_tower\.(?:vision_model\.)?encoder\.layers\.(\d+)\.layer_norm([12])\.", r"vision.blocks.\1.norm\2."),
    (r"^vision_tower\.(?:vision_model\.)?encoder\.layers\.(\d+)\.mlp\.", r"vision.blocks.\1."),
    (r"^vision_tower\.(?:vision_model\.)?post_layernorm\.", "vision.norm."),
)
# The language modelling head and the tower's pooling are not part of this model.
UNUSED = (r"^language_model\.model\.norm\.", r"^language_model\.lm_head\.", r"^vision_tower\.(?:vision_model\.)?head\.")
LAST_BLOCK_KEEPS = ("input_norm", "k_proj", "v_proj")


def from_hub(published: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Rename PaliGemma's weights for `Vlm.load_state_dict`, leaving out what only generating text needs."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in published.items():
        if any(re.match(pattern, name) for pattern in UNUSED):
            continue
        for pattern, ours in RULES:
            new, hits = re.subn(pattern, ours, name)
            if hits:
                break
        else:
            raise ValueError(f"{name} is no PaliGemma weight; expected names such as language_model.model.layers.0.*")
        last = new.startswith(f"stack.blocks.{num_layers - 1}.")
        if not last or new.split(".")[3] in LAST_BLOCK_KEEPS:
            renamed[new] = tensor
    return renamed
