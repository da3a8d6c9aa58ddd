"""Work of the latent action model's forward pass, counted by hand; the backward pass takes twice as much.

Work is 2 for each number of a matrix that meets one of x; attention over time counts in full although it is causal.
"""

from models.lam.config import LamConfig


def forward_flops(c: LamConfig) -> int:
    """Count the forward pass of `Lam.loss` for one clip of `num_frames` frames."""
    t, n, k, d, e = c.num_frames, c.num_patches, c.num_slots, c.encoder_width, c.decoder_width
    pairs, patch = t - 1, 3 * c.patch_size**2
    # A token's share of one block: q, k, v and output for space, and for time; feed-forward; scores and their sums.
    encoder_token = 2 * patch * d + c.encoder_depth * (16 * d**2 + 4 * int(c.mlp_ratio * d) * d + 4 * n * d + 4 * t * d)
    readout = 6 * n * d**2 + 4 * k * n * d + k * (4 * d**2 + 24 * d**2 + 2 * d * c.latent_dim)
    m = n + (c.conditioning == "token")
    decoder = 2 * n * patch * e * 2 + 2 * c.latent_width * e + c.decoder_depth * (m * (8 + 24) * e**2 + 4 * m**2 * e)
    decoder += c.decoder_depth * 8 * e**2 * (c.conditioning == "film")
    vq = 2 * c.latent_width * c.num_codes
    proprio = 0
    if c.use_proprio:
        width = c.state_dim + c.latent_width + 2 * c.context_width * c.use_context
        heads = c.max_horizon * (c.state_dim + c.action_dim)
        proprio = 2 * c.proprio_hidden * (width + c.proprio_hidden + heads) * pairs
        proprio += 4 * c.context_width**2 * c.use_context
    return t * n * encoder_token + pairs * (readout + decoder + vq) + proprio
