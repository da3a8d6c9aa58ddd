"""The vision-language model: padding that nobody sees."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.layers.attention import KeyValue
from models.layers.config import StackConfig
from models.pictures import resize
from models.vlm.config import VisionConfig, VlmConfig
from models.vlm.vision import VisionTower
from models.vlm.vlm import Vlm

PATCHES = 4


def config(**vision: Any) -> VlmConfig:
    return VlmConfig(
        vision=VisionConfig(
            **{"image_size": 28, "width": 24, "mlp_width": 48, "num_layers": 2, "num_heads": 2, **vision}
        ),
        text=StackConfig(width=32, mlp_width=64, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=16),
        vocab_size=64,
        text_length=6,
    )


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 3, 28, 28), dtype=torch.uint8, generator=g)
    token_ids = torch.randint(4, 60, (3, 6), generator=g)
    token_mask = torch.arange(6) < torch.tensor([[6], [4], [1]])
    return image, token_ids * token_mask, token_mask


def close(ours: KeyValue, key: Tensor, value: Tensor, rows: Tensor) -> None:
    for mine, theirs in ((ours.key, key), (ours.value, value)):
        torch.testing.assert_close(mine.transpose(1, 2)[rows], theirs.transpose(1, 2)[rows], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_padding_a_text_changes_nothing_that_anyone_reads(stem: str) -> None:
    vlm = Vlm(config(stem=stem, image_size=32, patch_size=16)).eval()
    image, token_ids, token_mask = inputs()
    short = torch.arange(6)[None].expand(3, -1) < 4
    with torch.no_grad():
        padded = vlm(image, token_ids.where(short, 7), token_mask & short)
        bare = vlm(image, token_ids[:, :4], token_mask[:, :4])
    for a, b in zip(padded, bare, strict=True):
        rows = torch.cat([torch.ones(3, PATCHES, dtype=torch.bool), token_mask[:, :4]], dim=1)
        cut = KeyValue(a.key[:, :, : PATCHES + 4], a.value[:, :, : PATCHES + 4])
        close(cut, b.key, b.value, rows)


def test_the_words_change_what_the_patches_mean() -> None:
    vlm = Vlm(config()).eval()
    image, token_ids, token_mask = inputs()
    with torch.no_grad():
        one, other = vlm(image, token_ids, token_mask)[-1], vlm(image, token_ids + 1, token_mask)[-1]
    assert (one.key[:, :, :PATCHES] - other.key[:, :, :PATCHES]).abs().max() > 1e-4


def test_a_picture_of_any_size_is_scaled_to_the_towers() -> None:
    picture = torch.zeros(1, 3, 112, 90, dtype=torch.uint8)
    picture[..., 45:] = 255
    scaled = resize(picture, 14)
    assert scaled.shape == (1, 3, 14, 14)
    assert (scaled[..., :6] == 0).all()
    assert (scaled[..., 8:] == 255).all()
    assert torch.equal(resize(scaled, 14), scaled)


def test_the_convolutional_stem_keeps_the_grid_of_patches() -> None:
    tower = VisionTower(config(stem="conv", image_size=32, patch_size=8, num_layers=0).vision)
    assert tower(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 16, 24)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"image_size": 30}, "not a multiple"), ({"stem": "conv", "image_size": 24, "patch_size": 12}, "power of 2")],
)
def test_an_impossible_tower_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VisionConfig(**fields)
