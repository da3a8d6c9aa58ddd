"""Gemma blocks that also attend to the KV caches of other streams: joint attention, as in villa-X and open-pi-zero."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.layers.attention import KeyValue, attend, concatenate, row_bias
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
        return self.down_proj(activate(self.gate_proj(x), self.activation) * self.up_proj(x))


def activate(gate: Float[Tensor, "*b d"], activation: Activation) -> Float[Tensor, "*b d"]:
    """Apply the activation of a gated MLP."""
    return F.silu(gate) if activation == "silu" else F.gelu(gate, approximate="tanh")


class GemmaBlock(nn.Module):
    """One Gemma block.

    With `kv_only` it has no weights but those of keys and values, for a last block whose output tokens are not used.
    """

    def __init__(self, config: StackConfig, kv_only: bool) -> None:
        super().__init__()
        width, c = config.width, config
        self.config = config
        self.kv_only = kv_only
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

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        table: Rope,
        others: list[KeyValue],
        bias: Float[Tensor, "b 1 hn m"] | None,
        num_out: int | None = None,
    ) -> tuple[Float[Tensor, "b out d"], KeyValue]:
        """Attend to others' tokens and own ones, then apply the MLP; return the last `num_out` tokens, and own K/V.

        Rows that are not returned only give keys and values. `bias` has the rows that are returned.
        """
        c = self.config
        normed = self.input_norm(x)
        key = apply_rope(self.k_proj(normed).unflatten(-1, (c.num_kv_heads, c.head_dim)), table)
        value = self.v_proj(normed).unflatten(-1, (c.num_kv_heads, c.head_dim))
        own = KeyValue(key.transpose(1, 2), value.transpose(1, 2))
        if self.kv_only:
            return x[:, :0], own
        if num_out is not None:
            x, normed = x[:, x.shape[1] - num_out :], normed[:, x.shape[1] - num_out :]
        query = apply_rope(self.q_proj(normed).unflatten(-1, (c.num_heads, c.head_dim)), table.last(num_out))
        x = x + self.attention_out_norm(self.o_proj(attend(query, concatenate([*others, own]), bias, c.soft_cap)))
        return x + self.mlp_out_norm(self.mlp(self.mlp_norm(x))), own


class Stack(nn.Module):
    """A stream's blocks. Block i attends to the keys and values of block i of other streams and to its own tokens."""

    def __init__(self, config: StackConfig, last_kv_only: bool = False) -> None:
        super().__init__()
        self.config = config
        last = config.num_layers - 1
        self.blocks = nn.ModuleList(GemmaBlock(config, last_kv_only and i == last) for i in range(config.num_layers))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        positions: Int[Tensor, "n"],
        other_caches: list[list[KeyValue]],
        mask: Bool[Tensor, "b n m"],
        num_out: int | None = None,
    ) -> tuple[Float[Tensor, "b out d"], list[KeyValue]]:
        """Return the last `num_out` tokens (default all) and the stream's own KV cache.

        `other_caches` holds one KV cache per other stream; the columns of `mask` follow that order, own tokens last.
        Rows that are not returned skip the last block's attention and MLP; with `last_kv_only` all of them do.
        """
        c = self.config
        dtype = product_dtype(x)
        table = rope(positions, c.head_dim, c.rope_theta).to(dtype)
        shared = c.num_heads // c.num_kv_heads
        bias = row_bias(mask, shared, dtype)
        kv_cache: list[KeyValue] = []
        for i, block in enumerate(self.blocks):
            others, last_rows = [cache[i] for cache in other_caches], None
            if i == len(self.blocks) - 1 and num_out is not None:
                last_rows, bias = num_out, row_bias(mask[:, mask.shape[1] - num_out :], shared, dtype)
            x, own = block(x, table, others, bias, last_rows)
            kv_cache.append(own)
        return x, kv_cache


def product_dtype(x: Tensor) -> torch.dtype:
    """Tell the precision that linear layers give for these tokens."""
    kind = x.device.type
    casts = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if casts else x.dtype


def positions_from(start: int, count: int, device: torch.device) -> Int[Tensor, "n"]:
    """Give `count` positions from `start` on."""
    return torch.arange(start, start + count, device=device)
