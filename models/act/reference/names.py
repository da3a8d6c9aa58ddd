"""The reference's parameter names in ours."""

import re
from collections.abc import Mapping

from torch import Tensor

RULES = (
    (r"^embed_tokens\.", "vlm.embed."),
    (r"^multi_modal_projector\.linear\.", "vlm.projector."),
    (r"^vision_tower\.vision_model\.embeddings\.patch_embedding\.", "vlm.vision.stem."),
    (r"^vision_tower\.vision_model\.embeddings\.position_embedding\.weight$", "vlm.vision.position"),
    (r"^vision_tower\.vision_model\.encoder\.layers\.(\d+)\.self_attn\.", r"vlm.vision.blocks.\1.attention."),
    (r"^vision_tower\.vision_model\.encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"vlm.vision.blocks.\1.norm\2."),
    (r"^vision_tower\.vision_model\.encoder\.layers\.(\d+)\.mlp\.", r"vlm.vision.blocks.\1."),
    (r"^vision_tower\.vision_model\.post_layernorm\.", "vlm.vision.norm."),
    (r"^joint_model\.mixtures\.vlm\.layers\.", "vlm.stack.blocks."),
    (r"^joint_model\.mixtures\.latent_action\.norm\.", "latent.norm."),
    (r"^joint_model\.mixtures\.latent_action\.layers\.", "latent.stack.blocks."),
    (r"^joint_model\.mixtures\.action\.norm\.", "robot.norm."),
    (r"^joint_model\.mixtures\.action\.layers\.", "robot.stack.blocks."),
    (r"^latent_action_encoder\.", "latent.encoder."),
    (r"^latent_action_decoder\.", "latent.decoder."),
    (r"^action_encoder\.dataset_(\d+)\.", r"robot.encoder.bodies.\1.inner."),
    (r"^action_decoder\.dataset_(\d+)\.", r"robot.decoder.bodies.\1."),
    (r"^proprio_encoder\.dataset_(\d+)\.", r"robot.context.state.bodies.\1.inner."),
    (r"^dataset_embedder\.", "robot.context.dataset."),
    (r"^wrist_camera_embedder\.", "robot.context.has_wrist."),
    (r"^la2ra_embedder\.", "robot.context.steps_per_latent."),
    (r"^freq_embedder\.", "robot.context.control_hz."),
    (r"^wrist_image_encoder\.tokens$", "robot.context.wrist.resampler.queries"),
    (r"^wrist_image_encoder\.cross_attention\.", "robot.context.wrist.resampler."),
    (r"^wrist_image_encoder\.net\.0\.", "robot.context.wrist.trunk.conv1."),
    (r"^wrist_image_encoder\.net\.1\.", "robot.context.wrist.trunk.bn1."),
)
UNUSED = r"^vlm\.stack\.blocks\.{last}\.(q_proj|o_proj|mlp_norm|mlp)\."
"""What the last block of a stream without an output has in their files and not in ours."""


def our_name(theirs: str) -> str:
    """Translate one parameter name; raise ValueError for one that no reference has."""
    layer = re.match(r"^wrist_image_encoder\.net\.([4-7])\.(.*)$", theirs)
    if layer:
        return f"robot.context.wrist.trunk.layer{int(layer[1]) - 3}.{layer[2]}"
    for pattern, ours in RULES:
        name, hits = re.subn(pattern, ours, theirs)
        if hits:
            name = name.replace(".self_attn.", ".").replace("input_layernorm", "input_norm")
            return name.replace("post_attention_layernorm", "mlp_norm")
    raise ValueError(f"'{theirs:.120}' is no parameter of the reference policy, expected names such as embed_tokens")


def translate(theirs: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Rename all weights, leaving out those that the actor has no use for."""
    unused = re.compile(UNUSED.format(last=num_layers - 1))
    ours = {our_name(name): tensor for name, tensor in theirs.items()}
    queries = "robot.context.wrist.resampler.queries"
    if queries in ours and ours[queries].dim() == 3:
        ours[queries] = ours[queries][0]  # theirs has an axis for the batch
    return {name: tensor for name, tensor in ours.items() if not unused.match(name)}
