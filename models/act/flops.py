"""Work of the actor's forward pass, counted by hand; the backward pass takes twice as much.

Work is 2 for each number of a matrix that meets one of x. Norms, activations and rotations count as none, so that a
share of a device's peak says how much of its time goes into products.
"""

from models.act.config import ActConfig, WristConfig
from models.layers.config import StackConfig
from models.vlm.config import VisionConfig


def forward_flops(c: ActConfig) -> int:
    """Count the forward pass of `Act.loss` for one row, of the embodiment with the widest state and action."""
    action_dim = max(c.action_dims)
    v, text, expert = c.vlm.vision, c.vlm.text, c.expert
    prefix = c.vlm.num_image_tokens + c.vlm.text_length
    shuffle = c.vlm.pixel_shuffle**2
    vlm = vision_flops(v) + 2 * c.vlm.num_image_tokens * v.width * shuffle * text.width
    vlm += (text.num_layers - 1) * block_flops(text, prefix, prefix, prefix)
    vlm += 4 * prefix * text.width * text.num_kv_heads * text.head_dim  # the last block gives keys and values only
    h, z, w = c.horizon, c.num_latent_tokens if c.use_latent else 0, expert.width
    tokens = num_context(c)
    once, each = context_flops(c), 0
    if c.use_latent:
        each += 2 * z * (c.latent_dim * w + 3 * w * w + w * c.latent_dim)
        each += expert.num_layers * block_flops(expert, z, z, prefix + z)
    columns = prefix + z + tokens + h
    each += 2 * h * (action_dim * w + 3 * w * w + w * action_dim)
    each += (expert.num_layers - 1) * block_flops(expert, tokens + h, tokens + h, columns)
    each += block_flops(expert, h, tokens + h, columns)
    return vlm + once + c.num_flow_samples * each


def block_flops(c: StackConfig, rows: int, own: int, columns: int) -> int:
    """Count a block that gives keys and values of `own` tokens and lets `rows` attend to `columns`."""
    heads = c.num_heads * c.head_dim
    kv = 4 * own * c.width * c.num_kv_heads * c.head_dim
    return kv + rows * (4 * c.width * heads + 6 * c.width * c.mlp_width + 4 * columns * heads)


def vision_flops(v: VisionConfig) -> int:
    """Count the vision tower."""
    n = v.num_tokens
    blocks = v.num_layers * n * (8 * v.width**2 + 4 * v.width * v.mlp_width + 4 * n * v.width)
    if v.stem == "patch":
        return blocks + 2 * 3 * v.patch_size**2 * v.width * n
    stem, channels, side = 0, 3, v.image_size
    for i in range(v.patch_size.bit_length() - 1):
        wider, side = min(v.stem_width * 2**i, v.width), side // 2
        stem, channels = stem + 2 * 9 * channels * wider * side**2, wider
    return blocks + stem + 2 * channels * v.width * n


def num_context(c: ActConfig) -> int:
    """Count the context tokens."""
    choices = c.context
    named = (choices.has_wrist, choices.dataset, choices.steps_per_latent, choices.control_hz, choices.state)
    return sum(named) + (c.wrist.num_tokens * (1 + len(c.more_cameras)) if c.wrist else 0)


def context_flops(c: ActConfig) -> int:
    """Count the encoders of context."""
    w, scalars = c.expert.width, c.context.steps_per_latent + c.context.control_hz
    flops = scalars * 2 * (256 * w + w * w) + c.context.state * 2 * max(c.state_dims) * w
    return flops + (wrist_flops(c.wrist, w) * (1 + len(c.more_cameras)) if c.wrist else 0)


def wrist_flops(c: WristConfig, width: int) -> int:
    """Count ResNet-18's trunk and the resampler."""
    side = c.image_size // 2
    flops, side, channels = 2 * 49 * 3 * c.widths[0] * side**2, side // 2, c.widths[0]
    for stage, wider in enumerate(c.widths):
        side = side // 2 if stage else side
        shortcut = channels * wider if stage or channels != wider else 0
        flops += 2 * side**2 * (9 * channels * wider + 3 * 9 * wider**2 + shortcut)
        channels = wider
    cells, inner, k = side**2, c.num_heads * c.head_dim, c.num_tokens
    return flops + 2 * inner * (k * channels + 2 * cells * channels + 2 * k * cells + k * width)
