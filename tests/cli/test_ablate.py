"""`villa ablate`: what is trained once, what is compared, what goes on."""

import json

import pytest

from tests.support.corpora import human_clip, make_corpus, robot_episode

TINY = {
    "lam": "{steps: 2, batch_size: 2, val_windows: 2, val_fraction: 0}",
    "act": "{steps: 2, batch_size: 2, val_windows: 2, val_fraction: 0}",
    "evaluation": "{max_steps: 4}",
}


@pytest.mark.slow
def test_an_ablation_trains_plays_compares_and_goes_on(tmp_path, villa):
    episodes = [
        robot_episode(str(i), dataset="openx/metaworld", embodiment="sawyer", control_hz=20.0) for i in range(3)
    ]
    make_corpus(tmp_path / "corpus", {"a": episodes, "b": [human_clip("wave", control_hz=20.0)]})
    corpus = str(tmp_path / "corpus")
    assert villa("stats", corpus).code == 0
    sets = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    words = ("ablate", "wo-latent", "villa-x", "hidden", "--corpus", corpus, "--out", tmp_path / "out", "--seeds", 1)
    words = (*words, "--task", "window-close", "--episodes", 2, *sets, "--json")
    done = villa(*words)
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
    again = villa(*words)
    assert again.code == 0, again.err
    assert again.report["arms"] == report["arms"]
    kept = {p for p, stamp in stamps.items() if p.stat().st_mtime_ns == stamp}
    assert stamps.keys() - kept == {tmp_path / "out" / "policies" / "hidden-0" / "model.safetensors"}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["reference"] == "wo-latent"
