"""`villa probe` with several seeds of a model, from the command line."""

import json
import re
from xml.etree import ElementTree

import pytest
import torch
from scipy import stats

from models.lam import Lam
from models.weights import load_lam, save_model
from pipelines.html.drawing import Drawing
from pipelines.stats import StatsConfig
from pipelines.stats import run as run_stats
from tests.support.corpora import make_corpus, robot_episode
from tests.support.labels import write_labels
from tests.support.lams import SMALL, make_lam
from tests.support.shapes import lam_shape

QUICK = ("--set", "epochs=6", "--set", "hidden=32", "--set", "val_fraction=0.25", "--set", "most_train=200")
CLEAR = ("--lam", "clear=clear-0", "--lam", "clear=clear-1", "--lam", "clear=clear-2")
BLIND = ("--lam", "blind=blind-0", "--lam", "blind=blind-1", "--lam", "blind=blind-2")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two arms, each in a dataset of its own, and labels of three seeds that hold the motion or do not."""
    root = tmp_path_factory.mktemp("probe")
    parts = {
        "a": [robot_episode(f"a{i}", dataset="shelves", num_steps=16) for i in range(16)],
        "b": [
            robot_episode(f"b{i}", dataset="drawers", embodiment="arm2", control_hz=5.0, num_steps=12)
            for i in range(14)
        ],
    }
    corpus = make_corpus(root / "corpus", parts)
    run_stats(StatsConfig(corpus=corpus.uri))
    for seed in range(3):
        write_labels(corpus, f"clear-{seed}", knows=True, seed=seed)
        write_labels(corpus, f"blind-{seed}", knows=False, seed=seed)
    write_labels(corpus, "slow", knows=True, interval_s=0.6)
    return root, corpus


def train(lab, name, seed, datasets=("shelves", "drawers"), **training):
    """Save a model that says what it was trained on."""
    root, corpus = lab
    jpegs = corpus.jpegs("primary", [(corpus.episode_ids()[0], i) for i in range(12)])
    lam = make_lam(root / name, jpegs, seed=seed, interval_s=0.4)
    mixture = {"weights": dict.fromkeys(datasets, 1.0)}
    save_model(lam, root / name, {"training": {"seed": seed, "val_fraction": 0.25, "mixture": mixture, **training}})
    return root / name


@pytest.fixture
def probe(lab, villa):
    """Probe and return the report."""

    def run(*argv):
        said = villa("probe", lab[1].uri, *argv, *QUICK, "--json")
        assert said.code == 0, said.err
        return said.report

    return run


def readouts(report, embodiment):
    one = next(e for e in report["embodiments"] if e["embodiment"] == embodiment)
    return {r["source"]: r for r in one["readouts"]}


def test_seeds_of_a_variant_are_one_row_with_the_interval_over_them(probe):
    report = probe(*BLIND, *CLEAR)
    alone = [readouts(probe("--lam", f"clear-{seed}"), "arm")[f"clear-{seed}"] for seed in range(3)]
    assert (report["lams"], report["training_seeds"], report["seeds"]) == (["blind", "clear"], 3, 2)
    clear = readouts(report, "arm")["clear"]
    assert clear["models"] == ["clear-0", "clear-1", "clear-2"]
    assert clear["over"] == "training seeds"
    assert clear["l1_seeds"] == pytest.approx([one["l1"] for one in alone], abs=2e-5)
    for mean, interval, seeds in (
        (clear["l1"], clear["l1_interval"], clear["l1_seeds"]),
        (clear["groups"]["xyz"], clear["group_intervals"]["xyz"], clear["group_seeds"]["xyz"]),
    ):
        assert interval == pytest.approx(stats.t.interval(0.95, 2, mean, stats.sem(seeds)), abs=1e-4)


def test_variants_are_compared_seed_by_seed_with_the_first(probe, villa, lab):
    report = probe(*BLIND, *CLEAR)
    by_body = {c["embodiment"]: c for c in report["comparisons"]}
    assert list(by_body) == ["arm", "arm2", "mean"]
    for body in ("arm", "arm2"):
        scores, change = readouts(report, body), by_body[body]
        assert (change["lam"], change["versus"], change["lower"]) == ("clear", "blind", 3)
        ratios = [a / b - 1 for a, b in zip(scores["clear"]["l1_seeds"], scores["blind"]["l1_seeds"], strict=True)]
        assert change["change_seeds"] == pytest.approx(ratios, abs=1e-4)
        assert change["change"] == pytest.approx(sum(ratios) / 3, abs=1e-4)
    said = villa("probe", lab[1].uri, *BLIND, *CLEAR, *QUICK)
    assert re.search(r"clear against blind, mean: -\d+\.\d%, 95 % interval .* lower in 3 of 3 training seeds", said.out)
    assert "95 % t-intervals of the mean over 3 training seeds, each the mean of 2 probes" in said.out


def test_one_seed_says_that_its_interval_is_over_probes(villa, lab):
    said = villa("probe", lab[1].uri, "--lam", "clear-0", *QUICK)
    assert "over 2 probe seeds of one model: they say nothing of another training seed" in said.out
    said = villa("probe", lab[1].uri, "--lam", "clear-0", *QUICK, "--set", "seeds=1")
    assert "there are no intervals" in said.out


def test_models_are_paired_by_the_seeds_of_their_training_whatever_their_order(probe, lab):
    paths = {(arm, seed): train(lab, f"{arm}-s{seed}", seed) for arm in ("one", "two") for seed in (0, 1)}
    order = [("one", 1), ("one", 0), ("two", 0), ("two", 1)]
    report = probe(*(word for key in order for word in ("--lam", f"{key[0]}={paths[key]}")))
    rows = readouts(report, "arm")
    assert rows["one"]["models"] == [str(paths["one", seed]) for seed in (0, 1)]
    assert rows["two"]["models"] == [str(paths["two", seed]) for seed in (0, 1)]
    assert report["comparisons"][0]["change_seeds"] == [0, 0]  # the same models under two names
    assert report["notes"] == []


def test_other_seeds_in_the_other_variant_are_paired_as_given_and_it_says_so(probe, lab):
    models = [f"one={train(lab, f'p{s}', s)}" for s in (0, 1)] + [f"two={train(lab, f'q{s}', s)}" for s in (1, 2)]
    report = probe(*(word for one in models for word in ("--lam", one)))
    assert report["notes"] == [
        "training seeds differ between variants (one 0, 1; two 1, 2): paired in the order of the command line"
    ]


def test_a_body_that_training_never_saw_is_probed_like_any_other_and_marked(probe, villa, lab, tmp_path):
    narrow = [f"narrow={train(lab, f'narrow-{s}', s, datasets=['shelves'])}" for s in (0, 1)]
    wide = [f"wide={train(lab, f'wide-{s}', s)}" for s in (0, 1)]
    report = probe(*(word for one in narrow for word in ("--lam", one)), "--out", tmp_path / "out")
    assert {e["embodiment"]: e["unseen_by"] for e in report["embodiments"]} == {"arm": [], "arm2": ["narrow"]}
    assert {e["embodiment"]: e["datasets"] for e in report["embodiments"]} == {"arm": ["shelves"], "arm2": ["drawers"]}
    assert len(readouts(report, "arm2")["narrow"]["l1_seeds"]) == 2
    assert "unseen in training" in (tmp_path / "out" / "index.html").read_text()
    said = villa("probe", lab[1].uri, *(w for one in narrow + wide for w in ("--lam", one)), *QUICK)
    assert "arm2: unseen in training by narrow" in said.out
    assert "arm: unseen" not in said.out


def test_of_labels_alone_nobody_knows_what_training_saw(probe):
    (arm, _) = probe("--lam", "clear-0")["embodiments"]
    assert (arm["unseen_by"], arm["unknown_to"]) == ([], ["clear-0"])


def test_a_body_outside_of_the_statistics_of_a_model_is_one_that_it_never_saw(probe, lab):
    lam = train(lab, "elsewhere", 0, datasets=())
    stated = json.loads((lam / "model_config.json").read_text())
    stated["statistics"] = {"arm": {}}
    (lam / "model_config.json").write_text(json.dumps(stated))
    report = probe("--lam", lam)
    assert [(e["unseen_by"], e["unknown_to"]) for e in report["embodiments"]] == [
        ([], ["elsewhere"]),
        (["elsewhere"], []),
    ]


def test_a_model_that_trained_on_episodes_kept_apart_here_is_told_of(probe, lab):
    (note,) = probe("--lam", train(lab, "all", 0, val_fraction=0.1))["notes"]
    assert "all: trained with val_fraction=0.1" in note
    assert "--set val_fraction=0.1" in note


def test_what_the_proprio_model_is_told_changes_nothing_in_the_latents_that_are_probed(probe, lab):
    root = lab[0]
    weights = load_lam(train(lab, "plain", 3)).state_dict()
    for context in (True, False):
        torch.manual_seed(0)
        shape = lam_shape("tiny", num_frames=3, interval_s=0.4, **SMALL | {"use_proprio": True, "use_context": context})
        lam = Lam(shape)
        lam.load_state_dict(weights, strict=False)
        save_model(
            lam, root / f"context-{context}", {"training": {"seed": 0, "val_fraction": 0.25, "context": context}}
        )
    report = probe("--lam", f"without={root / 'context-False'}", "--lam", f"with={root / 'context-True'}")
    assert all(c["change_seeds"] == [0, 0] for c in report["comparisons"])


def test_the_page_stands_alone_with_its_charts_and_the_report_beside_it(probe, tmp_path):
    report = probe(*BLIND, *CLEAR, "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert report["page"] == str(tmp_path / "out" / "index.html")
    html = (tmp_path / "out" / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!#|data:)', html)
    for link in re.findall(r'href="#(\w+)"', html):
        assert f'id="{link}"' in html
    for body in ("arm", "arm2"):
        for source, readout in readouts(report, body).items():
            assert f"<td>{source}</td><td>{readout['l1']:.3f}</td>" in html
    charts = {file.stem: ElementTree.parse(file).getroot() for file in (tmp_path / "out" / "charts").glob("*.svg")}
    assert {"change-all", "change-xyz", "error-0", "error-1", "largest-0", "largest-change-1"} <= charts.keys()
    texts = ["".join(node.itertext()) for node in charts["change-all"].iter("{http://www.w3.org/2000/svg}text")]
    assert sum("lower in 3 of 3" in word for word in texts) == 3


def test_bars_are_as_tall_as_errors(probe, tmp_path):
    report = probe(*BLIND, *CLEAR, "--out", tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out" / "charts" / "error-0.svg").getroot()
    bars = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.find("{*}title") is not None]
    rows = readouts(report, "arm")
    expected = [
        rows[arm]["l1"] if group is None else rows[arm]["groups"][group]
        for group in (None, "xyz", "gripper")
        for arm in ("blind", "clear")
    ]
    heights = [float(bar.get("height")) for bar in bars]
    assert [h / heights[0] for h in heights] == pytest.approx([e / expected[0] for e in expected], abs=0.002)


def test_a_second_page_in_the_same_folder_leaves_no_chart_of_the_first(probe, tmp_path):
    probe(*BLIND, *CLEAR, "--out", tmp_path / "out")
    probe("--lam", "clear-0", "--out", tmp_path / "out")
    names = {file.stem for file in (tmp_path / "out" / "charts").glob("*.svg")}
    assert names == {"error-0", "error-1", "largest-0", "largest-1"}
    assert "of the gap between the yardsticks closed" in (tmp_path / "out" / "index.html").read_text()


def test_a_folder_with_an_equals_sign_is_a_folder(probe, lab):
    lam = train(lab, "lr=3", 0)
    assert probe("--lam", lam)["lams"] == ["lr=3"]


def test_a_title_keeps_spaces_and_html_at_bay(probe, tmp_path):
    report = probe("--lam", "a <b> & c=clear-0", "--out", tmp_path / "out")
    assert report["lams"] == ["a <b> & c"]
    assert "<b> & c" not in (tmp_path / "out" / "index.html").read_text()
    for file in (tmp_path / "out" / "charts").glob("*.svg"):
        ElementTree.parse(file)
    drawing = Drawing('arm "<7>" & hand', [], 10, remark="<unseen>")
    assert ElementTree.fromstring(drawing.file)[1].text == 'arm "<7>" & hand'
    assert ElementTree.fromstring(drawing.figure)[0][0].text == 'arm "<7>" & hand'


@pytest.mark.parametrize(
    ("lams", "message"),
    [
        (["with=nowhere/with-0"], "'nowhere/with-0' is neither a directory with model_config.json nor labels of"),
        (["runs/seed=0/lam"], "'runs/seed=0/lam' is neither a directory"),
        (
            ["a=clear-0", "a=clear-1", "b=blind-0"],
            "variants of different numbers of models (a 2, b 1): seeds are compared",
        ),
        (["a=clear-0", "a=slow"], "models of different frame spacing do not compare (clear-0 0.4 s, slow 0.6 s)"),
        (["a=clear-0", "a=clear-0"], "'a' has the same model twice (clear-0, clear-0)"),
        (["clear-0", "clear-0"], "--lam clear-0 is given twice"),
        (["=clear-0"], "--lam =clear-0: expected FOLDER, or TITLE=FOLDER"),
        (["a="], "--lam a=: expected FOLDER, or TITLE=FOLDER"),
        (["true state change=clear-0"], "this is what a yardstick is called; choose another title"),
    ],
)
def test_bad_input_costs_one_line(villa, lab, lams, message):
    said = villa("probe", lab[1].uri, *(word for lam in lams for word in ("--lam", lam)), *QUICK)
    assert said.code == 2
    assert message in said.line


def test_a_damaged_model_costs_one_line(villa, lab):
    cut, bare = train(lab, "cut", 0), train(lab, "bare", 1)
    (cut / "model_config.json").write_text((cut / "model_config.json").read_text()[:80])
    (bare / "model.safetensors").unlink()
    for lam, message in ((cut, "cut short or not JSON"), (bare, "model.safetensors")):
        said = villa("probe", lab[1].uri, "--lam", f"one={lam}", *QUICK)
        assert said.code == 2
        assert str(lam) in said.line
        assert message in said.line


def test_a_camera_that_no_robot_has_costs_one_line(villa, lab):
    said = villa("probe", lab[1].uri, "--lam", train(lab, "cam", 0), *QUICK, "--set", "slot=wrist")
    assert said.code == 2
    assert "no kept robot episode has states, actions and camera 'wrist'" in said.line
    assert "--set slot=NAME" in said.line
