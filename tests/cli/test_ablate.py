"""`villa ablate`: what is trained once, what is compared, what goes on."""

import json

import pytest

from tests.support.corpora import human_clip, make_corpus, robot_episode

TINY = {
    "lam": "{steps: 2, batch_size: 2, val_windows: 2, val_fraction: 0}",
    "act": "{steps: 2, batch_size: 2, val_windows: 2, val_fraction: 0}",
    "evaluation": "{max_steps: 4}",
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
    late = "{max_steps: 4, inference_delay: 4, action_steps: 60}"  # needs longer chunks, which the policy tells
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
