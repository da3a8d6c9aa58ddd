"""The vision-language model: PaliGemma's numbers under PaliGemma's names, and padding that nobody sees."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.layers.attention import KeyValue
from models.layers.config import StackConfig
from models.pictures import resize
from models.vlm.config import VisionConfig, VlmConfig
from models.vlm.hub import from_hub
from models.vlm.vision import VisionTower
from models.vlm.vlm import Vlm

PATCHES, IMAGE_ID = 4, 63


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


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Tensor]]:
    """A tiny random PaliGemma, and the weights file that it writes."""
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

    c = config()
    torch.manual_seed(0)
    theirs = PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(
            vision_config={
                "model_type": "siglip_vision_model",
                "hidden_size": c.vision.width,
                "intermediate_size": c.vision.mlp_width,
                "num_hidden_layers": c.vision.num_layers,
                "num_attention_heads": c.vision.num_heads,
                "image_size": c.vision.image_size,
                "patch_size": c.vision.patch_size,
            },
            text_config={
                "model_type": "gemma",
                "hidden_size": c.text.width,
                "intermediate_size": c.text.mlp_width,
                "num_hidden_layers": c.text.num_layers,
                "num_attention_heads": c.text.num_heads,
                "num_key_value_heads": c.text.num_kv_heads,
                "head_dim": c.text.head_dim,
                "vocab_size": c.vocab_size,
            },
            image_token_id=IMAGE_ID,
            projection_dim=c.text.width,
        )
    ).eval()
    for parameter in theirs.parameters():  # biases and norms start at 0 or 1, where mistakes hide
        torch.nn.init.normal_(parameter, std=0.2)
    folder: Path = tmp_path_factory.mktemp("paligemma")
    theirs.save_pretrained(folder)
    return theirs, load_file(folder / "model.safetensors")


def close(ours: KeyValue, key: Tensor, value: Tensor, rows: Tensor) -> None:
    for mine, theirs in ((ours.key, key), (ours.value, value)):
        torch.testing.assert_close(mine.transpose(1, 2)[rows], theirs.transpose(1, 2)[rows], atol=2e-5, rtol=1e-5)


def test_each_block_writes_the_keys_and_values_of_paligemma(hugging_face: tuple[Any, dict[str, Tensor]]) -> None:
    theirs, published = hugging_face
    ours = Vlm(config()).eval()
    ours.load_state_dict(from_hub(published, num_layers=3))
    image, token_ids, token_mask = inputs()
    patches = torch.full((3, PATCHES), IMAGE_ID)
    seen = torch.cat([torch.ones_like(patches, dtype=torch.bool), token_mask], dim=1)
    with torch.no_grad():
        memory = ours(image, token_ids, token_mask)
        cache = theirs(
            input_ids=torch.cat([patches, token_ids], dim=1),
            pixel_values=image / 127.5 - 1.0,
            attention_mask=seen.long(),
            token_type_ids=torch.zeros(3, PATCHES + 6, dtype=torch.long),
            use_cache=True,
        ).past_key_values
    assert len(memory) == len(cache.layers) == 3
    for block, layer in zip(memory, cache.layers, strict=True):
        close(block, layer.keys, layer.values, seen)


def test_a_hub_file_with_the_older_level_of_names_loads_too(hugging_face: tuple[Any, dict[str, Tensor]]) -> None:
    published = hugging_face[1]
    older = {name.replace("vision_tower.", "vision_tower.vision_model."): t for name, t in published.items()}
    new, old = from_hub(published, 3), from_hub(older, 3)
    assert new.keys() == old.keys() == Vlm(config()).state_dict().keys()


def test_a_weight_of_another_model_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"lm\.block\.0 is no PaliGemma weight"):
        from_hub({"lm.block.0": torch.zeros(1)}, num_layers=3)


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
    ("fields", "words"),
    [({"image_size": 30}, "not a multiple"), ({"stem": "conv", "image_size": 24, "patch_size": 12}, "power of 2")],
)
def test_an_impossible_tower_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        VisionConfig(**fields)
