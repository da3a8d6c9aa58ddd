"""Failures of an evaluation, and of a corpus of rollouts, beside the training episodes that move like them."""

import json

import numpy as np
import pytest

from pipelines.evaluation.failures import warping
from tests.support.corpora import make_corpus, robot_episode, torn
from tests.support.lams import make_lam
from tests.support.line_simulators import Hard

HARD = "tests.support.line_simulators:Hard"
QUICK = ("--task", "forward", "--processes", 1, "--num-filmstrips", 0, "--num-videos", 0)
SEED = 1_000_002
"""A start that nobody solves."""


def pictures_of_an_attempt():
    robot, pictures = Hard("forward"), []
    robot.reset(SEED)
    for _ in range(robot.max_steps):
        pictures.append(robot.observe().image)
        robot.step(robot.expert())
    return np.stack(pictures)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A corpus with the very attempt, the same one twice as slow, others of that robot, and one of another robot."""
    root, moving = tmp_path_factory.mktemp("failures"), pictures_of_an_attempt()
    wandering = [f"w{i}" for i in range(6)]

    def episode(record, **kwargs):
        return robot_episode(record, dataset="bench", embodiment="sawyer", control_hz=20.0, **kwargs)

    parts = {
        "a": [episode("equal", num_steps=20, pictures=moving)],
        "b": [episode("slow", num_steps=40, pictures=moving.repeat(2, axis=0))],
        "c": [episode(name, num_steps=20) for name in wandering],
        "e": [torn(episode("torn", num_steps=20), 4)],
        "d": [robot_episode("other", dataset="bench2", num_steps=20, control_hz=20.0, pictures=moving)],
    }
    corpus = make_corpus(root / "corpus", parts)
    ids = dict(zip(*corpus.table(["source_record", "episode_id"]).to_pydict().values(), strict=True))
    seen = [(ids[name], i) for name in ("equal", *wandering) for i in range(0, 20, 2)]
    make_lam(root / "lam", corpus.jpegs("primary", seen))
    return root, corpus.uri, ids


@pytest.fixture(scope="module")
def played(lab, tmp_path_factory):
    from typer.testing import CliRunner

    from cli.app import app

    root, corpus, _ = lab
    out = tmp_path_factory.mktemp("played") / "eval"
    mined = ("--mine-failures", corpus, "--lam", str(root / "lam"))
    record = ("--record", str(out.parent / "recorded"))
    argv = ["eval", HARD, "expert", *map(str, QUICK), "--episodes", "4", "--out", str(out), *record, *mined]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    return out, done.output


def test_a_failure_is_nearest_to_the_episode_that_shows_the_same(lab, played):
    _, _, ids = lab
    out, printed = played
    report = json.loads((out.parent / "eval.failures" / "failures.json").read_text())
    assert (report["num_failures"], report["num_successes"], report["compared_with"]) == (1, 3, 8)
    (failure,) = report["failures"]
    assert failure["name"] == f"forward, start {SEED}"
    assert failure["nearest"][0]["episode_id"] == ids["equal"]
    assert failure["nearest"][0]["distance"] < 0.3 * failure["nearest"][2]["distance"]
    assert report["left_out"] == {"training episodes with a broken picture": 1}
    assert ids["other"] not in [near["episode_id"] for near in failure["nearest"]], "another robot"
    assert f"forward, start {SEED}" in printed
    assert f"bench {ids['equal'][:8]}" in printed


def test_the_page_is_one_file_that_shows_both_side_by_side(played):
    html = (played[0].parent / "eval.failures" / "index.html").read_text()
    assert html.count("data:image/jpeg") == 1
    for message in ("do equal", "dynamic time warping", "1 of 4", "Farther than"):
        assert message in html
    assert "http" not in html


def test_episodes_of_a_corpus_that_say_how_they_went_are_taken_too(lab, played, villa, tmp_path):
    root, corpus, ids = lab
    recorded, rollouts = played[0].parent / "recorded", tmp_path / "rollouts"
    assert villa("ingest", "lerobot", recorded, "--corpus", rollouts, "--set", "engine=local").code == 0
    argv = ("eval", "failures", rollouts, corpus, "--lam", root / "lam", "--out", tmp_path / "out")
    said = villa(*argv, "--all-embodiments", "--nearest", 8, "--json")
    assert said.code == 0, said.err
    (failure,) = said.report["failures"]
    assert failure["nearest"][0]["episode_id"] in (ids["equal"], ids["other"])
    assert failure["nearest"][-1]["distance"] > failure["nearest"][0]["distance"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("failures", "{tmp}", "{corpus}", "--lam", "{lam}"), "neither a corpus nor an evaluation that kept"),
        (("failures", "{out}", "{corpus}", "--lam", "{lam}", "--policy", "me"), "no rollouts of 'me', only of expert"),
        (("failures", "{corpus}", "{corpus}", "--lam", "{lam}"), "no episode says whether it succeeded"),
        (
            ("failures", "{out}", "{corpus}", "--lam", "{lam}", "--datasets", "[attic]"),
            "has no dataset attic, only bench",
        ),
        (("failures", "{out}", "{corpus}", "--lam", "{lam}", "--datasets", "[bench2]"), "no episode of sawyer, as in"),
        ((HARD, "expert", "--mine-failures", "{corpus}"), "belong together, got one of them"),
        ((HARD, "expert", "--mine-failures", "{tmp}", "--lam", "{lam}"), "found no episodes.lance"),
    ],
)
def test_what_cannot_be_compared_is_one_line(lab, played, villa, tmp_path, argv, message):
    known = {"tmp": tmp_path, "corpus": lab[1], "lam": lab[0] / "lam", "out": played[0]}
    said = villa("eval", *(each.format(**known) for each in argv), "--out", tmp_path / "o")
    assert said.code == 2
    assert message in said.line


def test_a_damaged_rollout_is_named(lab, played, villa, tmp_path):
    folder = tmp_path / "eval" / "rollouts"
    folder.mkdir(parents=True)
    whole = next((played[0] / "rollouts").glob("*.npz")).read_bytes()
    (folder / "x-1.npz").write_bytes(whole[: len(whole) // 2])
    said = villa("eval", "failures", folder.parent, lab[1], "--lam", lab[0] / "lam", "--out", tmp_path / "o")
    assert said.code == 2
    assert "x-1.npz: damaged" in said.line


def by_hand(one, other, i, j):
    """Least cost of aligning all up to i and j, by trying every way."""
    d = np.linalg.norm(one[i] - other[j])
    ways = [(i - 1, j - 1, 2), (i - 1, j, 1), (i, j - 1, 1)]
    costs = [by_hand(one, other, a, b) + w * d for a, b, w in ways if a >= 0 and b >= 0]
    return min(costs) if costs else 2 * d


def test_distances_are_those_of_every_alignment_tried():
    draw = np.random.default_rng(0)
    one, others = draw.normal(size=(5, 3)), [draw.normal(size=(n, 3)) for n in (1, 4, 6)]
    expected = [by_hand(one, other, 4, len(other) - 1) / (5 + len(other)) for other in others]
    assert warping.distances(one, others) == pytest.approx(expected)


def test_the_same_motion_at_half_the_speed_is_no_distance_away():
    one = np.random.default_rng(1).normal(size=(6, 3))
    assert warping.distances(one, [one, one.repeat(2, axis=0)]) == pytest.approx([0, 0], abs=1e-6)
    assert warping.alignment(one, one.repeat(2, axis=0)).tolist() == [1, 3, 5, 7, 9, 11]
