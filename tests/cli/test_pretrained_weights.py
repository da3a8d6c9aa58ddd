"""`villa train act` begins with weights that others published, and its runs need their folder no more."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from safetensors.torch import load_file, save_file

from dataengine.texts import whole_episode
from models.act.wrist import Trunk
from models.vlm import pretrained
from models.vlm.config import VlmConfig
from models.vlm.vlm import Vlm
from models.weights import load_act, read_config
from pipelines.evaluation.policy import ActPolicy
from tests.support import forked, tiny_vlm, warm
from tests.support.corpora import draw, make_corpus, robot_episode
from tests.support.served import Server

ROOT = Path(__file__).parents[2]
SHORT = ("--preset", "tiny", "--batch-size", "2", "--val-windows", "2", "--no-use-latent", "--device", "cpu")
LONGER = ("--set", "model.vlm.text_length=18", "--set", "model.vlm.causal=true")
STILL = ("--set", "lr=1e-30", "--set", "weight_decay=0", "--set", "ema_decay=0", "--set", "bf16=false")


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    from pipelines import stats

    corpus = make_corpus(tmp_path_factory.mktemp("lab") / "corpus", {"a": [robot_episode(str(i)) for i in range(4)]})
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    return corpus.uri


@pytest.fixture(scope="module")
def paligemma(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paligemma")
    tiny_vlm.write(folder, "paligemma", shard="60KB", dtype="bfloat16")
    return folder


def train(villa, uri, out, *options):
    return villa("train", "act", uri, *SHORT, "--out", out, "--json", *options)


def weights_of(folder):
    published = pretrained.read(folder)
    vlm = Vlm(VlmConfig(**published.settings))
    pretrained.load(vlm, published)
    return vlm.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["paligemma", "paligemma2", "smolvlm"])
def test_a_policy_begins_with_a_published_model(villa, uri, tmp_path, kind):
    folder = tmp_path / kind
    tiny_vlm.write(folder, kind, shard="60KB", dtype="bfloat16")
    published = weights_of(folder)
    done = train(villa, uri, tmp_path / "act", "--steps", "2", *STILL, "--set", f"vlm={folder}", *LONGER)
    assert done.code == 0, done.err
    assert "model.vlm.text.width is 32 by the pretrained weights, not 128 as in the preset" in done.err
    assert "model.vlm.text_length" not in done.err
    act = load_act(tmp_path / "act")
    assert act.config.expert.num_kv_heads == 2
    assert (act.config.vlm.text_length, act.config.vlm.causal) == (18, True)
    for name, weight in act.vlm.state_dict().items():
        torch.testing.assert_close(weight, published[name], msg=name)
    assert (tmp_path / "act" / "tokenizer.json").read_text() == (folder / "tokenizer.json").read_text()
    shutil.rmtree(folder)
    policy = ActPolicy.load(tmp_path / "act", "cpu")
    ids, mask = policy.tokenizer.encode(["open the drawer"], 6)
    begin = [] if kind == "smolvlm" else [2]
    assert ids[0][mask[0]].tolist()[: len(begin) + 3] == [*begin, 13, 6, 15]
    image, state = draw(np.array([[0.5, 0.5]]))[0], np.zeros(7, np.float32)
    seen = SimpleNamespace(image=image, wrist=None, state=state, embodiment="arm")
    assert policy.act(seen, "open the drawer").shape == (8, 7)


@pytest.mark.slow
def test_published_weights_go_all_the_way_to_a_served_robot(villa, uri, paligemma, tmp_path):
    done = train(villa, uri, tmp_path / "act", "--steps", "2", "--set", f"vlm={paligemma}")
    assert done.code == 0, done.err
    other = make_corpus(tmp_path / "other", {"a": [robot_episode(str(i), embodiment="arm2") for i in range(4)]})
    assert villa("stats", other.uri).code == 0
    options = ("--steps", "2", "--set", "mode=lora", "--set", "lora.rank=2", "--set", "batch_size=2", "--device", "cpu")
    tuned = villa(
        "finetune", tmp_path / "act", other.uri, "--embodiment", "arm2", "--out", tmp_path / "tuned", *options
    )
    assert tuned.code == 0, tuned.err
    before, after = load_act(tmp_path / "act"), load_act(tmp_path / "tuned")
    assert torch.equal(before.vlm.embed.weight, after.vlm.embed.weight)
    episode = other.episode_ids()[0]
    acted = villa("act", tmp_path / "tuned", "--corpus", f"{other.uri}@{episode}", "--device", "cpu", "--json")
    assert acted.code == 0, acted.err
    with Server(tmp_path / "tuned", "--device", "cpu", "--embodiment", "arm2") as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        seen = {"image": draw(np.array([[0.5, 0.5]]))[0], "state": np.zeros(7, np.float32), "prompt": "open the drawer"}
        assert np.isfinite(client.infer(seen)["actions"]).all()


@pytest.mark.slow
def test_a_run_goes_on_without_the_folder(villa, uri, paligemma, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(paligemma, folder)
    options = ("--steps", "4", "--set", f"vlm={folder}", "--set", "checkpoint_every=2")
    whole = train(villa, uri, tmp_path / "whole", *options)
    assert whole.code == 0, whole.err
    first = train(villa, uri, tmp_path / "act", *options, "--set", "max_minutes=1e-9")
    assert first.code == 0, first.err
    shutil.rmtree(folder)
    second = train(villa, uri, tmp_path / "act", *options)
    assert second.code == 0, second.err
    assert second.report["resumed_from"] > 0
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("act", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert read_config(tmp_path / "act")["pretrained"]["vlm"] == str(folder)


@pytest.mark.slow
def test_two_processes_begin_with_the_same_published_weights(uri, paligemma, tmp_path):
    published = weights_of(paligemma)
    argv = ["train", "act", uri, *SHORT, "--out", tmp_path / "act", "--steps", "1", *STILL, "--set", f"vlm={paligemma}"]
    ranks = forked.run(warm.command, *argv, ranks=2)
    assert "".join(rank.stderr for rank in ranks).count("vision-language model: PaliGemma of") == 1
    for name, weight in load_act(tmp_path / "act").vlm.state_dict().items():
        torch.testing.assert_close(weight, published[name], msg=name)


@pytest.mark.slow
def test_the_wrist_camera_begins_with_a_published_resnet(villa, uri, tmp_path):
    torch.manual_seed(1)
    widths = "[8, 8, 8, 16]"
    trunk = Trunk((8, 8, 8, 16)).state_dict()
    torch.save({**trunk, "fc.weight": torch.zeros(1000, 16), "fc.bias": torch.zeros(1000)}, tmp_path / "resnet18.pth")
    save_file(trunk, tmp_path / "resnet18.safetensors")
    wrist = f"model.wrist={{widths: {widths}, num_heads: 2, head_dim: 8, image_size: 32}}"
    for name in ("resnet18.pth", "resnet18.safetensors"):
        out = tmp_path / name.replace(".", "-")
        done = train(
            villa, uri, out, "--steps", "1", *STILL, "--set", f"wrist_weights={tmp_path / name}", "--set", wrist
        )
        assert done.code == 0, done.err
        act = load_act(out)
        for key, weight in act.robot.context.wrist.trunk.named_parameters():
            torch.testing.assert_close(weight, trunk[key], msg=key)


def refused(done):
    assert done.code == 2 or done.code == 1
    assert "Traceback" not in done.err
    lines = [line for line in done.err.strip().splitlines() if line]
    return lines[-1]


@pytest.mark.parametrize("preset", ["paper", "authors", "mine.yaml"])
def test_the_large_preset_needs_pretrained_weights(villa, uri, tmp_path, monkeypatch, preset):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("preset: paper\nbatch_size: 32\n")
    done = villa("train", "act", uri, "--preset", preset, "--out", tmp_path / "act")
    assert f"preset {preset} needs pretrained weights: --set vlm=DIR" in refused(done)
    assert "--set vlm=random" in done.err


def test_a_folder_that_is_not_there_is_told(villa, uri, tmp_path):
    line = refused(train(villa, uri, tmp_path / "act", "--set", f"vlm={tmp_path / 'none'}"))
    assert f"no folder {tmp_path / 'none'}; expected one with config.json and safetensors" in line


def test_an_id_on_the_hub_without_a_network_says_how_to_download_it(villa, uri, tmp_path, monkeypatch):
    import huggingface_hub

    def offline(*args, **kwargs):
        raise OSError("cannot connect\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    line = refused(train(villa, uri, tmp_path / "act", "--set", "vlm=google/paligemma-3b-pt-224"))
    assert "no download of it (OSError: cannot connect); accept its licence on the hub" in line
    assert "`hf download google/paligemma-3b-pt-224 --local-dir DIR` where there is a network, then vlm=DIR" in line


def test_an_id_on_the_hub_is_downloaded(villa, uri, paligemma, tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def download(repo, allow_patterns):
        asked.append((repo, allow_patterns))
        return str(paligemma)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    done = train(villa, uri, tmp_path / "act", "--steps", "1", "--set", "vlm=google/tiny")
    assert done.code == 0, done.err
    assert asked == [("google/tiny", ["*.json"]), ("google/tiny", ["*.json", "*.safetensors"])]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.vlm.text.width=64", "model.vlm.text.width: found 64, expected 32, as the weights of"),
        ("model.vlm.vision.image_size=56", "model.vlm.vision.image_size: found 56, expected 28, as the weights of"),
        ("model.expert.num_layers=5", "model.expert.num_layers: found 5, expected 3, as the weights of"),
    ],
)
def test_a_size_that_the_weights_do_not_have_is_refused(villa, uri, paligemma, tmp_path, setting, message):
    assert message in refused(train(villa, uri, tmp_path / "act", "--set", f"vlm={paligemma}", "--set", setting))


def test_every_size_that_does_not_fit_is_in_the_line(villa, uri, paligemma, tmp_path):
    options = ("--set", "model.vlm.text.width=64", "--set", "model.vlm.vocab_size=99")
    line = refused(train(villa, uri, tmp_path / "act", "--set", f"vlm={paligemma}", *options))
    assert "model.vlm.text.width: found 64, expected 32" in line
    assert "model.vlm.vocab_size: found 99, expected 128" in line


def spoilt(paligemma, tmp_path):
    shutil.copytree(paligemma, tmp_path / "copy")
    return tmp_path / "copy"


def test_weights_that_are_cut_short_are_refused_before_anything_is_written(villa, uri, paligemma, tmp_path):
    folder = spoilt(paligemma, tmp_path)
    shard = sorted(folder.glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-4])
    line = refused(train(villa, uri, tmp_path / "act", "--set", f"vlm={folder}"))
    assert f"{shard}: cut short" in line
    assert not (tmp_path / "act" / "checkpoints").exists()


def test_a_tokenizer_that_does_not_fit_is_refused(villa, uri, paligemma, tmp_path):
    folder = spoilt(paligemma, tmp_path)
    tiny_vlm.write_tokenizer(folder, image_id=120)
    line = refused(train(villa, uri, tmp_path / "act", "--set", f"vlm={folder}"))
    assert "tokenizer.json: <image> is token 120, expected 127 as config.json of" in line
    tiny_vlm.write_tokenizer(folder, image_id=500)
    line = refused(train(villa, uri, tmp_path / "act", "--set", f"vlm={folder}"))
    assert "tokenizer.json has 501 tokens, the model has room for 128" in line
    (folder / "tokenizer.json").unlink()
    line = refused(train(villa, uri, tmp_path / "act", "--set", f"vlm={folder}"))
    assert f"{folder}: no tokenizer.json, without which its words mean nothing" in line


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("pickled-code-ran"),))


def test_a_file_for_the_wrist_that_holds_code_is_not_run(villa, uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Code()}, tmp_path / "evil.pth")
    wrist = "model.wrist={widths: [8, 8, 8, 16], num_heads: 2, head_dim: 8, image_size: 32}"
    line = refused(train(villa, uri, tmp_path / "act", "--set", "wrist_weights=evil.pth", "--set", wrist))
    assert "evil.pth: damaged, or holds more than tensors" in line
    assert not (tmp_path / "pickled-code-ran").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file; expected weights of a ResNet-18"),
        (lambda path: path.write_bytes(b"nothing"), "r18.pth: "),
        (lambda path: torch.save([1], path), "holds a list, expected weights by name"),
        (lambda path: torch.save({"x": torch.zeros(1)}, path), "no weight conv1.weight; expected those of a ResNet-18"),
        (
            lambda path: torch.save(Trunk((4, 8, 8, 16)).state_dict(), path),
            "conv1.weight: found floats [4, 3, 7, 7], expected floats [8, 3, 7, 7] by model.wrist",
        ),
    ],
)
def test_what_is_wrong_with_a_file_for_the_wrist_is_said_in_a_line(villa, uri, tmp_path, make, message):
    make(tmp_path / "r18.pth")
    wrist = "model.wrist={widths: [8, 8, 8, 16], num_heads: 2, head_dim: 8, image_size: 32}"
    line = refused(
        train(villa, uri, tmp_path / "act", "--set", f"wrist_weights={tmp_path / 'r18.pth'}", "--set", wrist)
    )
    assert message in line


def test_weights_for_a_wrist_that_is_not_there_are_refused(villa, uri, tmp_path):
    line = refused(train(villa, uri, tmp_path / "act", "--set", f"wrist_weights={tmp_path / 'r18.pth'}"))
    assert "this preset has no wrist encoder" in line


def test_a_long_instruction_is_told(villa, paligemma, tmp_path):
    texts = whole_episode([" ".join(["cube"] * 40)], 30)
    corpus = make_corpus(tmp_path / "corpus", {"a": [replace(robot_episode(str(i)), texts=texts) for i in range(3)]})
    assert villa("stats", corpus.uri).code == 0
    done = train(villa, corpus.uri, tmp_path / "act", "--steps", "1", "--set", f"vlm={paligemma}")
    assert done.code == 0, done.err
    assert done.err.count("loses its end, the model reads 16") == 1
    assert json.loads((tmp_path / "act" / "model_config.json").read_text())["config"]["vlm"]["text_length"] == 16
