"""`villa lam report`, from the command line, against numbers computed another way."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dataengine.store import Corpus
from dataengine.windows.episode_info import is_held_out
from dataengine.windows.window import steps_per_latent
from models.weights import load_lam, save_model
from pipelines.analysis.groups import episodes_seen_by
from pipelines.label import LabelConfig
from pipelines.label import run as run_label
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.lams import make_lam, video_of

RELEASED = Path(__file__).parents[1] / "models" / "golden_lam"
HELD_OUT = 0.4
ALL = ("--set", "most=100000", "--set", "most_predicted=100000")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two arms of different rate and a hand; the model says that it was trained on one arm and the hand."""
    root = tmp_path_factory.mktemp("report")
    parts = {
        "a": [robot_episode(f"a{i}", dataset="shelves", num_steps=14) for i in range(7)],
        "b": [
            robot_episode(f"b{i}", dataset="drawers", embodiment="arm2", control_hz=5.0, num_steps=9) for i in range(4)
        ],
        "c": [human_clip(f"c{i}", dataset="kitchen", num_steps=10 + i) for i in range(6)],
    }
    corpus = make_corpus(root / "corpus", parts)
    jpegs = corpus.jpegs("primary", [(e, i) for e in corpus.episode_ids() for i in range(8)])
    lam = make_lam(root / "lam", jpegs, num_frames=3, interval_s=0.2)
    with torch.no_grad():  # untrained, it would predict the current frame whatever the latent action
        for weight in lam.decoder.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    mixture = {"weights": {"shelves": 1.0, "kitchen": 1.0}}
    save_model(lam, root / "lam", {"training": {"val_fraction": HELD_OUT, "mixture": mixture}})
    return root, corpus.uri


@pytest.fixture(scope="module")
def expected(lab):
    """Latent actions of all pairs, by `Lam.encode` of each episode's whole clips."""
    root, uri = lab
    corpus, lam = Corpus.open(uri), load_lam(root / "lam")
    rows = {"shelves": [], "drawers": [], "kitchen": []}
    for info in episodes_seen_by(corpus, "primary"):
        if info.dataset != "drawers" and not is_held_out(info, HELD_OUT):
            continue
        episode, stride = corpus.episode(info.episode_id), steps_per_latent(info.control_hz, 0.2)
        video = video_of(episode.jpegs("primary"), lam.config.resolution)
        for phase in range(stride):
            clip = video[phase::stride]
            latents = lam.encode(clip)
            rows[info.dataset] += [
                {
                    "episode": info.episode_id,
                    "frame": phase + i * stride,
                    "before": clip[i],
                    "after": clip[i + 1],
                    "latent": latents.quantized[0, i],
                    "codes": tuple(latents.codes[0, i].tolist()),
                    "moved": None
                    if episode.state is None
                    else episode.state[phase + (i + 1) * stride, :3] - episode.state[phase + i * stride, :3],
                }
                for i in range(len(clip) - 1)
            ]
    return {name: sorted(pairs, key=lambda pair: (pair["episode"], pair["frame"])) for name, pairs in rows.items()}


@pytest.fixture
def said(lab, villa, tmp_path):
    root, uri = lab
    said = villa("lam", "report", uri, "--lam", root / "lam", "--out", tmp_path / "out", "--json", *ALL)
    assert said.code == 0, said.err
    return said


def test_every_pair_of_held_out_episodes_is_looked_at_and_a_dataset_never_trained_on_is_marked(said, expected):
    groups = {g["group"]: g for g in said.report["groups"]}
    assert {name: g["pairs"] for name, g in groups.items()} == {name: len(pairs) for name, pairs in expected.items()}
    assert {name: g["status"] for name, g in groups.items()} == {
        "shelves": "held out from training",
        "drawers": "dataset never trained on",
        "kitchen": "held out from training",
    }
    assert {name: g["steps"] for name, g in groups.items()} == {"shelves": 2, "drawers": 1, "kitchen": 2}


def test_codes_are_counted_as_encode_gives_them(said, expected):
    for use in said.report["codes"]:
        codes = np.array([pair["codes"] for pair in expected[use["group"]]])
        for slot, counts in enumerate(use["counts"]):
            assert counts == [int((codes[:, slot] == code).sum()) for code in range(32)]
            share = np.array([c for c in counts if c]) / len(codes)
            assert use["perplexity"][slot] == pytest.approx(2 ** -(share * np.log2(share)).sum(), abs=1e-3)
        tuples = [pair["codes"] for pair in expected[use["group"]]]
        assert use["tuples"] == len(set(tuples))
        assert use["commonest"] == pytest.approx(max(map(tuples.count, tuples)) / len(tuples), abs=1e-4)


def test_the_nearest_pairs_are_those_of_a_search_by_hand(said, expected):
    by_name = {(n["query"], n["among"]): n for n in said.report["nearness"] if not n["other_tasks"]}
    assert set(by_name) == {(a, b) for a in expected for b in expected}
    fastest = np.quantile([np.linalg.norm(p["moved"]) for p in expected["shelves"]], 0.95)
    moving = [p for p in expected["shelves"] if np.linalg.norm(p["moved"]) > 0.1 * fastest]
    other = np.quantile([np.linalg.norm(p["moved"]) for p in expected["drawers"]], 0.95)
    distance, equal, cosine, any_cosine = [], [], [], []
    for query in moving:
        far = [float((query["latent"] - p["latent"]).norm()) for p in expected["drawers"]]
        near = [p for p, d in zip(expected["drawers"], far, strict=True) if d < min(far) + 1e-4]

        def alike(pair, query=query):
            if np.linalg.norm(pair["moved"]) <= 0.1 * other:
                return 0.0
            return query["moved"] @ pair["moved"] / np.linalg.norm(query["moved"]) / np.linalg.norm(pair["moved"])

        distance.append(min(far))
        equal.append(np.mean([np.mean(np.equal(query["codes"], p["codes"])) for p in near]))
        cosine.append(np.mean([alike(p) for p in near]))
        any_cosine.append(np.mean([alike(p) for p in expected["drawers"]]))
    got = by_name["shelves", "drawers"]
    assert got["pairs"] == len(moving)
    assert got["distance"] == pytest.approx(np.mean(distance), abs=1e-3)
    assert got["equal_codes"] == pytest.approx(np.mean(equal), abs=1e-3)
    assert got["direction"] == pytest.approx(np.mean(cosine), abs=1e-3)
    assert got["direction_random"] == pytest.approx(np.mean(any_cosine), abs=1e-3)
    assert by_name["shelves", "kitchen"]["direction"] is None


def test_painting_is_judged_against_copying_and_against_the_latents_of_others(said, expected, lab):
    root, _ = lab
    lam = load_lam(root / "lam")
    for score in said.report["visual"]:
        pairs = expected[score["embodiment"]]
        turned = [pairs[(i - len(pairs) // 2) % len(pairs)] for i in range(len(pairs))]
        errors = {"model": [], "shuffled": [], "copy_frame": []}
        for pair, wrong in zip(pairs, turned, strict=True):
            for name, latent in (("model", pair["latent"]), ("shuffled", wrong["latent"])):
                predicted = lam.render(pair["before"][None], latent[None])[0]
                errors[name].append((((predicted.float() - pair["after"].float()) / 255) ** 2).mean())
            errors["copy_frame"].append((((pair["before"].float() - pair["after"].float()) / 255) ** 2).mean())
        for name, values in errors.items():
            assert score[name] == pytest.approx(np.mean(values), rel=1e-3), name
        assert score["shuffled"] != score["model"]


def test_controls_ask_about_each_frame_seen_twice_and_about_each_frame_shifted(said, expected, lab):
    lam = load_lam(lab[0] / "lam")
    side = lam.config.resolution
    for control in said.report["controls"]:
        pairs = expected[control["said"]["embodiment"]]
        frames = [p["before"].numpy() for p in pairs]
        moved = []
        for i, frame in enumerate(frames):
            wide = np.pad(frame, ((0, 0), (3, 3), (3, 3)), mode="edge")
            top, left = ((6, 3), (0, 3), (3, 6), (3, 0))[i % 4]
            moved.append(wide[:, top : top + side, left : left + side])
        after = [p["after"].numpy() for p in pairs]

        def encode(others, frames=frames):
            clips = [lam.encode(torch.from_numpy(np.stack(pair))) for pair in zip(frames, others, strict=True)]
            return (np.array([c.codes[0, 0].tolist() for c in clips]), [c.quantized[0, 0] for c in clips])

        (held, held_z), (shifted, shifted_z), (real, real_z) = encode(frames), encode(moved), encode(after)
        modal = [np.bincount(held[:, slot]).argmax() for slot in range(held.shape[1])]
        assert control["said"]["hold_slots"] == pytest.approx((held == modal).mean(axis=0), abs=1e-3)
        assert control["said"]["shift_slots"] == pytest.approx((shifted == modal).mean(), abs=1e-3)
        assert control["said"]["real_slots"] == pytest.approx((real == modal).mean(), abs=1e-3)

        predicted = [lam.render(p["before"][None], z[None])[0].numpy() for p, z in zip(pairs, shifted_z, strict=True)]
        errors = [np.square((np.float64(x) - moved) / 255).mean() for x in (predicted, frames)]
        assert control["shift_ratio"] == pytest.approx(errors[0] / errors[1], rel=1e-3)

        if pairs[0]["moved"] is None:
            assert control["shift_way"] is None
            continue
        ways = np.array([np.linalg.norm(p["moved"]) for p in pairs])
        for name, asked in (("hold_way", held_z), ("shift_way", shifted_z), ("real_way", real_z)):
            read = []
            for i, z in enumerate(asked):
                others = [j for j, p in enumerate(pairs) if p["episode"] != pairs[i]["episode"]]
                far = np.array([float((z - real_z[j]).norm()) for j in others])
                read.append(ways[[j for j, d in zip(others, far, strict=True) if d < far.min() + 1e-4]].mean())
            assert control[name] == pytest.approx(np.mean(read) / ways.mean(), abs=1e-3), name


def test_the_figure_shows_the_nearest_pair_of_every_other_group(said, expected):
    shown = said.report["examples"]
    assert len(shown) == 8
    assert {e["query"]["group"] for e in shown} == set(expected)
    for example in shown:
        query = example["query"]
        assert [n["group"] for n in example["nearest"]] == [g for g in sorted(expected) if g != query["group"]]
        (asked,) = [
            p for p in expected[query["group"]] if (p["episode"], p["frame"]) == (query["episode_id"], query["frame"])
        ]
        assert query["codes"] == list(asked["codes"])
        for near in example["nearest"]:
            least = min(float((asked["latent"] - p["latent"]).norm()) for p in expected[near["group"]])
            assert near["distance"] == pytest.approx(least, abs=1e-3)


def test_the_page_is_one_file_with_its_pictures_in_it(said):
    path = Path(said.report["page"])
    html = path.read_text()
    assert html.count("data:image/jpeg") == sum(1 + len(e["nearest"]) for e in said.report["examples"])
    assert html.count("data:image/png") == 2 * 3
    assert "no picture at" not in html
    assert "http" not in html
    assert "<script" not in html
    for message in ("drawers", "dataset never trained on", "slot 3", "Jensen-Shannon", "Move the camera"):
        assert message in html
    assert (path.parent / "report.json").is_file()


def test_labels_of_these_weights_are_read_instead_and_say_the_same(lab, said, villa, tmp_path):
    root, uri = lab
    copy = make_copy(uri, tmp_path)
    run_label(LabelConfig(corpus=copy, lam=root / "lam", name="mine"))
    again = villa("lam", "report", copy, "--lam", root / "lam", "--out", tmp_path / "again", "--json", *ALL)
    assert said.report["labels"] == ""
    assert again.report["labels"] == "mine"
    for part in ("groups", "codes", "code_distances", "nearness", "visual", "controls", "examples"):
        assert again.report[part] == said.report[part]


def make_copy(uri, tmp_path):
    return str(shutil.copytree(uri, tmp_path / "copy"))


def test_no_more_pairs_than_asked_for_spread_over_all_episodes(lab, villa, tmp_path):
    root, uri = lab
    few = ("--set", "most=8", "--set", "most_predicted=3", "--set", "queries=2")
    said = villa("lam", "report", uri, "--lam", root / "lam", "--out", tmp_path, "--json", *few)
    assert [g["pairs"] for g in said.report["groups"]] == [8, 8, 8]
    assert {g["group"]: g["episodes"] for g in said.report["groups"]}["drawers"] == 4
    assert [v["pairs"] for v in said.report["visual"]] == [3, 3, 3]
    assert len(said.report["examples"]) == 2


def test_a_released_checkpoint_is_looked_into_at_its_own_size_and_spacing(lab, villa, tmp_path):
    _, uri = lab
    argv = ("--lam", RELEASED, "--out", tmp_path, "--set", "most=6", "--set", "interval_s=0.4")
    said = villa("lam", "report", uri, *argv, "--json")
    assert said.code == 0, said.err
    assert said.report["interval_s"] == 0.4
    assert [g["steps"] for g in said.report["groups"]] == [2, 4, 4]
    assert {g["status"] for g in said.report["groups"]} == {"not known whether trained on"}
    assert said.report["slots"] == len(said.report["codes"][0]["counts"])


def test_human_clips_alone_are_enough_and_what_needs_robots_says_so(lab, villa, tmp_path):
    root, _ = lab
    corpus = make_corpus(tmp_path / "corpus", {"c": [human_clip(f"c{i}", num_steps=12 + i) for i in range(4)]})
    said = villa("lam", "report", corpus.uri, "--lam", root / "lam", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "agreement of direction between embodiments needs two groups" in said.out
    assert "without states of hands the controls tell codes and pictures, not ways" in said.out
    assert "one group alone: the nearest pairs are those of its other episodes" in said.out
    shown = json.loads((tmp_path / "out" / "report.json").read_text())["examples"]
    assert shown
    assert all(near["episode_id"] != e["query"]["episode_id"] for e in shown for near in e["nearest"])
    assert all(len(e["nearest"]) == 1 for e in shown)


def test_pairs_with_a_broken_picture_are_left_out_and_counted(lab, villa, tmp_path):
    root, _ = lab
    episode = robot_episode("0", num_steps=12)
    frames = episode.cameras["primary"]
    torn = dataclasses.replace(frames, jpegs=[j[:-30] if i == 11 else j for i, j in enumerate(frames.jpegs)])
    parts = {"a": [dataclasses.replace(episode, cameras={"primary": torn}), robot_episode("1")]}
    corpus = make_corpus(tmp_path / "corpus", parts)
    said = villa("lam", "report", corpus.uri, "--lam", root / "lam", "--out", tmp_path / "out", "--json")
    (group,) = said.report["groups"]
    assert (group["unreadable"], group["pairs"]) == (1, 9 + 28)
    assert "1 pairs left out, a picture is broken" in said.report["notes"][0]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--lam", "nowhere"], "nowhere: no model_config.json"),
        (["--set", "slot=wrist"], "no kept episode has a camera 'wrist'"),
        (["--set", "slot=nose"], "no kept episode has a camera 'nose'"),
        (["--set", "interval_s=60"], "no episode is longer than the model's frame spacing of 60 s"),
        (["--set", "distance=miles"], "distance"),
    ],
)
def test_bad_input_is_one_line(argv, line, lab, villa, tmp_path):
    root, uri = lab
    said = villa("lam", "report", uri, "--lam", root / "lam", "--out", tmp_path / "out", *argv)
    assert said.code == 2
    assert line in said.line
    assert not (tmp_path / "out").exists()
