"""`villa transfer`: latent actions of a video, executed by a robot on a line, whose forward model is set by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dataengine.formats.video import video
from dataengine.windows.normalize import Normalizer
from models.lam import Lam
from models.weights import save_model
from pipelines.evaluation.transfer.agreement import agreement, cosines
from pipelines.evaluation.transfer.play import execute
from pipelines.stats.stats import StatsConfig
from pipelines.stats.stats import run as run_stats
from pipelines.training.data import open_reader
from tests.support.corpora import draw, make_corpus, robot_episode, torn
from tests.support.lams import SMALL
from tests.support.line_simulators import Line
from tests.support.shapes import lam_shape

LINE = "tests.support.line_simulators:Line"
STEPS = 4
"""Control steps of a latent action of 0.2 s at the line's 20 Hz."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A corpus of the robot on a line and of another arm; a model whose every latent action goes the same way."""
    root = tmp_path_factory.mktemp("transfer")
    parts = {
        "a": [robot_episode(f"a{i}", dataset="bench", embodiment="sawyer", control_hz=20.0) for i in range(3)],
        "b": [robot_episode(f"b{i}", dataset="other") for i in range(4)],
        "c": [torn(robot_episode("c0", dataset="damaged"), 2)],
    }
    corpus = make_corpus(root / "corpus", parts)
    run_stats(StatsConfig(corpus=corpus.uri))
    statistics = open_reader(corpus.uri).statistics()
    torch.manual_seed(0)
    shape = lam_shape("tiny", **{**SMALL, "use_proprio": True, "state_dim": 7, "action_dim": 7, "max_horizon": STEPS})
    lam = Lam(shape.model_copy(update={"num_frames": 3, "interval_s": 0.2})).eval()
    with torch.no_grad():
        for head in (lam.proprio.state_head, lam.proprio.action_head):
            head.weight.zero_()
            head.bias.zero_()
        lam.proprio.action_head.bias[::7] = 0.5
    stated = {"statistics": {name: one.to_json() for name, one in statistics.items()}, "dataset_ids": {"bench": 1}}
    save_model(lam, root / "lam", stated)
    save_model(Lam(lam_shape("tiny", **SMALL)), root / "plain", stated)
    step = Normalizer(statistics).invert("sawyer", "action", np.array([0.5, 0, 0, 0, 0, 0, 0]), "bench")
    return root, corpus.uri, step


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A second of a square that moves, six latent actions at 0.2 s with what the codec rounds off."""
    path = tmp_path_factory.mktemp("clips") / "wave.mp4"
    xy = 0.5 + 0.3 * np.sin(np.arange(26)[:, None] * [0.3, 0.2])
    video.encode(path, draw(xy), 20.0)
    return path


def run(villa, lab, *argv, to="sawyer", simulator=LINE):
    return villa("transfer", *argv, "--to", to, "--lam", lab[0] / "lam", "--simulator", simulator, "--json")


def test_the_robot_goes_as_the_forward_model_says_from_its_own_start(villa, lab, clip, tmp_path):
    said = run(villa, lab, clip, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    (one,) = said.report["clips"]
    assert (one["latents"], one["task"], said.report["steps"], said.report["acts_as"]) == (6, "forward", STEPS, "bench")
    with np.load(tmp_path / "out" / one["trajectory"]) as kept:
        assert kept["predicted_action"] == pytest.approx(np.tile(lab[2], (6 * STEPS, 1)), abs=1e-5)
        way = np.clip(lab[2][:3] * np.arange(0, 7)[:, None] * STEPS, None, None)
        for states in (kept["open_loop_state"], kept["closed_loop_state"]):
            assert states[:, :3] - states[0, :3] == pytest.approx(way, abs=1e-4)
        assert kept["predicted_state"].shape == (6 * STEPS + 1, 7)
    assert said.report["agreement"] == []
    assert "nobody says where the hands of these videos went" in said.report["notes"][0]
    assert (tmp_path / "out" / one["film"]).stat().st_size > 0
    assert (tmp_path / "out" / one["plot"]).stat().st_size > 0


def test_videos_of_one_name_do_not_overwrite_one_another_and_old_ones_go(villa, lab, clip, tmp_path):
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "wave.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "right/wave-2.mp4").write_bytes(clip.read_bytes())
    brief = ("--max-s", 0.5, "--out", tmp_path / "out")
    said = run(villa, lab, tmp_path / "left", tmp_path / "right", *brief)
    assert [one["film"] for one in said.report["clips"]] == ["wave.mp4", "wave-2.mp4", "wave-3.mp4"]
    assert (tmp_path / "out" / "wave-3.npz").is_file()
    assert run(villa, lab, tmp_path / "left", *brief).code == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("wave*")) == ["wave.mp4", "wave.npz", "wave.png"]


def test_a_terminated_transfer_goes_on_behind_the_last_clip(villa, lab, tmp_path, monkeypatch):
    argv = (lab[1], "--datasets", "[other]", "--clips", 2, "--shuffles", 1, "--max-s", 0.5)
    executed, until = list[int](), 6

    def counted(robot, target, latents, seed, **how):
        if len(executed) == until:
            raise KeyboardInterrupt
        executed.append(seed)
        return execute(robot, target, latents, seed, **how)

    monkeypatch.setattr("pipelines.evaluation.transfer.transfer.execute", counted)
    said = run(villa, lab, *argv, "--out", tmp_path / "out")
    assert "the same command continues where it stopped" in said.err.splitlines()[-1]
    assert executed == [1_000_000] * 4 + [1_000_001] * 2
    until = 1000
    (tmp_path / "out/mine.txt").write_text("mine")
    again = run(villa, lab, *argv, "--out", tmp_path / "out")
    assert again.code == 0, again.err
    assert executed[6:] == [1_000_001] * 4, "the first clip is kept"
    whole = run(villa, lab, *argv, "--out", tmp_path / "whole")
    apart = ("out", "page")
    assert {**again.report, **dict.fromkeys(apart)} == {**whole.report, **dict.fromkeys(apart)}
    (tmp_path / "out" / again.report["clips"][0]["film"]).unlink()
    before = len(executed)
    assert run(villa, lab, *argv, "--out", tmp_path / "out").report == again.report
    assert executed[before:] == [1_000_000] * 4, "a clip whose video is gone is made anew"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Hangs", "Hangs forward: no answer within 3 s in step(); --step-timeout-s waits longer"),
        ("Unmade", "Unmade cannot be set up for forward"),
    ],
)
def test_a_simulator_that_fails_is_one_line_and_finished_clips_are_kept(villa, lab, clip, tmp_path, name, line):
    (tmp_path / "clips").mkdir()
    for each in ("a.mp4", "b.mp4"):
        (tmp_path / "clips" / each).write_bytes(clip.read_bytes())
    argv = (tmp_path / "clips", "--step-timeout-s", 3, "--max-s", 0.9, "--out", tmp_path / "out")
    said = run(villa, lab, *argv, simulator=f"tests.support.line_simulators:{name}")
    assert said.code == 2
    assert line in said.err.splitlines()[-1]
    assert [file.name for file in (tmp_path / "out").glob("*.mp4")] == ([] if name == "Unmade" else ["a.mp4"])


def test_the_page_shows_the_tables_the_plots_and_the_videos(villa, lab, clip, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/50% #1.mp4").write_bytes(clip.read_bytes())
    said = run(villa, lab, tmp_path / "clips", "--out", tmp_path / "out")
    html = Path(said.report["page"]).read_text()
    assert html.count("data:image/png") == 1
    assert 'src="50%25%20%231.mp4"' in html
    for message in ("A robot repeats videos", "50% #1", "Nobody", "no directions"):
        assert message.lower() in html.lower()
    assert "http" not in html


def test_directions_are_held_against_those_of_a_corpus(villa, lab, tmp_path):
    _, uri, step = lab
    said = run(villa, lab, uri, "--datasets", "[other]", "--shuffles", 2, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "4 of 4 clips are of episodes that are not held out" in said.report["notes"][0]
    closed = next(a for a in said.report["agreement"] if a["mode"] == "closed loop")
    reader, means = open_reader(uri), []
    for episode in reader.episodes:
        if episode.dataset == "other":
            ways = np.diff(reader.state(episode.row)[::2, :3], axis=0)  # K is 2 at 10 Hz
            moving = ways[np.linalg.norm(ways, axis=1) > 0.1 * np.quantile(np.linalg.norm(ways, axis=1), 0.95)]
            cosine = moving @ step[:3] / np.linalg.norm(moving, axis=1) / np.linalg.norm(step[:3])
            means.append(cosine.mean())
    assert closed["direction"] == pytest.approx(np.mean(means), abs=1e-3)
    assert closed["shuffled"] == pytest.approx(closed["direction"], abs=1e-3), "all latent actions go the same way"
    assert closed["low"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("{clip}", "--to", "sawyer", "--lam", "{plain}", "--simulator", LINE), "has no proprio forward model"),
        (("{clip}", "--to", "fetch", "--lam", "{lam}"), "not trained on embodiment 'fetch', only on arm, sawyer"),
        (("{clip}", "--to", "arm", "--lam", "{lam}"), "no simulator has this embodiment, only agibot_g1 (two_arm)"),
        (("{clip}", "--to", "arm", "--lam", "{lam}", "--simulator", LINE), "plays 'sawyer', asked for --to arm"),
        (("{clip}", "--to", "sawyer", "--lam", "{lam}", "--simulator", LINE, "--task", "up"), "has no task 'up'"),
        (("{clip}", "--to", "sawyer", "--lam", "{lam}", "--simulator", LINE, "--acts-as", "x"), "'sawyer' from bench"),
        (("{bad}", "--to", "sawyer", "--lam", "{lam}", "--simulator", LINE), "bad.mp4: not a readable video"),
        (("{corpus}", "{clip}", "--to", "sawyer", "--lam", "{lam}", "--simulator", LINE), "one corpus alone"),
        (("{corpus}", "--to", "sawyer", "--lam", "{lam}", "--simulator", LINE, "--datasets", "[attic]"), "other"),
        (("{corpus}", "--to", "sawyer", "--lam", "{lam}", "--simulator", LINE, "--datasets", "[damaged]"), "is broken"),
    ],
)
def test_what_cannot_be_repeated_is_one_line(villa, lab, clip, tmp_path, argv, message):
    (bad := tmp_path / "bad.mp4").write_bytes(b"no video")
    known = {"clip": clip, "bad": bad, "corpus": lab[1], "lam": lab[0] / "lam", "plain": lab[0] / "plain"}
    said = villa("transfer", *(each.format(**known) for each in argv), "--out", tmp_path / "out")
    assert said.code == 2
    assert message in said.line


class Homing:
    """Predicts that nothing moves, and acts towards x = 0.5 m from where it believes to be."""

    steps = 2

    def predict(self, state, latent):
        action = np.array([(0.5 - state[0]) / 4, 0, 0, 0, 0, 0, 0], np.float32)
        return state[None].repeat(2, axis=0), action[None].repeat(2, axis=0)


def test_only_the_closed_loop_sees_where_the_robot_is():
    latents = np.zeros((6, 4, 8), np.float32)
    blind, seeing = (execute(Line("forward"), Homing(), latents, 0, closed=closed) for closed in (False, True))
    assert blind.states[-1, 0] == pytest.approx(0.1 * 12, abs=1e-4), "a step is 0.1 m at most"
    assert seeing.states[-1, 0] == pytest.approx(0.5, abs=0.02)


def test_cosines_are_of_intervals_in_which_the_source_moved():
    source = np.array([[1.0, 0, 0], [0, 2.0, 0], [1e-3, 0, 0], [0, 0, 1.0]])
    executed = np.array([[3.0, 0, 0], [0, -1.0, 0], [9.0, 0, 0], [0, 0, 0]])
    assert cosines(source, executed).tolist() == [1.0, -1.0, 0.0]


def test_the_interval_tells_a_direction_from_chance():
    random = np.random.default_rng(0)
    right = [np.full(5, 0.9)] * 6
    wrong = [random.uniform(-1, 1, (4, 5)) for _ in right]
    found_out = agreement("closed loop", right, wrong)
    assert found_out.shows
    assert found_out.direction == pytest.approx(0.9)
    chance = [random.uniform(-1, 1, 5) for _ in right]
    assert not agreement("closed loop", chance, wrong).shows
    assert agreement("closed loop", [np.zeros(0)], [np.zeros((4, 0))]) is None
