"""Attention over keys and values of several streams: shared keys, masks, and two ways to compute it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.attention import KeyValue, attend, attend_briefly, concatenate, eager_attention, row_bias
from models.layers.norm import HeadNorm
from models.layers.rope import apply_rope, rope


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_consecutive_query_heads_share_a_key_head(num_kv_heads: int) -> None:
    query, key, value = normal(2, 5, 4, 8), normal(2, num_kv_heads, 7, 8), normal(2, num_kv_heads, 7, 8)
    mask = normal(2, 5, 7) > -0.5
    copies = 4 // num_kv_heads
    expected = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.repeat_interleave(copies, 1),
        value.repeat_interleave(copies, 1),
        attn_mask=mask[:, None],
    )
    bias = row_bias(mask, copies, torch.float32)
    torch.testing.assert_close(attend(query, KeyValue(key, value), bias), expected.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("masked", [True, False])
def test_two_products_equal_the_fused_kernel(masked: bool) -> None:
    rows, key, value = normal(2, 1, 6, 8), normal(2, 1, 7, 8), normal(2, 1, 7, 8)
    bias = torch.zeros(2, 1, 6, 7).masked_fill(normal(2, 1, 6, 7) > 0.5, torch.finfo(torch.float32).min)
    bias = bias if masked else None
    fused = F.scaled_dot_product_attention(rows, key, value, attn_mask=bias)
    torch.testing.assert_close(eager_attention(rows, key, value, bias, soft_cap=0.0), fused)


def test_a_soft_cap_bounds_scores_and_a_wide_one_changes_nothing() -> None:
    query, kv = 50 * normal(1, 2, 1, 8), KeyValue(normal(1, 1, 5, 8), normal(1, 1, 5, 8))
    free, wide, tight = (attend(query, kv, soft_cap=cap) for cap in (0.0, 1e6, 1e-6))
    torch.testing.assert_close(wide, free, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(tight, kv.value.mean(2).expand(1, 2, 8), atol=1e-4, rtol=1e-4)


def test_a_row_that_sees_nothing_stays_finite() -> None:
    kv = KeyValue(normal(1, 1, 5, 8), normal(1, 1, 5, 8))
    blind = attend(normal(1, 3, 2, 8), kv, row_bias(torch.zeros(1, 3, 5, dtype=torch.bool), 2, torch.float32))
    assert torch.isfinite(blind).all()


def test_streams_are_concatenated_in_order_and_repeated_row_by_row() -> None:
    a, b = KeyValue(normal(2, 1, 3, 4), normal(2, 1, 3, 4)), KeyValue(normal(2, 1, 2, 4), normal(2, 1, 2, 4))
    both = concatenate([a, b])
    assert torch.equal(both.key[:, :, 3:], b.key)
    assert torch.equal(a.repeat(2).value[:, 0, 0, 0], a.value[[0, 0, 1, 1], 0, 0, 0])


def test_rotary_scores_depend_on_the_distance_only() -> None:
    x, y = normal(1, 1, 1, 8).expand(1, 6, 1, 8), normal(1, 1, 1, 8).flip(-1).expand(1, 6, 1, 8)
    table = rope(torch.arange(1, 7), 8, theta=100.0)
    score = (apply_rope(x, table)[0, :, 0] @ apply_rope(y, table)[0, :, 0].mT).float()
    for distance in range(-5, 6):
        diagonal = score.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)
    assert score[0].std() > 0.01


@pytest.mark.parametrize("causal", [True, False])
def test_attention_within_short_sequences_equals_the_fused_kernel(causal: bool) -> None:
    query, key, value = normal(6, 4, 8, 16), normal(6, 4, 8, 16).flip(0), normal(6, 4, 8, 16).flip(1)
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    torch.testing.assert_close(attend_briefly(query, key, value, causal), expected)


def test_a_head_is_normed_by_sums_and_products_as_by_torchs_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    norm, x = HeadNorm(24), 3 * normal(5, 4, 8, 24) + 1
    with torch.no_grad():
        norm.weight.copy_(normal(24)), norm.bias.copy_(normal(24).flip(0))
    expected = norm(x)
    monkeypatch.setattr(Tensor, "is_cuda", True)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=1e-5)
