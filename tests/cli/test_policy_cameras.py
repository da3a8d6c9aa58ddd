"""A training says which cameras the policy reads, which the data has beside them, and how to have it read them."""

import shlex
from dataclasses import replace

import numpy as np
import pytest

from tests.support.corpora import frames_of, make_corpus, robot_episode

SHORT = ("--preset", "tiny", "--steps", "1", "--batch-size", "2", "--val-windows", "2", "--no-use-latent")


@pytest.fixture
def lab(villa, tmp_path):
    """Five episodes of three cameras; one has no wrist camera."""
    noise = np.random.default_rng(0)
    episodes = [robot_episode(str(i), num_steps=12) for i in range(5)]
    others = {slot: frames_of(noise.integers(0, 255, (12, 32, 32, 3), np.uint8)) for slot in ("wrist", "secondary")}
    several = [replace(e, cameras={**e.cameras, **others}) for e in episodes[1:]]
    corpus = make_corpus(tmp_path / "corpus", {"a": [episodes[0], *several]})
    assert villa("stats", corpus.uri).code == 0
    return corpus.uri


def cameras_line(said):
    return next(line for line in said.err.splitlines() if line.startswith("cameras read"))


@pytest.mark.slow
def test_a_camera_that_is_left_out_is_told_with_the_setting_that_reads_it(villa, lab, tmp_path):
    argv = ("train", "act", lab, *SHORT, "--val-fraction", "0", "--json")
    plain = villa(*argv, "--out", tmp_path / "plain")
    assert plain.code == 0, plain.err
    line = cameras_line(plain)
    assert line.startswith("cameras read: primary (5 of 5 episodes); left out: secondary (4 of 5 episodes), wrist (4 ")
    assert plain.report["cameras"] == ["primary"]
    assert plain.report["cameras_left_out"] == ["secondary", "wrist"]
    setting = shlex.split(line.partition("which ")[2].partition(" reads")[0])
    seeing = villa(*argv, *setting, "--out", tmp_path / "seeing")
    assert seeing.code == 0, seeing.err
    each = "primary (5 of 5 episodes), secondary (4 of 5 episodes), wrist (4 of 5 episodes)"
    assert cameras_line(seeing) == f"cameras read: {each}"
    assert seeing.report["cameras"] == ["primary", "secondary", "wrist"]
    assert 1e6 < seeing.report["parameters"] - plain.report["parameters"] < 2e6
