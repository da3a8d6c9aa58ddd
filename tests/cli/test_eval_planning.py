"""Plans of latent actions against what was recorded, from the command line, against numbers computed another way."""

import json

import numpy as np
import pytest
import torch

from dataengine.store import Corpus
from dataengine.texts import said_at
from dataengine.windows.episode_info import is_held_out
from models.fingerprint import fingerprint
from models.weights import load_lam
from pipelines.evaluation.planning import measures
from pipelines.evaluation.planning.planning import Planner
from pipelines.evaluation.policy import ActPolicy
from pipelines.evaluation.simulators._base import Observation
from tests.support.corpora import human_clip, make_corpus, robot_episode, torn
from tests.support.lams import make_lam, video_of
from tests.support.policies import save_policy

STRIDE, NUM_LATENTS = 2, 2
"""Control steps of 0.2 s at 10 Hz; latent actions of a plan."""
NOTHING = np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A robot that the policy knows, one that it does not, and a hand; labels are read from pictures."""
    root = tmp_path_factory.mktemp("planning")
    parts = {
        "a": [robot_episode(f"a{i}", dataset="shelves", embodiment="arm7_jaw", num_steps=9) for i in range(6)],
        "b": [robot_episode(f"b{i}", dataset="drawers", embodiment="other", num_steps=7) for i in range(2)],
        "c": [human_clip("c0", dataset="kitchen", num_steps=6)],
        "d": [torn(human_clip("d0", dataset="damaged", num_steps=3), 2)],
    }
    corpus = make_corpus(root / "corpus", parts)
    whole = [e.episode_id for e in corpus.kept().episodes() if e.dataset != "damaged"]
    lam = make_lam(root / "lam", corpus.jpegs("primary", [(e, i) for e in whole for i in range(6)]), num_frames=2)
    latent = {"name": "lam", "fingerprint": fingerprint(root / "lam"), "interval_s": 0.2, "past_frames": False}
    latent |= {"k": lam.config.num_slots, "d": lam.config.latent_dim}
    shape = {"codes_per_latent": lam.config.num_slots, "latent_dim": lam.config.latent_dim, "num_latents": NUM_LATENTS}
    save_policy(root / "act", latent=latent, **shape)
    settings = root / "act" / "model_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "training": {"val_fraction": 0.4}}))
    save_policy(root / "plain", **shape, use_latent=False)
    return root, corpus.uri


@pytest.fixture(scope="module")
def by_hand(lab):
    """Plan and what happened at every step of every episode, and the pictures of the latter."""
    root, uri = lab
    corpus, lam, policy = Corpus.open(uri), load_lam(root / "lam"), ActPolicy.load(root / "act", "cpu")
    starts = {"arm7_jaw": [], "other": [], "human_hand": []}
    episodes = [e for e in corpus.kept(slots=["primary"]).episodes() if e.dataset != "damaged"]
    held_out = [e for e in episodes if e.embodiment == "arm7_jaw" and is_held_out(e, 0.4)]
    assert 0 < len(held_out) < 6
    for info in episodes:
        if info.embodiment == "arm7_jaw" and info not in held_out:
            continue
        frames = corpus.episode(info.episode_id).frames("primary")
        video = video_of(corpus.episode(info.episode_id).jpegs("primary"), lam.config.resolution)
        for step in range(len(frames) - STRIDE):
            clip = video[step : step + NUM_LATENTS * STRIDE + 1 : STRIDE]
            pairs = [lam.encode(clip[i : i + 2]) for i in range(len(clip) - 1)]
            seen = Observation(image=frames[step], raw_state=NOTHING, state=NOTHING, embodiment="", control_hz=0.0)
            starts[info.embodiment].append(
                {
                    "plan": torch.from_numpy(policy.plan_batch([seen], [said_at(info.texts, step)])[0]),
                    "latent": torch.stack([pair.quantized[0, 0] for pair in pairs]),
                    "codes": torch.stack([pair.codes[0, 0] for pair in pairs]),
                    "clip": clip,
                }
            )
    return starts


@pytest.fixture(scope="module")
def report(lab, tmp_path_factory):
    from typer.testing import CliRunner

    from cli.app import app

    root, uri = lab
    out = tmp_path_factory.mktemp("out")
    argv = ["eval", "planning", root / "act", uri, "--lam", root / "lam", "--out", out]
    new = 'rewordings={"do b0": "open the jar"}'
    done = CliRunner().invoke(app, [*map(str, argv), "--device", "cpu", "--starts", "1000", "--set", new, "--json"])
    assert done.exit_code == 0, done.output
    assert all((out / group["examples"]).is_file() for group in json.loads(done.stdout)["groups"])
    html = (out / "index.html").read_text()
    assert html.count("data:image/png") == 3
    for message in ("Plans of latent actions", "embodiment never trained on", "Other words, the same pictures"):
        assert message in html
    assert json.loads((out / "planning.json").read_text()) == json.loads(done.stdout)
    return {group["embodiment"]: group for group in json.loads(done.stdout)["groups"]}


def test_every_start_is_planned_from_and_what_training_never_saw_is_marked(report, by_hand):
    assert {name: group["starts"] for name, group in report.items()} == {n: len(s) for n, s in by_hand.items()}
    assert {name: group["status"] for name, group in report.items()} == {
        "arm7_jaw": "held out from training",
        "other": "embodiment never trained on",
        "human_hand": "dataset never trained on",
    }


def test_plans_are_as_like_what_happened_as_by_hand(report, by_hand, lab):
    lam = load_lam(lab[0] / "lam")
    for name, starts in by_hand.items():
        cosines, right = [], []
        for start in starts:
            m = len(start["latent"])
            one, other = start["plan"][:m].flatten(1), start["latent"].flatten(1)
            cosines.append(torch.cosine_similarity(one, other).mean())
            right.append((lam.vq.nearest(start["plan"][:m]) == start["codes"]).float().mean())
        assert report[name]["cosine"] == pytest.approx(float(np.mean(cosines)), abs=1e-3)
        assert report[name]["codes"] == pytest.approx(float(np.mean(right)), abs=1e-3)
        codes = torch.cat([start["codes"] for start in starts])
        often = [torch.bincount(slot).max() / len(slot) for slot in codes.T]
        assert report[name]["codes_commonest"] == pytest.approx(float(np.mean(often)), abs=1e-3)
    assert report["human_hand"]["cosine_elsewhere"] is None, "there is one clip alone"
    assert report["other"]["low"] <= report["other"]["high"]


def test_predicted_pictures_approach_the_recorded_one_as_by_hand(report, by_hand, lab):
    lam = load_lam(lab[0] / "lam")
    for name, starts in by_hand.items():
        for column, key in (("approach", "plan"), ("approach_happened", "latent")):
            mine = copied = 0.0
            for start in starts:
                image, clip = start["clip"][:1], start["clip"].double()
                for latent in lam.snap(start[key][: len(start["latent"])]):
                    image = lam.render(image, latent[None])
                changed = (clip[-1] - clip[0]).abs().amax(dim=0) > 10
                mine += float((image[0].double() - clip[-1]).square()[:, changed].sum())
                copied += float((clip[0] - clip[-1]).square()[:, changed].sum())
            assert report[name][column] == pytest.approx(1 - mine / copied, abs=1e-3)


def test_other_words_are_tried_on_the_same_pictures(report):
    wordings = {(w["kind"], w["starts"]) for w in report["other"]["wordings"]}
    assert wordings == {("another task's", 10), ("new", 5)}
    assert report["human_hand"]["wordings"] == [], "one instruction alone, and no new words for it"


def test_a_terminated_measurement_goes_on_behind_the_last_group(villa, lab, tmp_path, monkeypatch):
    root, uri = lab
    plan, planned, until = Planner.plan, list[str](), 2

    def counted(planner, starts, instructions):
        if len(planned) == until:
            raise KeyboardInterrupt
        planned.append(starts[0].episode.dataset)
        return plan(planner, starts, instructions)

    monkeypatch.setattr(Planner, "plan", counted)
    argv = ("eval", "planning", root / "act", uri, "--lam", root / "lam", "--device", "cpu", "--starts", 2)
    out = ("--out", tmp_path / "out", "--json")
    assert "the same command continues where it stopped" in villa(*argv, *out).err.splitlines()[-1]
    first, until = [*planned], 1000
    again = villa(*argv, *out)
    assert again.code == 0, again.err
    assert first[0] not in planned[2:], "the first group is kept"
    count = len(planned)
    assert villa(*argv, *out).report == again.report
    assert len(planned) == count, "nothing is planned anew"
    whole = villa(*argv, "--out", tmp_path / "whole", "--json")
    assert whole.report["groups"] == again.report["groups"]


def test_a_picture_that_is_there_has_gone_all_the_way_and_the_first_one_none():
    first, target = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    target[:2] = 100
    half = target // 2
    assert measures.approach([measures.error(target, target, first)]) == 1
    assert measures.approach([measures.error(first, target, first)]) == 0
    assert measures.approach([measures.error(half, target, first)]) == 0.75
    assert measures.approach([measures.error(first, first, first)]) is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("{plain}", "{corpus}", "--lam", "{lam}"), "has no latent expert that plans"),
        (("{act}", "{corpus}", "--lam", "{act}"), "give the model that wrote them"),
        (("{act}", "{tmp}", "--lam", "{lam}"), "found no episodes.lance"),
        (("{act}", "{corpus}", "--lam", "{lam}", "--datasets", "[attic]"), "no episode of attic has a camera"),
        (("{act}", "{corpus}", "--lam", "{lam}", "--datasets", "[damaged]"), "no picture at which a plan would begin"),
        (("{act}", "{corpus}", "--lam", "{lam}", "--rewordings", "{{go: walk}}"), "no start has the words 'go'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(villa, lab, tmp_path, argv, message):
    root, uri = lab
    known = {"act": root / "act", "plain": root / "plain", "corpus": uri, "lam": root / "lam", "tmp": tmp_path}
    said = villa("eval", "planning", *(each.format(**known) for each in argv), "--out", tmp_path / "out")
    assert said.code == 2
    assert message in said.line
