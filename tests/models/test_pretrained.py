"""Published vision-language models: their own numbers from their own files, and one line for whatever is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.vlm import pretrained
from models.vlm.config import VlmConfig
from models.vlm.vlm import Vlm
from tests.support import tiny_vlm

LENGTH = 6


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 3, tiny_vlm.SIZE, tiny_vlm.SIZE), dtype=torch.uint8, generator=g)
    token_ids = torch.randint(5, 100, (3, LENGTH), generator=g)
    token_mask = torch.arange(LENGTH) < torch.tensor([[6], [4], [1]])
    return image, token_ids * token_mask, token_mask


def theirs(model: Any, kind: str) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of every layer by `transformers`."""
    image, token_ids, token_mask = inputs()
    pixels = image / 127.5 - 1.0
    num_patches = 1 if kind in ("smolvlm", "idefics3") else 4
    patches = torch.full((3, num_patches), tiny_vlm.IMAGE_ID)
    seen = torch.cat([torch.ones_like(patches, dtype=torch.bool), token_mask], dim=1)
    given: dict[str, Any] = {"token_type_ids": torch.zeros(seen.shape, dtype=torch.long)}
    if kind in ("smolvlm", "idefics3"):
        pixels, given = pixels[:, None], {"position_ids": torch.arange(1, seen.shape[1] + 1).expand(3, -1)}
    with torch.no_grad():
        cache = model(
            input_ids=torch.cat([patches, token_ids], dim=1),
            pixel_values=pixels,
            attention_mask=seen.long(),
            use_cache=True,
            **given,
        ).past_key_values
    return [(layer.keys, layer.values) for layer in cache.layers]


def loaded(folder: Path) -> Vlm:
    published = pretrained.read(folder)
    vlm = Vlm(VlmConfig(**{**published.settings, "text_length": LENGTH})).eval()
    pretrained.load(vlm, published)
    return vlm


def assert_same_cache(vlm: Vlm, expected: list[tuple[Tensor, Tensor]], tolerance: float = 2e-5) -> None:
    image, token_ids, token_mask = inputs()
    with torch.no_grad():
        cache = vlm(image, token_ids, token_mask)
    assert len(cache) == len(expected) == 3
    rows = vlm.prefix_mask(token_mask)
    for block, (key, value) in zip(cache, expected, strict=True):
        for mine, other in ((block.key, key), (block.value, value)):
            torch.testing.assert_close(
                mine.transpose(1, 2)[rows], other.float().transpose(1, 2)[rows], atol=tolerance, rtol=1e-4
            )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """One of each kind, in shards."""
    folders_of = {}
    for kind in tiny_vlm.KINDS:
        folder = tmp_path_factory.mktemp(kind)
        folders_of[kind] = folder, tiny_vlm.write(folder, kind, shard="60KB")
    return folders_of


@pytest.mark.parametrize("kind", tiny_vlm.KINDS)
def test_shards_give_the_keys_and_values_of_the_published_model(
    folders: dict[str, tuple[Path, Any]], kind: str
) -> None:
    folder, model = folders[kind]
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert_same_cache(loaded(folder), theirs(model, kind))


@pytest.mark.parametrize("kind", tiny_vlm.KINDS)
def test_bfloat16_files_fill_float32_weights(tmp_path: Path, kind: str) -> None:
    written = tiny_vlm.write(tmp_path, kind, dtype="bfloat16")
    vlm = loaded(tmp_path)
    assert {p.dtype for p in vlm.parameters()} == {torch.float32}
    model = tiny_vlm.model(kind)  # a float32 one with the same, rounded weights
    model.load_state_dict(written.state_dict())
    assert_same_cache(vlm, theirs(model, kind))


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("vision_tower.", "vision_tower.vision_model."),
        lambda name: "model." + name.replace("language_model.model.", "language_model."),
    ],
)
def test_older_files_and_state_dicts_of_newer_versions_load_too(
    folders: dict[str, tuple[Path, Any]], tmp_path: Path, rename: Callable[[str], str]
) -> None:
    folder, model = folders["paligemma"]
    shutil.copy(folder / "config.json", tmp_path)
    tensors = {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}
    save_file({rename(name): value for name, value in tensors.items()}, tmp_path / "model.safetensors")
    assert_same_cache(loaded(tmp_path), theirs(model, "paligemma"))


def test_a_file_that_holds_the_tied_head_only_gives_the_embeddings(
    folders: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    folder, model = folders["paligemma"]
    shutil.copy(folder / "config.json", tmp_path)
    tensors = {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}
    tensors["language_model.lm_head.weight"] = tensors.pop("language_model.model.embed_tokens.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    assert_same_cache(loaded(tmp_path), theirs(model, "paligemma"))


def test_the_published_sizes_of_paligemma_are_read_from_its_short_config(tmp_path: Path) -> None:
    """As google/paligemma-3b-pt-224 states them: what is a default is left out."""
    stated = {
        "model_type": "paligemma",
        "image_token_index": 257152,
        "text_config": {
            "hidden_size": 2048,
            "intermediate_size": 16384,
            "model_type": "gemma",
            "num_attention_heads": 8,
            "num_hidden_layers": 18,
            "num_image_tokens": 256,
            "num_key_value_heads": 1,
            "torch_dtype": "float32",
            "vocab_size": 257216,
        },
        "vision_config": {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "model_type": "siglip_vision_model",
            "num_attention_heads": 16,
            "num_hidden_layers": 27,
            "patch_size": 14,
            "projection_dim": 2048,
            "projector_hidden_act": "gelu_fast",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(stated))
    config = VlmConfig(**pretrained.read(tmp_path).settings)
    assert config == VlmConfig(
        text={"width": 2048, "mlp_width": 16384, "num_layers": 18, "num_heads": 8, "head_dim": 256}  # type: ignore[arg-type]
    )


def test_the_published_sizes_of_smolvlm_are_read_from_its_short_config(tmp_path: Path) -> None:
    """As HuggingFaceTB/SmolVLM-256M-Instruct states them."""
    stated = {
        "model_type": "idefics3",
        "image_token_id": 49190,
        "scale_factor": 4,
        "text_config": {
            "head_dim": 64,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "model_type": "llama",
            "num_attention_heads": 9,
            "num_hidden_layers": 30,
            "num_key_value_heads": 3,
            "qk_layer_norms": False,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "rope_theta": 100000,
            "vocab_size": 49280,
        },
        "vision_config": {
            "hidden_size": 768,
            "image_size": 512,
            "model_type": "idefics3",
            "num_attention_heads": 12,
            "patch_size": 16,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(stated))
    config = VlmConfig(**pretrained.read(tmp_path).settings)
    assert config.num_image_tokens == 64
    with torch.device("meta"):
        ours = sum(p.numel() for p in Vlm(config).parameters())
    head, last = 49280 * 576, 2 * 576 * 576 + 3 * 576 * 1536 + 576
    assert ours - 576 + head + last + 576 == 256_484_928  # the model's published number; our projector has a bias


def test_memory_is_the_models_and_one_tensor_more(folders: dict[str, tuple[Path, Any]], monkeypatch: Any) -> None:
    folder, _ = folders["paligemma"]
    published = pretrained.read(folder)
    vlm = Vlm(VlmConfig(**published.settings))
    pointers = {name: value.data_ptr() for name, value in vlm.state_dict().items()}
    alive: list[int] = []
    plain = published.family.convert

    def watch(name: str, weight: Tensor, stated: Any) -> Tensor:
        alive.append(weight.numel())
        return plain(name, weight, stated)

    object.__setattr__(published, "family", type(published.family)(**{**vars(published.family), "convert": watch}))
    pretrained.load(vlm, published)
    assert {name: value.data_ptr() for name, value in vlm.state_dict().items()} == pointers
    assert len(alive) == len(pointers)


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    stated = json.loads((folder / name).read_text())
    change(stated)
    (folder / name).write_text(json.dumps(stated))


def a_shard(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[1]


def retype(folder: Path, dtype: torch.dtype) -> None:
    tensors = {name: value.to(dtype) for name, value in load_file(a_shard(folder)).items()}
    save_file(tensors, a_shard(folder))


INDEX = "model.safetensors.index.json"
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "no json": (lambda f: (f / "config.json").write_text("{"), "cut short or not JSON"),
    "another model": (
        lambda f: edit(f, "config.json", lambda c: c.update(model_type="bert")),
        "model_type: found 'bert'",
    ),
    "half a config": (lambda f: edit(f, "config.json", lambda c: c.pop("vision_config")), "no key 'vision_config'"),
    "no numbers": (
        lambda f: edit(f, "config.json", lambda c: c["text_config"].update(hidden_size="wide")),
        "text.width: found 'wide'",
    ),
    "absurd size": (
        lambda f: edit(f, "config.json", lambda c: c["text_config"].update(intermediate_size=10**12)),
        "text.mlp_width: found 1000000000000",
    ),
    "scaled rope": (
        lambda f: edit(f, "config.json", lambda c: c["text_config"]["rope_parameters"].update(rope_type="yarn")),
        "rope_type: found 'yarn', expected 'default'",
    ),
    "uneven heads": (
        lambda f: edit(f, "config.json", lambda c: c["text_config"].update(num_key_value_heads=3)),
        "4 heads cannot share 3 key heads",
    ),
    "shape": (
        lambda f: edit(f, "config.json", lambda c: c["text_config"].update(intermediate_size=65)),
        "found [64, 32], expected [65, 32] by config.json",
    ),
    "more layers": (
        lambda f: edit(f, "config.json", lambda c: c["text_config"].update(num_hidden_layers=4)),
        "no weight for stack.blocks.3.",
    ),
    "fewer layers": (
        lambda f: edit(f, "config.json", lambda c: c["vision_config"].update(num_hidden_layers=1)),
        "has no place in the model that config.json describes",
    ),
    "truncated": (lambda f: a_shard(f).write_bytes(a_shard(f).read_bytes()[:-10]), "cut short"),
    "empty": (lambda f: a_shard(f).write_bytes(b""), "cut short"),
    "no shard": (lambda f: a_shard(f).unlink(), "no such file, which model.safetensors.index.json names"),
    "outside": (
        lambda f: edit(f, INDEX, lambda c: c["weight_map"].update(x="../other.safetensors")),
        "places tensors in '../other.safetensors', expected a safetensors file beside it",
    ),
    "absolute": (
        lambda f: edit(f, INDEX, lambda c: c["weight_map"].update(x="/etc/other.safetensors")),
        "expected a safetensors file beside it",
    ),
    "index of other shards": (
        lambda f: edit(f, INDEX, lambda c: c["weight_map"].update(x=a_shard(f).name)),
        "no tensor x, which model.safetensors.index.json places there",
    ),
    "no map": (lambda f: edit(f, INDEX, dict.clear), "no `weight_map`"),
    "no weights": (lambda f: (f / INDEX).unlink(), "neither model.safetensors nor model.safetensors.index.json"),
    "pickles only": (
        lambda f: ((f / INDEX).unlink(), (f / "pytorch_model.bin").write_bytes(b"\x80")),
        "holds pytorch_model.bin and no model.safetensors; such files can run code",
    ),
    "integers": (lambda f: retype(f, torch.int8), "is of type I8, expected one of F16"),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_what_is_wrong_with_a_folder_is_said_in_one_line(
    folders: dict[str, tuple[Path, Any]], tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(folders["paligemma"][0], folder)
    spoil, message = DAMAGE[damage]
    spoil(folder)
    with pytest.raises(ValueError, match=r"(?s)^(?!.*\n)") as caught:
        published = pretrained.read(folder)
        pretrained.check(published, VlmConfig(**published.settings))
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


def test_paligemma_2_is_refused_where_its_window_would_cut_a_picture(tmp_path: Path) -> None:
    tiny_vlm.write(tmp_path, "paligemma2", sliding_window=4)
    with pytest.raises(ValueError, match="sliding_window: found 4, expected more than the 4 tokens of a picture"):
        pretrained.read(tmp_path)
