"""The published checkpoint's format, and what its authors' code computes with one in miniature."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.lam import Lam
from models.lam.blocks import sincos_1d, sincos_2d
from models.weights import load_lam, released_config

GOLDEN = Path(__file__).parent / "golden_lam"


@pytest.fixture(scope="module")
def lam() -> Lam:
    return load_lam(GOLDEN)


@pytest.fixture(scope="module")
def vectors() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "vectors.safetensors")


@pytest.mark.parametrize("num_frames", [5, 8, 11])
def test_latents_are_those_of_the_authors(lam, vectors, num_frames):
    found = lam.encode(vectors[f"video_{num_frames}"])
    assert (found.tokens - vectors[f"tokens_{num_frames}"].squeeze(2)).abs().max() < 1e-4
    assert torch.equal(found.codes.flatten(), vectors[f"indices_{num_frames}"])
    assert torch.allclose(found.quantized.flatten(2), vectors[f"vq_tokens_{num_frames}"].squeeze(2), atol=1e-6)


@pytest.mark.parametrize("num_frames", [5, 8, 11])
def test_rendered_frames_are_those_of_the_authors(lam, vectors, num_frames):
    latent = vectors[f"vq_tokens_{num_frames}"].view(-1, 4, 16)
    painted = lam.render(vectors[f"video_{num_frames}"][:-1], latent)
    # they cut fractions off, we round
    assert (painted.int() - vectors[f"rendered_{num_frames}"].int()).abs().max() <= 1


def test_position_tables_are_those_in_the_checkpoint():
    stored = load_file(GOLDEN / "model.safetensors")
    assert torch.allclose(sincos_2d(4, 64), stored["encoder.pe_spatial"][0], atol=1e-6)
    assert torch.allclose(sincos_1d(torch.arange(8), 64), stored["encoder.pe_temporal"][0], atol=1e-6)


def test_a_short_clip_gives_the_prefix_of_a_longer_first_window(lam, vectors):
    video = vectors["video_8"]
    whole = lam.encode(video).tokens
    for t in (2, 3, 7):
        assert torch.allclose(lam.encode(video[:t]).tokens, whole[:, : t - 1], atol=1e-5)


def test_clips_of_a_batch_do_not_see_each_other(lam, vectors):
    one, other = vectors["video_11"], vectors["video_11"].flip(0)
    both = lam.encode(torch.stack([one, other]))
    assert torch.allclose(both.tokens[0], lam.encode(one).tokens[0], atol=1e-5)
    assert torch.allclose(both.tokens[1], lam.encode(other).tokens[0], atol=1e-5)


def test_settings_that_were_not_written_down_are_read_off_the_shapes():
    stated = json.loads((GOLDEN / "model_config.json").read_text())["config"]
    tensors = load_file(GOLDEN / "model.safetensors")
    assert released_config({"map_heads": 8, "dino_size": "large"}, tensors) == released_config(stated, tensors)


def test_weights_that_do_not_fit_their_settings_are_refused(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "lam")
    found = json.loads((GOLDEN / "model_config.json").read_text())
    found["config"]["encoder_depth"] = 3
    (tmp_path / "lam" / "model_config.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"do not fit .*encoder\.layers\.2"):
        load_lam(tmp_path / "lam")


def test_a_file_cut_short_is_named(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "lam")
    path = tmp_path / "lam" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model.safetensors: cut short"):
        load_lam(tmp_path / "lam")
    path.unlink()
    with pytest.raises(ValueError, match=r"without model.safetensors"):
        load_lam(tmp_path / "lam")


def test_a_directory_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no model_config.json"):
        load_lam(tmp_path)
    (tmp_path / "model_config.json").write_text(json.dumps({"architecture": "Act", "config": {}}))
    with pytest.raises(ValueError, match="holds a Act, expected a Lam"):
        load_lam(tmp_path)
