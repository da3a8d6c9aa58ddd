"""`villa ablate`: what is trained once, what is compared, what goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.corpora import human_clip, make_corpus, robot_episode

TINY = {
    "lam": "{steps: 2, batch_size: 2, val_windows: 2, val_fraction: 0}",
    "act": "{steps: 2, batch_size: 2, val_windows: 2, val_fraction: 0}",
    "evaluation": "{max_steps: 4, accept: [range]}",
}


@pytest.fixture
def corpus(tmp_path, villa):
    episodes = [
        robot_episode(str(i), dataset="openx/metaworld", embodiment="sawyer", control_hz=20.0) for i in range(3)
    ]
    make_corpus(tmp_path / "corpus", {"a": episodes, "b": [human_clip("wave", control_hz=20.0)]})
    assert villa("stats", tmp_path / "corpus").code == 0
    return str(tmp_path / "corpus")


def arguments(corpus, out, **changes):
    sets = [word for key, value in {**TINY, **changes}.items() for word in ("--set", f"{key}={value}")]
    return ("--corpus", corpus, "--out", out, "--seeds", 1, "--episodes", 2, *sets)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": "[windw-close]"}, "no task 'windw-close'; did you mean 'window-close'?"),
        ({"evaluation": "{max_stepz: 4}"}, "evaluation: max_stepz: Extra inputs are not permitted"),
        ({"evaluation": "{episodes: 4}"}, "'episodes' is decided by --episodes; leave it out here"),
        ({"act": "{seed: 4}"}, "'seed' is decided by --seeds; leave it out here"),
    ],
)
def test_how_policies_are_played_is_looked_at_before_one_is_trained(tmp_path, villa, corpus, changes, said):
    refused = villa("ablate", "wo-latent", *arguments(corpus, tmp_path / "out", **changes))
    assert refused.code == 2
    assert said in refused.line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_ablation_that_ended_early_goes_on_and_takes_no_training_of_other_settings_for_its_own(
    tmp_path, villa, corpus
):
    late = "{max_steps: 4, inference_delay: 4, action_steps: 60, accept: [range]}"  # longer than chunks
    assert villa("ablate", "wo-latent", *arguments(corpus, tmp_path / "out", evaluation=late)).code == 2
    policy = tmp_path / "out" / "policies" / "wo-latent-0" / "model.safetensors"
    stamp = policy.stat().st_mtime_ns
    done = villa("ablate", "wo-latent", *arguments(corpus, tmp_path / "out", tasks="[window-close]"))
    assert done.code == 0, done.err
    assert policy.stat().st_mtime_ns == stamp
    other = TINY["act"].replace("{", "{lr: 0.5, ")
    refused = villa("ablate", "wo-latent", *arguments(corpus, tmp_path / "out", act=other, tasks="[window-close]"))
    assert refused.code == 2
    assert "holds a run with other settings or data" in refused.err
    assert "lr: 0.002 -> 0.5" in refused.err


@pytest.mark.slow
def test_an_ablation_trains_plays_compares_and_goes_on(tmp_path, villa, corpus):
    arms = ("wo-latent", "villa-x", "hidden")
    argv = ("ablate", *arms, *arguments(corpus, tmp_path / "out", tasks="[window-close]"), "--json")
    done = villa(*argv)
    assert done.code == 0, done.err
    report = done.report
    assert [arm["arm"] for arm in report["arms"]] == ["wo-latent", "villa-x", "hidden"]
    assert all(len(arm["by_seed"]) == 1 and arm["episodes"] == 2 for arm in report["arms"])
    assert report["arms"][0]["difference"] is None
    assert report["arms"][1]["difference_low"] <= report["arms"][1]["difference"]
    assert len(list((tmp_path / "out" / "lams").iterdir())) == 1  # two arms share it
    page = (tmp_path / "out" / "index.html").read_text()
    assert "wo-latent" in page
    assert "58.5 %" in page
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("model.safetensors")}
    (tmp_path / "out" / "policies" / "hidden-0" / "report.json").unlink()  # as if killed before its end
    again = villa(*argv)
    assert again.code == 0, again.err
    assert again.report["arms"] == report["arms"]
    kept = {p for p, stamp in stamps.items() if p.stat().st_mtime_ns == stamp}
    assert stamps.keys() - kept == {tmp_path / "out" / "policies" / "hidden-0" / "model.safetensors"}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["reference"] == "wo-latent"


ROOT = Path(__file__).parents[2]
LONGER = {
    "lam": "{steps: 12, batch_size: 2, val_windows: 2, val_fraction: 0, checkpoint_every: 3, log_every: 1}",
    "act": "{steps: 12, batch_size: 2, val_windows: 2, val_fraction: 0, checkpoint_every: 3, log_every: 1}",
    "evaluation": "{max_steps: 8, accept: [range]}",
    "tasks": "[window-close, faucet-close]",
}


def has_logged(metrics, *, step):
    """Whether a training is beyond a step, and so has a checkpoint of it or the one before."""
    return metrics.exists() and len(metrics.read_text().splitlines()) > step


def kill_when(reached, argv):
    """Run a command in a process of its own until something is there, then end it as the kernel would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cli", *map(str, argv)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not reached():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.slow
def test_an_ablation_that_is_killed_in_each_of_its_acts_ends_as_if_it_never_had_been(tmp_path, villa, corpus):
    def argv(out):
        return ("ablate", "wo-latent", "villa-x", *arguments(corpus, out, **LONGER), "--json")

    out = tmp_path / "killed"
    second = out / "policies" / "villa-x-0"
    moments = [
        lambda: any(has_logged(path, step=6) for path in out.glob("lams/*/metrics.jsonl")),
        lambda: has_logged(second / "metrics.jsonl", step=6),
        lambda: any(out.glob("evaluations/*/results/*.json")),
    ]
    for moment in moments:
        kill_when(moment, argv(out))
    first = out / "policies" / "wo-latent-0" / "model.safetensors"
    stamp = first.stat().st_mtime_ns
    killed, whole = (villa(*argv(tmp_path / name)) for name in ("killed", "whole"))
    assert (killed.code, whole.code) == (0, 0), killed.err + whole.err
    assert killed.report["arms"] == whole.report["arms"]
    assert first.stat().st_mtime_ns == stamp
    assert json.loads((second / "report.json").read_text())["resumed_from"] >= 3
    for name in ("policies/wo-latent-0", "policies/villa-x-0"):
        ours, theirs = (load_file(tmp_path / run / name / "model.safetensors") for run in ("killed", "whole"))
        assert all((ours[key] == theirs[key]).all() for key in ours)
