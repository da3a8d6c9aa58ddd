"""Pairs of settings and weights that do not belong together, or were never meant to: one line, and no memory."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.act import Act, ActConfig
from models.config import Config
from models.fingerprint import fingerprint
from models.lam import Lam, LamConfig
from models.layers.config import StackConfig
from models.vlm.config import VisionConfig, VlmConfig
from models.weights import load_act, load_lam, load_world, read_config, save_model, save_released_lam
from models.world import World, WorldConfig
from tests.support.shapes import act_shape, lam_shape, world_shape

KINDS = {
    "lam": (load_lam, lambda: Lam(lam_shape("tiny"))),
    "act": (load_act, lambda: Act(act_shape("tiny", state_dims=(7, 7), action_dims=(7, 7)))),
    "world": (load_world, lambda: World(world_shape("tiny"))),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    for name, (_, make) in KINDS.items():
        save_model(make(), root / name)
    released = {"pooling": "released", "normalize_latents": False, "conditioning": "token", "residual_output": False}
    save_released_lam(Lam(lam_shape("tiny", **released)), root / "released")
    return root


@contextmanager
def little_memory(gigabytes: float = 2.0) -> Iterator[None]:
    """Let this process take only so much more than it has."""
    held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + int(gigabytes * 1e9), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def copy(saved: Path, kind: str, folder: Path, **changes: Any) -> Path:
    """Copy a model with some of its settings replaced; dots reach into nested ones."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((saved / kind / "model.safetensors").read_bytes())
    stated = json.loads((saved / kind / "model_config.json").read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        inner = stated["config"]
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    (folder / "model_config.json").write_text(json.dumps(stated))
    return folder


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("lam", "encoder_depth", 10**6),
        ("lam", "encoder_depth", 256),
        ("lam", "encoder_width", 65536),
        ("lam", "num_codes", 10**9),
        ("lam", "num_codes", 1 << 24),
        ("lam", "num_datasets", 10**30),
        ("lam", "mlp_ratio", 1e308),
        ("lam", "mlp_ratio", 1e-9),
        ("lam", "interval_s", float("inf")),
        ("lam", "interval_s", float("nan")),
        ("lam", "resolution", 4096),
        ("released", "n_codes", 10**9),
        ("released", "encoder_depth", 10**6),
        ("released", "mlp_ratio", 1e308),
        ("act", "vlm__text__width", 65536),
        ("act", "vlm__vocab_size", 1 << 24),
        ("act", "vlm__vision__num_layers", 10**9),
        ("act", "expert__mlp_width", 65536),
        ("act", "state_dims", [65536, 7]),
        ("act", "num_datasets", 10**30),
        ("act", "latent_scale", float("inf")),
        ("world", "width", 65536),
        ("world", "depth", 10**6),
        ("world", "resolution", 10**9),
        ("world", "latent_scale", float("nan")),
    ],
)
def test_settings_of_another_size_than_the_weights_cost_no_memory(
    saved: Path, tmp_path: Path, kind: str, key: str, value: Any
) -> None:
    path = copy(saved, kind, tmp_path / "model", **{key: value})
    load = KINDS["lam" if kind == "released" else kind][0]
    with (
        little_memory(),
        pytest.raises(ValueError, match=rf"^{path}: ") as raised,
    ):
        load(path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


def test_a_tensor_of_another_type_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, "world", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name].view(torch.int32)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"do not fit .*{name}: found integers .*, expected floats"):
        load_world(folder)


@pytest.mark.parametrize("kind", ["lam", "act", "world", "released"])
def test_a_flipped_byte_of_the_weights_is_named_and_older_models_without_checksum_load(
    saved: Path, tmp_path: Path, kind: str
) -> None:
    load = KINDS["lam" if kind == "released" else kind][0]
    folder = copy(saved, kind, tmp_path / "model")
    load(folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-len(data) // 3] ^= 0x10
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=rf"^{folder}/model.safetensors: damaged, .*; copy both again") as raised:
        load(folder)
    assert "\n" not in str(raised.value)
    stated = read_config(folder)
    del stated["sha256"]
    (folder / "model_config.json").write_text(json.dumps(stated))
    load(folder)


def test_settings_beside_the_weights_may_be_edited(saved: Path, tmp_path: Path) -> None:
    path = copy(saved, "lam", tmp_path / "model", interval_s=0.7)
    assert load_lam(path).config.interval_s == 0.7


def test_of_a_training_that_was_stopped_its_newest_checkpoint_is_named(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    newest = copy(saved, "lam", tmp_path / "run" / "checkpoints" / "step-00000009")
    with pytest.raises(ValueError, match=f"training is not at its end: run the same command again, or take {newest}$"):
        load_lam(tmp_path / "run")
    load_lam(newest)


def test_what_safetensors_quotes_is_cut_short(saved: Path, tmp_path: Path) -> None:
    folder = copy(saved, "lam", tmp_path / "model")
    header = json.dumps({"x" * 70_000: {"dtype": "y" * 70_000, "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ValueError, match=r"model.safetensors: cut short or no safetensors file") as raised:
        load_lam(folder)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "", "[1]", "7", '{"config"', '{"config": 3}', "\ud800"]
)
def test_a_settings_file_that_is_none_is_one_line(saved: Path, tmp_path: Path, text: str) -> None:
    folder = copy(saved, "lam", tmp_path / "model")
    (folder / "model_config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (read_config, load_lam, *([] if text == '{"config": 3}' else [fingerprint])):
        with pytest.raises(ValueError, match=r"model_config\.json: .*(expected|copy it again)") as raised:
            read(folder)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shape", [(96,), (0, 3, 16, 16), (96, 3, 0, 0)])
def test_published_weights_of_odd_shapes_are_refused(saved: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    folder = copy(saved, "released", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "encoder.embed.proj.weight": torch.zeros(shape)}, folder / "model.safetensors")
    (folder / "model_config.json").write_text(json.dumps({"architecture": "IgorModel", "config": {"map_heads": 4}}))
    with pytest.raises(ValueError, match=rf"^{folder}: "):
        load_lam(folder)


@pytest.mark.parametrize("config", [LamConfig, WorldConfig, ActConfig, VlmConfig, VisionConfig, StackConfig])
def test_no_model_setting_may_be_infinite(config: type[Config]) -> None:
    assert config.model_config["allow_inf_nan"] is False


def test_weights_in_shards_are_answered_with_the_command_that_puts_them_together(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    folder = copy(saved, "lam", tmp_path / "run" / "checkpoints" / "step-00000009")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    for read in (load_lam, fingerprint):
        with pytest.raises(ValueError, match=rf"lie in shards; `villa export checkpoint {folder} --out DIR` puts"):
            read(folder)
    with pytest.raises(ValueError, match=rf"or take `villa export checkpoint {tmp_path}/run --out DIR`$"):
        load_lam(tmp_path / "run")
