"""The published checkpoint's format, and what its authors' code computes with one in miniature."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.lam import Lam, LamConfig
from models.layers.sinusoid import sincos_1d, sincos_2d
from models.weights import load_lam, released_config, save_released_lam

GOLDEN = Path(__file__).parent / "golden_lam"
SMALL = {
    **{"resolution": 28, "encoder_depth": 1, "encoder_width": 48, "encoder_heads": 4, "map_heads": 4},
    **{"decoder_depth": 1, "decoder_width": 48, "decoder_heads": 4, "latent_dim": 8},
}


@pytest.fixture(scope="module")
def lam() -> Lam:
    return load_lam(GOLDEN)


@pytest.fixture(scope="module")
def vectors() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "vectors.safetensors")


@pytest.mark.parametrize("num_frames", [5, 8, 11])
def test_latents_are_those_of_the_authors(lam, vectors, num_frames):
    encoded = lam.encode(vectors[f"video_{num_frames}"])
    assert (encoded.tokens - vectors[f"tokens_{num_frames}"].squeeze(2)).abs().max() < 1e-4
    assert torch.equal(encoded.codes.flatten(), vectors[f"indices_{num_frames}"])
    assert torch.allclose(encoded.quantized.flatten(2), vectors[f"vq_tokens_{num_frames}"].squeeze(2), atol=1e-6)


@pytest.mark.parametrize("num_frames", [5, 8, 11])
def test_rendered_frames_are_those_of_the_authors(lam, vectors, num_frames):
    latent = vectors[f"vq_tokens_{num_frames}"].view(-1, 4, 16)
    predicted = lam.render(vectors[f"video_{num_frames}"][:-1], latent)
    # they cut fractions off, we round
    assert (predicted.int() - vectors[f"rendered_{num_frames}"].int()).abs().max() <= 1


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
    shapes = {name: tuple(t.shape) for name, t in load_file(GOLDEN / "model.safetensors").items()}
    assert released_config({"map_heads": 8, "dino_size": "large"}, shapes) == released_config(stated, shapes)


def test_weights_that_do_not_fit_their_settings_are_refused(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "lam")
    content = json.loads((GOLDEN / "model_config.json").read_text())
    content["config"]["encoder_depth"] = 3
    (tmp_path / "lam" / "model_config.json").write_text(json.dumps(content))
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
    with pytest.raises(ValueError, match="holds a policy, expected a latent action model; give a folder"):
        load_lam(tmp_path)


def test_exported_and_read_again_it_is_the_released_checkpoint(lam, tmp_path):
    save_released_lam(lam, tmp_path / "lam")
    stored, written = (load_file(path / "model.safetensors") for path in (GOLDEN, tmp_path / "lam"))
    assert stored.keys() == written.keys()
    assert all(torch.equal(stored[name], written[name]) for name in stored)
    theirs, ours = (json.loads((path / "model_config.json").read_text()) for path in (GOLDEN, tmp_path / "lam"))
    assert (ours["architecture"], ours["config"]) == (theirs["architecture"], theirs["config"])
    assert load_lam(tmp_path / "lam").config == lam.config


def test_a_model_of_ours_keeps_its_latents_and_its_spacing_in_the_released_format(tmp_path):
    torch.manual_seed(0)
    own = Lam(LamConfig(**SMALL, interval_s=0.4)).eval()
    save_released_lam(own, tmp_path)
    back = load_lam(tmp_path)
    video = torch.randint(0, 256, (5, 3, 40, 30), dtype=torch.uint8)
    assert torch.equal(back.encode(video).tokens, own.encode(video).tokens)
    assert (back.config.interval_s, back.proprio) == (0.4, None)


def test_a_model_that_the_released_format_cannot_hold_is_not_written(tmp_path):
    own = Lam(LamConfig(**SMALL, pooling="difference", residual_output=True))
    with pytest.raises(ValueError, match=r"cannot hold pooling=difference, residual_output=True; train with"):
        save_released_lam(own, tmp_path / "lam")
    assert not (tmp_path / "lam").exists()


def test_keys_that_nobody_here_knows_are_passed_over(tmp_path, lam):
    shutil.copytree(GOLDEN, tmp_path / "lam")
    content = json.loads((GOLDEN / "model_config.json").read_text())
    content["config"] |= {"dino_size": "large", "decoder_depth": None}
    (tmp_path / "lam" / "model_config.json").write_text(json.dumps({**content, "licence": "MIT"}))
    assert load_lam(tmp_path / "lam").config == lam.config


def test_weights_of_something_else_are_told_by_the_tensor_they_lack(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "lam")
    save_file({"linear.weight": torch.zeros(2, 2)}, tmp_path / "lam" / "model.safetensors")
    with pytest.raises(ValueError, match=r"no tensor encoder\.embed\.proj\.weight"):
        load_lam(tmp_path / "lam")


def test_settings_that_cannot_be_are_said_in_one_line(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "lam")
    (tmp_path / "lam" / "model_config.json").write_text(json.dumps({"architecture": "IgorModel", "config": {}}))
    with pytest.raises(ValueError, match=r"lam: map width 64 must be a multiple of 4 and of its 24 heads$"):
        load_lam(tmp_path / "lam")


@pytest.mark.parametrize("num_frames", [1, 2, 8, 9, 30])
def test_a_clip_of_any_length_has_a_latent_for_each_pair(lam, num_frames):
    video = torch.randint(0, 256, (num_frames, 3, 20, 30), dtype=torch.uint8)
    encoded = lam.encode(video)
    assert encoded.tokens.shape == (1, num_frames - 1, 64)
    assert encoded.quantized.shape == (1, num_frames - 1, 4, 16)
    assert encoded.codes.shape == (1, num_frames - 1, 4)


def test_a_clip_too_long_for_one_pass_reads_like_its_pieces(lam):
    video = torch.randint(0, 256, (2, 90, 3, 20, 30), dtype=torch.uint8)
    whole = lam.encode(video).tokens
    for begin in (0, 25, 60):
        piece = lam.encode(video[:, begin : begin + 30]).tokens
        context = 6 if begin else 0  # places whose window began before the piece
        assert torch.allclose(whole[:, begin + context : begin + 29], piece[:, context:], atol=1e-5)
