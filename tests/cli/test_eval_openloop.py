"""`villa eval openloop`: errors on held-out episodes, beside two that look at nothing."""

import json

import numpy as np
import pytest

from dataengine.windows.normalize import Normalizer
from pipelines.evaluation.openloop.errors import Chunk, errors_of
from tests.support.policies import save_policy
from tests.support.readers import MadeReader, make_episode, statistics

BODY = ("arm7_jaw", "made")


def test_errors_are_those_of_each_step_and_value():
    normalizer = Normalizer(statistics(MadeReader([make_episode(0)])))
    recorded = np.tile(np.arange(7, dtype=np.float32) / 10, (3, 1))
    off = recorded + np.array([[0.0], [0.1], [0.2]], np.float32)
    one = errors_of([Chunk("jar", off, recorded, recorded[0])], normalizer, BODY)
    np.testing.assert_allclose(one.by_value["policy"], [0.1] * 7, atol=1e-6)
    assert one.by_step["policy"][0] == 0
    assert one.by_step["policy"][1] < one.by_step["policy"][2]
    assert one.chunks == 1
    cut = errors_of([Chunk("jar", off, recorded[:2], recorded[0])], normalizer, BODY)
    np.testing.assert_allclose(
        cut.by_value["policy"], [0.05] * 7, atol=1e-6, err_msg="steps after the end do not count"
    )


@pytest.mark.slow
def test_a_policy_that_learnt_nothing_is_named(villa, openloop_corpus, tmp_path):
    policy = save_policy(tmp_path / "act")
    argv = ("eval", "openloop", policy, openloop_corpus, "--windows", 12, "--device", "cpu", "--out", tmp_path / "out")
    said = villa(*argv, "--val-fraction", 1, "--json")
    assert said.code == 0, said.err
    report = json.loads(said.out)
    (group,) = report["groups"]
    assert group["chunks"] == 12
    assert set(group["normalised"]) == {"policy", "mean", "hold"}
    assert len(group["by_step"]["policy"]) == 4
    assert len(group["by_value"]["policy"]) == len(group["units"]) == 7
    assert (tmp_path / "out/openloop.png").read_bytes()[:4] == b"\x89PNG"
    assert "errs no less than one that looks at nothing" in villa(*argv, "--val-fraction", 1).out
    assert "holds out none of" in villa(*argv, "--val-fraction", 0).err
    settings = policy / "model_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "training": {"val_fraction": 0.0}}))
    assert "at val_fraction 0;" in villa(*argv).err, "as the checkpoint says"
    stranger = save_policy(tmp_path / "stranger", robots=("drone",))
    other = villa("eval", "openloop", stranger, openloop_corpus, "--device", "cpu", "--out", tmp_path / "o")
    assert "was trained on drone; give a corpus of one of these" in other.err


@pytest.fixture
def openloop_corpus(tmp_path):
    from tests.support.corpora import make_corpus, robot_episode

    parts = {"part": [robot_episode(f"e{i}", embodiment="arm7_jaw", num_steps=20, seed=i) for i in range(3)]}
    make_corpus(tmp_path / "corpus", parts)
    return tmp_path / "corpus"
