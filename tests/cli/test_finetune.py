"""A trained policy goes on with a robot that it never saw, and says what became of its weights."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dataengine.store import Corpus
from pipelines.evaluation.policy import ActPolicy
from pipelines.evaluation.simulators._base import Observation
from tests.support import warm
from tests.support.corpora import draw, frames_of, human_clip, make_corpus, robot_episode
from tests.support.lams import make_lam

QUICK = ("--batch-size", 4, "--log-every", 1, "--val-windows", 4, "--val-every", 0, "--device", "cpu", "--json")


def other_robot(record: str):
    """A robot of five numbers at 20 Hz."""
    plain = robot_episode(record, dataset="bench", embodiment="five", control_hz=20.0)
    return replace(
        plain, state=plain.state[:, :5].copy(), action=plain.action[:, :5].copy(), state_encoding="joint_position",
        action_encoding="joint_position",
    )  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A policy of two robots and people, and a corpus of a third robot, labelled by one model; some other things."""
    from cli.app import app
    from cli.contract import invoke

    root = tmp_path_factory.mktemp("finetune")

    def villa(*argv: object) -> None:
        assert invoke(app, [str(word) for word in argv]) == 0, argv

    first = [robot_episode(f"a{i}") for i in range(5)]
    second = [robot_episode(f"b{i}", dataset="fast", embodiment="arm2", control_hz=20.0) for i in range(3)]
    corpus = make_corpus(root / "seen", {"a": first, "b": second, "c": [human_clip("h", dataset="kitchen")]})
    jpegs = corpus.jpegs("primary", [(corpus.episode_ids()[0], i) for i in range(30)])
    for i, name in enumerate(("lam", "other_lam")):
        make_lam(root / name, jpegs, seed=i)
    new = [other_robot(f"n{i}") for i in range(5)]
    more = [robot_episode(f"m{i}", dataset="more", step_m=0.09) for i in range(4)]
    clips = [human_clip(f"h{i}", dataset="videos") for i in range(2)]
    make_corpus(root / "new", {"n": new, "m": more, "h": clips})
    make_corpus(root / "elsewhere", {"n": new})
    for name, lam in (("seen", "lam"), ("new", "lam"), ("elsewhere", "other_lam")):
        villa("stats", root / name)
        villa("label", root / name, "--lam", root / lam, "--name", "base")
    villa("train", "act", root / "seen", "--out", root / "act", "--steps", 2, *QUICK)
    return root


def tune(villa, lab: Path, out: Path, *argv: object, data: str = "new", embodiment: str = "five", steps: int = 3):
    return villa(
        *("finetune", lab / "act", lab / data, "--embodiment", embodiment, "--out", out, "--steps", steps),
        *(*QUICK, *argv),
    )


def losses(out: Path) -> list[tuple]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines]


def part(report, name: str) -> dict:
    (weights,) = (p for p in report["warm_start"]["parts"] if p["part"] == name)
    return weights


def observation(embodiment: str, dim: int, hz: float) -> Observation:
    return Observation(
        image=draw(np.array([[0.4, 0.6]]))[0],
        raw_state=np.zeros(dim, np.float32),
        state=np.full(dim, 0.5, np.float32),
        embodiment=embodiment,
        control_hz=hz,
    )


@pytest.mark.slow
def test_a_robot_that_was_never_seen_gets_heads_and_rows_and_all_else_is_loaded(villa, lab, tmp_path):
    said = tune(villa, lab, tmp_path / "tuned", "--embodiment", "human_hand")
    assert said.code == 0, said.err
    report = said.report
    start = report["warm_start"]
    assert (start["new_embodiments"], start["new_datasets"]) == (["five"], ["bench", "videos"])
    assert start["statistics"] == {"five": "measured"}
    before, after = (load_file(folder / "model.safetensors") for folder in (lab / "act", tmp_path / "tuned"))
    width = before["robot.context.dataset.weight"].shape[1]
    assert part(report, "robot.context")["extended"] == 2 * width
    assert part(report, "robot.context.state")["new"] == 5 * width + width
    decoder = part(report, "robot.decoder")
    assert decoder["new"] == 5 * width + 5
    assert decoder["loaded"] == sum(v.numel() for k, v in before.items() if k.startswith("robot.decoder."))
    assert all(p["loaded"] for p in start["parts"])
    assert sum(p["loaded"] for p in start["parts"]) == sum(v.numel() for v in before.values())
    assert sum(p["loaded"] + p["extended"] + p["new"] for p in start["parts"]) == sum(v.numel() for v in after.values())
    assert "begins from" in said.err
    assert "new embodiments: five" in said.err
    policy = ActPolicy.load(tmp_path / "tuned")
    assert policy.acts_as_in("five") == "bench"
    for name, dim, hz in (("five", 5, 20.0), ("arm", 7, 10.0), ("arm2", 7, 20.0)):
        assert policy.act(observation(name, dim, hz), "do a1").shape == (8, dim)


@pytest.mark.slow
def test_rows_of_what_is_not_trained_now_stay_and_old_robots_keep_their_numbers(villa, lab, tmp_path):
    assert tune(villa, lab, tmp_path / "tuned", "--weight-decay", 0, "--ema-decay", 0).code == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (lab / "act", tmp_path / "tuned"))
    for name in before:
        if ".bodies." in name:
            assert torch.equal(before[name], after[name]), name
    table = "robot.context.dataset.weight"
    rows = len(before[table])
    assert torch.equal(before[table], after[table][:rows])
    assert not torch.equal(after[table][rows], before[table][1:].mean(0))  # it began there and has learnt
    known, tuned = (ActPolicy.load(folder).bodies for folder in (lab / "act", tmp_path / "tuned"))
    assert {name: tuned[name] for name in known} == known


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argv", "origin", "same"),
    [((), "reused", True), (("--set", "statistics=recompute"), "recomputed", False)],
)
def test_statistics_of_a_known_robot_are_kept_or_measured_anew(villa, lab, tmp_path, argv, origin, same):
    said = tune(villa, lab, tmp_path / "tuned", *argv, embodiment="arm")
    assert said.code == 0, said.err
    assert said.report["warm_start"]["statistics"] == {"arm": origin}
    assert said.report["warm_start"]["new_embodiments"] == []
    before, after = (ActPolicy.load(folder).normalizer for folder in (lab / "act", tmp_path / "tuned"))
    scales = [n.normalize("arm", "action", np.full((1, 7), 0.02), "more") for n in (before, after)]
    assert np.array_equal(*scales) == same
    np.testing.assert_array_equal(
        *(n.normalize("arm", "action", np.full((1, 7), 0.02), "made") for n in (before, after))
    )


@pytest.mark.slow
def test_heads_of_a_known_robot_begin_anew_where_that_is_asked_for(villa, lab, tmp_path):
    said = tune(villa, lab, tmp_path / "tuned", "--new-heads", embodiment="arm")
    assert said.code == 0, said.err
    assert part(said.report, "robot.decoder")["new"] == 7 * 128 + 7
    kept = tune(villa, lab, tmp_path / "kept", embodiment="arm")
    assert part(kept.report, "robot.decoder")["new"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "stays", "moves"),
    [
        ("full", (), ("vlm.vision.", "vlm.stack.", "latent.stack.", "robot.stack.")),
        ("frozen_vision", ("vlm.vision.",), ("vlm.stack.", "latent.stack.", "robot.stack.")),
        ("frozen_vlm", ("vlm.",), ("latent.stack.", "robot.stack.")),
    ],
)
def test_a_mode_moves_what_it_says(villa, lab, tmp_path, mode, stays, moves):
    said = tune(villa, lab, tmp_path / "tuned", "--mode", mode, "--ema-decay", 0)
    assert said.code == 0, said.err
    assert said.report["mode"] == mode
    before, after = (load_file(folder / "model.safetensors") for folder in (lab / "act", tmp_path / "tuned"))
    for start in stays:
        assert all(torch.equal(before[n], after[n]) for n in before if n.startswith(start))
    for start in moves:
        assert not all(torch.equal(before[n], after[n]) for n in before if n.startswith(start))
    assert (said.report["trained"] == said.report["parameters"]) == (mode == "full")


@pytest.mark.slow
def test_adapters_end_as_plain_weights_that_serve_and_are_fine_tuned_again(villa, lab, tmp_path):
    argv = ("--mode", "lora", "--lora.rank", 4, "--lora.targets", "language,robot", "--ema-decay", 0)
    said = tune(villa, lab, tmp_path / "tuned", *argv)
    assert said.code == 0, said.err
    before, after = (load_file(folder / "model.safetensors") for folder in (lab / "act", tmp_path / "tuned"))
    assert not [name for name in after if "lora" in name]
    changed = [
        name for name in before if name in after and not torch.equal(before[name], after[name][: len(before[name])])
    ]
    assert {name.split(".blocks.")[0] for name in changed if ".blocks." in name} == {"vlm.stack", "robot.stack"}
    assert not [name for name in changed if name.startswith(("latent.", "vlm.vision.", "vlm.embed."))]
    assert said.report["trained"] < 0.5 * said.report["parameters"]
    part_way = ActPolicy.load(tmp_path / "tuned" / "checkpoints" / "step-00000003")
    seen = observation("five", 5, 20.0)
    np.testing.assert_allclose(
        part_way.act(seen, "do n1"), ActPolicy.load(tmp_path / "tuned").act(seen, "do n1"), atol=1e-5
    )
    again = villa(
        *("finetune", tmp_path / "tuned", lab / "new", "--embodiment", "five", "--out", tmp_path / "again"),
        *("--steps", 1, *QUICK),
    )
    assert again.code == 0, again.err
    assert again.report["warm_start"]["new_embodiments"] == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "lora"])
def test_a_stopped_fine_tuning_goes_on_to_the_same_losses(villa, lab, tmp_path, mode):
    argv = ("--mode", mode, "--checkpoint-every", 2, "--schedule", "constant")
    whole = tune(villa, lab, tmp_path / "whole", *argv, steps=4)
    assert whole.code == 0, whole.err
    for steps in (2, 4):  # a finished run is taken further
        said = tune(villa, lab, tmp_path / "stopped", *argv, steps=steps)
        assert said.code == 0, said.err
    assert said.report["resumed_from"] == 2
    assert losses(tmp_path / "whole") == losses(tmp_path / "stopped")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


KILLED = """
import os, signal, sys, time
from pathlib import Path

from models.act import Act
from pipelines.training.finetune.config import FinetuneConfig
from pipelines.training.finetune.finetune import run

begin_step = Act.begin_step

def die(self, step, num_steps):
    if step == 3:
        while not Path(out, "checkpoints", "step-00000002").exists():  # it is written while training goes on
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return begin_step(self, step, num_steps)

Act.begin_step = die
lab, out, embodiment, mode, new_heads = sys.argv[1:]
run(FinetuneConfig(checkpoint=lab + "/act", data=lab + "/new", embodiments=(embodiment,), out=out, mode=mode, steps=4,
                   new_heads=new_heads == "True", batch_size=4, log_every=1, val_windows=4, val_every=0, device="cpu",
                   checkpoint_every=2))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "embodiment", "new_heads"),
    [("full", "five", False), ("lora", "five", False), ("full", "arm", True), ("lora", "arm", True)],
)
def test_a_killed_fine_tuning_goes_on_to_the_same_losses(villa, lab, tmp_path, mode, embodiment, new_heads):
    """In every mode, with heads of a new robot and with those of a known one begun anew."""
    killed = warm.Program(KILLED, lab, tmp_path / "killed", embodiment, mode, new_heads).ended()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    for name in ("killed", "whole"):
        argv = ("--mode", mode, "--checkpoint-every", 2, *(["--new-heads"] if new_heads else []))
        said = tune(villa, lab, tmp_path / name, *argv, embodiment=embodiment, steps=4)
        assert said.code == 0, said.err
        assert said.report["resumed_from"] == (2 if name == "killed" else 0)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_a_run_is_not_continued_from_other_weights(villa, lab, tmp_path):
    assert tune(villa, lab, tmp_path / "tuned", steps=1).code == 0
    taken = villa("train", "act", lab / "seen", "--out", tmp_path / "tuned", "--steps", 1, *QUICK)
    assert "found the output of `villa finetune`" in taken.err
    other = tmp_path / "other"
    assert villa("train", "act", lab / "seen", "--out", other, "--steps", 1, "--seed", 5, *QUICK).code == 0
    argv = ("--embodiment", "five", "--out", tmp_path / "tuned", "--steps", 2, *QUICK)
    said = villa("finetune", other, lab / "new", *argv)
    assert said.code == 2
    assert "checkpoint" in said.err
    moved = tmp_path / "moved"
    shutil.copytree(lab / "act", moved)
    assert villa("finetune", moved, lab / "new", *argv).code == 0


@pytest.mark.slow
def test_instructions_that_lose_their_end_are_announced_with_the_setting_that_reads_them(villa, lab, tmp_path):
    argv = ("--set", "model.vlm.text_length=2")
    said = tune(villa, lab, tmp_path / "short", *argv, steps=1)
    assert said.code == 0, said.err
    (line,) = (line for line in said.err.splitlines() if line.startswith("instructions have up to"))
    setting = line.partition("--set ")[2].split()[0]
    whole = tune(villa, lab, tmp_path / "whole", "--set", setting, steps=1)
    assert whole.code == 0, whole.err
    assert "loses its end" not in whole.err


@pytest.mark.slow
def test_two_arms_with_a_wrist_camera_each_go_on_from_a_policy_that_plans_nothing_and_has_one_view(villa, tmp_path):
    made = make_corpus(tmp_path / "seen", {"a": [robot_episode(f"a{i}") for i in range(3)]})
    noise = np.random.default_rng(0)
    arms = []
    for i in range(3):
        plain = robot_episode(f"t{i}", dataset="bench", embodiment="two_arms")
        views = {slot: frames_of(noise.integers(0, 255, (30, 32, 32, 3), np.uint8)) for slot in ("wrist", "wrist_2")}
        both = {name: np.tile(getattr(plain, name), 2) for name in ("state", "action")}
        arms.append(replace(plain, cameras={**plain.cameras, **views}, **both))
    two = make_corpus(tmp_path / "new", {"t": arms})
    for corpus in (made, two):
        assert villa("stats", corpus.uri).code == 0
    assert villa("train", "act", made.uri, "--out", tmp_path / "act", "--no-use-latent", "--steps", 1, *QUICK).code == 0
    said = villa(
        *("finetune", tmp_path / "act", two.uri, "--embodiment", "two_arms", "--out", tmp_path / "tuned", "--steps", 2),
        *("--set", "model.wrist={widths: [4, 4, 8, 8], num_heads: 2, head_dim: 8, num_tokens: 2}"),
        *("--set", "model.more_cameras=[wrist_2]", *QUICK),
    )
    assert said.code == 0, said.err
    assert said.report["cameras"] == ["primary", "wrist", "wrist_2"]
    assert part(said.report, "robot.context")["new"] > 0
    policy = ActPolicy.load(tmp_path / "tuned")
    seen = observation("two_arms", 14, 10.0)
    black, white = (np.full((32, 32, 3), level, np.uint8) for level in (0, 255))
    dark, bright = (policy.act(replace(seen, wrist=black, wrist_2=view), "do t1") for view in (black, white))
    assert dark.shape == (8, 14)
    assert not np.allclose(dark, bright)


def refused(villa, *argv: object) -> str:
    said = villa(*(word for word in argv if word != "--json"))
    assert said.code == 2, said.err
    return said.line


@pytest.mark.slow
def test_what_cannot_be_fine_tuned_is_one_line(villa, lab, tmp_path):
    def line(checkpoint, data="new", embodiment="five", *more):
        argv = ("--embodiment", embodiment, "--out", tmp_path / "no", "--steps", 1, *QUICK, *more)
        return refused(villa, "finetune", checkpoint, lab / data, *argv)

    assert "no episode of embodiment 'fiev'; did you mean 'five'?" in line(lab / "act", embodiment="fiev")
    assert "no episode of embodiment 'arm2'; " in line(lab / "act", embodiment="arm2")
    assert "human_hand is no robot, expected one beside it" in line(lab / "act", embodiment="human_hand")
    assert "the policy plans latent actions of model" in line(lab / "act", "elsewhere")
    assert "villa label" in line(lab / "act", "elsewhere")
    assert "no latent actions 'bsae', found 'base' of" in line(lab / "act", "new", "five", "--latent", "bsae")
    assert "no policy there" in line(tmp_path)
    assert "model.lora is set by mode=lora" in line(lab / "act", "new", "five", "--set", "model.lora={rank: 2}")
    assert "leave out the settings `model.*`" in line(lab / "act", "new", "five", "--set", "model.expert.mlp_width=64")
    missing = refused(villa, "finetune", lab / "act", lab / "new", "--out", tmp_path / "no")
    assert "'embodiments' is missing; give --embodiment" in missing
    broken = tmp_path / "broken"
    shutil.copytree(lab / "act", broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "cut short or no safetensors file" in line(broken)
    shutil.copy(lab / "act" / "model.safetensors", weights)
    about = json.loads((broken / "model_config.json").read_text())
    (broken / "model_config.json").write_text(json.dumps({k: v for k, v in about.items() if k != "statistics"}))
    assert "has no statistics; copy it again" in line(broken)
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_a_dry_run_tells_what_is_trained_and_writes_nothing(villa, lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = ("finetune", lab / "act", lab / "new", "--embodiment", "five", "--batch-size", 4, "--dry-run", "--json")
    whole = villa(*argv)
    assert (whole.code, list(tmp_path.iterdir())) == (0, [])
    assert [one["dataset"] for one in whole.report["datasets"]] == ["bench"]
    weights = load_file(lab / "act" / "model.safetensors")
    assert whole.report["parameters"] > sum(v.numel() for v in weights.values())  # a robot of its own
    adapted = villa(*argv, "--mode", "lora").report
    assert adapted["trained_parameters"] < whole.report["trained_parameters"] < adapted["parameters"]
    assert adapted["memory"]["optimizer"] < whole.report["memory"]["optimizer"]
    assert villa(*argv, "--gpu-memory-gb", 0.001).code == 1
    assert "--gpus goes with --dry-run" in villa(*argv[:-2], "--out", tmp_path / "tuned", "--gpus", 2).line


def test_a_state_that_is_no_number_never_comes_in(tmp_path):
    from dataengine.episode import Part
    from dataengine.store import Staging, stage_part
    from dataengine.store.registry import register

    corpus = Corpus.create(tmp_path / "corpus")
    bad = other_robot("n0")
    bad.state[3, 1] = np.nan
    rows = {"dataset_ids": register(corpus.uri, "datasets", [{"name": "bench"}])}
    rows["embodiment_ids"] = register(corpus.uri, "embodiments", [{"name": "five"}])
    staged = Part(dataset="bench", name="n", uri="memory", num_bytes=1, fingerprint="n", options={})
    receipt = stage_part(staged, [bad], Staging(corpus=corpus.uri, run_id="test", **rows))
    assert "state is not finite at step 3" in str(receipt.rejects[0])
