"""Gemma blocks that also attend to the KV caches of other streams: joint attention, as in villa-X and open-pi-zero."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.layers.attention import KeyValue, attend, concatenate
from models.layers.config import Activation, StackConfig
from models.layers.norm import GemmaRMSNorm
from models.layers.rope import Rope, apply_rope, rope


class GemmaMlp(nn.Module):
    """Gated MLP: Gemma's has tanh-approximated GELU, Llama's has SiLU."""

    def __init__(self, width: int, mlp_width: int, activation: Activation = "gelu_tanh") -> None:
        super().__init__()
        self.activation = activation
        self.gate_proj = nn.Linear(width, mlp_width, bias=False)
        self.up_proj = nn.Linear(width, mlp_width, bias=False)
        self.down_proj = nn.Linear(mlp_width, width, bias=False)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        gate = self.gate_proj(x)
        gate = F.silu(gate) if self.activation == "silu" else F.gelu(gate, approximate="tanh")
        return self.down_proj(gate * self.up_proj(x))


class GemmaBlock(nn.Module):
    """One Gemma block in two steps: `project_kv` gives its keys and values, `forward` attends and updates the tokens.

    With `kv_only` it has no weights but those of keys and values, for a last block whose output tokens are not used.
    """

    def __init__(self, config: StackConfig, kv_only: bool) -> None:
        super().__init__()
        width, c = config.width, config
        self.config = config
        self.input_norm = GemmaRMSNorm(width, c.eps)
        self.k_proj = nn.Linear(width, c.num_kv_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(width, c.num_kv_heads * c.head_dim, bias=False)
        if not kv_only:
            self.q_proj = nn.Linear(width, c.num_heads * c.head_dim, bias=False)
            self.o_proj = nn.Linear(c.num_heads * c.head_dim, width, bias=False)
            self.mlp_norm = GemmaRMSNorm(width, c.eps)
            self.mlp = GemmaMlp(width, c.mlp_width, c.activation)
            self.attention_out_norm = GemmaRMSNorm(width, c.eps) if c.output_norms else nn.Identity()
            self.mlp_out_norm = GemmaRMSNorm(width, c.eps) if c.output_norms else nn.Identity()

    def project_kv(self, normed: Float[Tensor, "b n d"], table: Rope) -> KeyValue:
        """Project normalised tokens to keys, with rotary positions, and values."""
        heads = (self.config.num_kv_heads, self.config.head_dim)
        key = apply_rope(self.k_proj(normed).unflatten(-1, heads), table)
        return KeyValue(key.transpose(1, 2), self.v_proj(normed).unflatten(-1, heads).transpose(1, 2))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        normed: Float[Tensor, "b n d"],
        table: Rope,
        kv: KeyValue,
        mask: Bool[Tensor, "b n m"] | None,
    ) -> Float[Tensor, "b n d"]:
        """Attend to keys and values, then apply the MLP; both are added to `x`, of which `normed` is the norm."""
        query = apply_rope(self.q_proj(normed).unflatten(-1, (self.config.num_heads, self.config.head_dim)), table)
        x = x + self.attention_out_norm(self.o_proj(attend(query, kv, mask, self.config.soft_cap)))
        return x + self.mlp_out_norm(self.mlp(self.mlp_norm(x)))


class Stack(nn.Module):
    """A stream's blocks. Block i attends to the keys and values of block i of other streams and to its own tokens."""

    def __init__(self, config: StackConfig, last_kv_only: bool = False) -> None:
        super().__init__()
        self.config = config
        self.last_kv_only = last_kv_only
        last = config.num_layers - 1
        self.blocks = nn.ModuleList(GemmaBlock(config, last_kv_only and i == last) for i in range(config.num_layers))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        positions: Int[Tensor, "n"],
        other_caches: list[list[KeyValue]],
        mask: Bool[Tensor, "b n m"] | None,
        num_out: int | None = None,
    ) -> tuple[Float[Tensor, "b out d"], list[KeyValue]]:
        """Return the last `num_out` tokens (default all) and the stream's own KV cache.

        `other_caches` holds one KV cache per other stream; the columns of `mask` follow that order, own tokens last.
        Rows that are not returned skip the last block's attention and MLP; with `last_kv_only` all of them do.
        """
        table = rope(positions, self.config.head_dim, self.config.rope_theta)
        kv_cache: list[KeyValue] = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, GemmaBlock)
            normed = block.input_norm(x)
            own = block.project_kv(normed, table)
            kv_cache.append(own)
            rows = slice(None)
            if i == len(self.blocks) - 1:
                if self.last_kv_only:
                    return x[:, :0], kv_cache
                if num_out is not None:
                    rows = slice(x.shape[1] - num_out, None)
            x = block(
                x[:, rows],
                normed[:, rows],
                Rope(table.cos[rows], table.sin[rows]),
                concatenate([*(cache[i] for cache in other_caches), own]) if other_caches else own,
                None if mask is None else mask[:, rows],
            )
        return x, kv_cache


def positions_from(start: int, count: int, device: torch.device) -> Int[Tensor, "n"]:
    """Give `count` positions from `start` on."""
    return torch.arange(start, start + count, device=device)
