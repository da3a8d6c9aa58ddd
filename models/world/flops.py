"""Work of the world model's forward pass, counted by hand; the backward pass takes twice as much.

Work is 2 for each number of a matrix that meets one of x.
"""

from models.world.config import WorldConfig


def forward_flops(c: WorldConfig, num_steps: int) -> int:
    """Count the forward pass of `World.loss` for one clip, rolled out for so many steps."""
    n, w, patch = c.grid**2, c.width, 3 * c.patch_size**2
    embed = 2 * n * c.context * patch * w
    action = 2 * (c.num_slots * c.latent_dim * w + w * w)
    block = 32 * n * w**2 + 4 * n**2 * w + 8 * w**2  # attention and feed-forward, scores and sums, scales and shifts
    return num_steps * (embed + action + c.depth * block + 2 * n * w * patch)
