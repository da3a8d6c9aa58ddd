"""Gemma blocks in a row, reading what other streams wrote (joint attention as in villa-X and open-pi-zero)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.layers.attention import KeyValue, attend, join
from models.layers.config import StackConfig
from models.layers.norm import GemmaRMSNorm
from models.layers.rope import Rope, rope, rotate


class Mlp(nn.Module):
    """Gemma's gated MLP with tanh-approximated GELU."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, mlp_width, bias=False)
        self.up_proj = nn.Linear(width, mlp_width, bias=False)
        self.down_proj = nn.Linear(mlp_width, width, bias=False)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Block(nn.Module):
    """One Gemma block, taken apart: `write` makes keys and values, `forward` reads and updates the tokens.

    With `silent` the block only writes: nobody needs its tokens, so it has no weights to update them.
    """

    def __init__(self, config: StackConfig, silent: bool) -> None:
        super().__init__()
        width, c = config.width, config
        self.config = config
        self.input_norm = GemmaRMSNorm(width, c.eps)
        self.k_proj = nn.Linear(width, c.num_key_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(width, c.num_key_heads * c.head_dim, bias=False)
        if not silent:
            self.q_proj = nn.Linear(width, c.num_heads * c.head_dim, bias=False)
            self.o_proj = nn.Linear(c.num_heads * c.head_dim, width, bias=False)
            self.mlp_norm = GemmaRMSNorm(width, c.eps)
            self.mlp = Mlp(width, c.mlp_width)

    def write(self, normed: Float[Tensor, "b n d"], table: Rope) -> KeyValue:
        """Make the keys and values of these tokens."""
        heads = (self.config.num_key_heads, self.config.head_dim)
        key = rotate(self.k_proj(normed).unflatten(-1, heads), table)
        return KeyValue(key.transpose(1, 2), self.v_proj(normed).unflatten(-1, heads).transpose(1, 2))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        normed: Float[Tensor, "b n d"],
        table: Rope,
        memory: KeyValue,
        mask: Bool[Tensor, "b n m"] | None,
    ) -> Float[Tensor, "b n d"]:
        """Read the memory, then think."""
        query = rotate(self.q_proj(normed).unflatten(-1, (self.config.num_heads, self.config.head_dim)), table)
        x = x + self.o_proj(attend(query, memory, mask, self.config.soft_cap))
        return x + self.mlp(self.mlp_norm(x))


class Stack(nn.Module):
    """A stream's blocks. Each block sees what the same block of other streams wrote, then its own tokens."""

    def __init__(self, config: StackConfig, silent_end: bool = False) -> None:
        super().__init__()
        self.config = config
        self.silent_end = silent_end
        last = config.num_layers - 1
        self.blocks = nn.ModuleList(Block(config, silent_end and i == last) for i in range(config.num_layers))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        positions: Int[Tensor, "n"],
        read: list[list[KeyValue]],
        mask: Bool[Tensor, "b n m"] | None,
        num_out: int | None = None,
    ) -> tuple[Float[Tensor, "b out d"], list[KeyValue]]:
        """Return the last `num_out` tokens (default all) and what every block wrote.

        `read` holds one list of block memories per other stream; the columns of `mask` follow that order, own tokens
        last. Rows that are not returned skip the last block's attention and MLP; with `silent_end` all of them do.
        """
        table = rope(positions, self.config.head_dim, self.config.theta)
        written: list[KeyValue] = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            normed = block.input_norm(x)
            own = block.write(normed, table)
            written.append(own)
            rows = slice(None)
            if i == len(self.blocks) - 1:
                if self.silent_end:
                    return x[:, :0], written
                if num_out is not None:
                    rows = slice(x.shape[1] - num_out, None)
            memory = join([*(stream[i] for stream in read), own]) if read else own
            x = block(
                x[:, rows],
                normed[:, rows],
                Rope(table.cos[rows], table.sin[rows]),
                memory,
                None if mask is None else mask[:, rows],
            )
        return x, written


def positions_from(start: int, count: int, device: torch.device) -> Int[Tensor, "n"]:
    """Count `count` tokens from `start` on."""
    return torch.arange(start, start + count, device=device)
