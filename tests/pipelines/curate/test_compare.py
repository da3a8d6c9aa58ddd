"""Rules that look at the whole corpus: the same decisions in any order, from columns alone, with names and numbers."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from dataengine import texts
from dataengine.curation.stages import _neighbours
from dataengine.curation.stages.drop_duplicates import DropDuplicates
from dataengine.curation.stages.drop_short import DropShort
from dataengine.store import Corpus
from pipelines.curate import CurateConfig, decide, measure, run
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode
from tests.support.recordings import clip, recording, replaced

ATTEMPTS = [recording(f"{i}", body="widowx", seed=i, seconds=4.0, cameras=False) for i in range(14)]
COPY = replaced(ATTEMPTS[3], "copy", dataset="mirror")
"""The same record in another dataset."""


def only(path, rules):
    recipe = path / "rules.yaml"
    recipe.write_text(rules)
    return str(recipe)


def reasons(uri):
    return {
        r["source_record"]: r["reject_reason"]
        for r in Corpus.open(uri).table(["source_record", "reject_reason"]).to_pylist()
    }


def leap(episode, metres):
    state = episode.state.copy()
    state[:, 1] += metres * np.sin(np.linspace(0, np.pi, len(state)))
    return replaced(episode, "leap", state=state.astype(np.float32))


def test_order_and_parts_do_not_change_who_stays(tmp_path):
    verdicts = []
    for k, parts in enumerate(
        (
            {"a": ATTEMPTS, "b": [COPY]},
            {"b": [COPY], "a": ATTEMPTS[::-1]},
            {"a": ATTEMPTS[:5], "b": [COPY], "c": ATTEMPTS[5:9], "d": ATTEMPTS[9:]},
        )
    ):
        uri = make_corpus(tmp_path / f"corpus {k}", parts).uri
        run(CurateConfig(corpus=uri, page=False))
        verdicts.append(reasons(uri))
    assert verdicts[0] == verdicts[1] == verdicts[2]
    gone = {record for record, reason in verdicts[0].items() if reason}
    assert gone == {max((ATTEMPTS[3], COPY), key=lambda e: e.episode_id).source_record}


def test_a_corpus_that_grows_comes_to_the_same_decisions(tmp_path):
    whole = make_corpus(tmp_path / "whole", {"a": ATTEMPTS, "b": [COPY]})
    run(CurateConfig(corpus=whole.uri, page=False))
    grown = make_corpus(tmp_path / "grown", {"a": ATTEMPTS})
    run(CurateConfig(corpus=grown.uri, page=False))
    add_parts(grown, {"b": [COPY]})
    assert run(CurateConfig(corpus=grown.uri, page=False)).measured == 1
    assert reasons(grown.uri) == reasons(whole.uri)


def test_killed_while_deciding_it_goes_on_to_the_same_decisions(tmp_path, monkeypatch):
    parts = {"a": [*ATTEMPTS, leap(ATTEMPTS[0], 20.0)], "b": [COPY], "c": [human_clip("c", dataset="hands")]}
    whole, killed = (make_corpus(tmp_path / name, parts).uri for name in ("whole", "killed"))
    run(CurateConfig(corpus=whole, page=False))
    update, calls = Corpus.update_fragment, []

    def dies_in_the_middle_of_deciding(self, fragment_id, values):
        if "keep" in values.schema.names:
            calls.append(fragment_id)
            if len(calls) == 2:
                raise KeyboardInterrupt
        update(self, fragment_id, values)

    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "update_fragment", dies_in_the_middle_of_deciding)
        with pytest.raises(KeyboardInterrupt):
            run(CurateConfig(corpus=killed, page=False))
    assert run(CurateConfig(corpus=killed, page=False)).measured == 0
    assert reasons(killed) == reasons(whole)


def test_a_copy_stays_where_a_rule_drops_the_original(tmp_path):
    first, second = sorted((ATTEMPTS[3], COPY), key=lambda e: e.episode_id)
    lame = replaced(first, first.source_record, texts=())
    uri = make_corpus(tmp_path / "corpus", {"a": [lame], "b": [second]}).uri
    recipe = only(tmp_path, "drop_duplicates: {}\ndrop_no_instruction: {}\n")
    run(CurateConfig(corpus=uri, recipe=recipe, page=False))
    assert reasons(uri) == {first.source_record: "drop_no_instruction: no instruction", second.source_record: ""}


def test_the_reason_names_the_other_and_explain_gives_the_distance(tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"a": ATTEMPTS, "b": [COPY]}).uri
    run(CurateConfig(corpus=uri, page=False))
    stays, goes = sorted((ATTEMPTS[3], COPY), key=lambda e: e.episode_id)
    report = run(CurateConfig(corpus=uri, explain=goes.episode_id))
    assert report.reason.startswith(
        f"drop_duplicates: repeats episode {stays.episode_id} of {stays.dataset}: states, actions and pictures are "
    )
    verdict = next(v for v in report.verdicts if v.rule == "drop_duplicates")
    assert verdict.numbers == {"motion_distance_m": 0.0, "motion_distance_share": None}
    assert verdict.thresholds == {"max_distance_m": 0.002, "max_distance_share": 0.01}
    kept = run(CurateConfig(corpus=uri, explain=stays.episode_id))
    assert kept.keep
    assert next(v for v in kept.verdicts if v.rule == "drop_duplicates").numbers["motion_distance_m"] == 0.0


@pytest.mark.parametrize(("noise_m", "kept"), [(0.0003, 14), (0.02, 15)])
def test_how_near_a_copy_is_decides(tmp_path, noise_m, kept):
    noise = np.random.default_rng(0).normal(size=ATTEMPTS[5].state.shape) * noise_m
    near = replaced(ATTEMPTS[5], "near", state=(ATTEMPTS[5].state + noise).astype(np.float32))
    uri = make_corpus(tmp_path / "corpus", {"a": [*ATTEMPTS, near]}).uri
    recipe = only(tmp_path, "drop_duplicates: {}\n")
    assert run(CurateConfig(corpus=uri, recipe=recipe, page=False)).kept == kept


def test_bodies_that_differ_in_what_their_numbers_mean_are_not_compared(tmp_path):
    other = replaced(ATTEMPTS[3], "other meaning", action_encoding="eef_velocity")
    two_arms = recording("two", body="g1", seconds=3.0, cameras=False)
    uri = make_corpus(tmp_path / "corpus", {"a": [*ATTEMPTS[:4], other, two_arms], "b": [clip("c"), clip("d")]}).uri
    recipe = only(tmp_path, "drop_duplicates: {}\ndrop_duplicate_clips: {}\n")
    assert run(CurateConfig(corpus=uri, recipe=recipe, page=False)).dropped == 0


def test_a_crowd_of_equals_leaves_one(tmp_path):
    crowd = [replaced(ATTEMPTS[0], f"copy {i}") for i in range(90)]
    uri = make_corpus(tmp_path / "corpus", {"a": crowd[:50], "b": [*crowd[50:], ATTEMPTS[1]]}).uri
    recipe = only(tmp_path, "drop_duplicates: {}\n")
    assert run(CurateConfig(corpus=uri, recipe=recipe, page=False)).kept == 2


def test_vectors_that_are_near_share_a_band_and_far_ones_hardly_ever():
    draw = np.random.default_rng(1)
    ways = np.cumsum(draw.normal(size=(3000, 16, 6)), axis=1).reshape(3000, -1) * 0.05
    near = ways + draw.normal(size=ways.shape) * 0.002
    both = [_neighbours.bands(v, 0.002, 4, "m")[:, 1:] for v in (ways, near)]
    assert (both[0] == both[1]).any(axis=1).mean() > 0.998
    assert len(_neighbours.candidates(both[0])) < 100


def test_limits_are_learnt_by_dataset_and_noted_with_the_run(tmp_path):
    far = [recording(f"far {i}", body="widowx", dataset="other lab", seed=i, cameras=False) for i in range(13)]
    for e in far:
        e.state[:, 0] += 30.0
    bad = leap(recording("leap", body="widowx", seed=40, cameras=False), 9.0)
    few = [replaced(leap(recording("few", body="ur5", dataset="small lab", cameras=False), 9.0), "few")]
    uri = make_corpus(tmp_path / "corpus", {"a": [*ATTEMPTS, bad], "b": far, "c": few}).uri
    recipe = only(tmp_path, "drop_outliers: {}\n")
    report = run(CurateConfig(corpus=uri, recipe=recipe, page=False))
    assert {record for record, reason in reasons(uri).items() if reason} == {"leap"}
    assert report.kept == len(ATTEMPTS) + len(far) + 1
    assert "state 1 (y) reaches" in reasons(uri)["leap"]
    config = next(run["config"] for run in Corpus.open(uri).runs().to_pylist() if run["command"] == "curate")
    learnt = json.loads(config)["learnt"]["drop_outliers"]
    assert set(learnt) == {"widowx in lab", "widowx in other lab"}
    low, high = learnt["widowx in other lab"]["low"][0], learnt["widowx in other lab"]["high"][0]
    assert low < min(e.state[:, 0].min() for e in far) < max(e.state[:, 0].max() for e in far) < high


def test_a_fifth_of_bad_episodes_does_not_become_usual(tmp_path):
    good = [recording(f"{i}", body="ur5", seed=i, seconds=2.0, cameras=False) for i in range(16)]
    bad = [replaced(leap(e, 9.0), f"bad {i}") for i, e in enumerate(good[:4])]
    uri = make_corpus(tmp_path / "corpus", {"a": good, "b": bad}).uri
    run(CurateConfig(corpus=uri, recipe=only(tmp_path, "drop_outliers: {}\n"), page=False))
    assert {record for record, reason in reasons(uri).items() if reason} == {f"bad {i}" for i in range(4)}


def test_another_distance_reads_columns_only(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).normal(size=ATTEMPTS[5].state.shape) * 0.002
    near = replaced(ATTEMPTS[5], "near", state=(ATTEMPTS[5].state + noise).astype(np.float32))
    uri = make_corpus(tmp_path / "corpus", {"a": [*ATTEMPTS, near]}).uri
    run(CurateConfig(corpus=uri, recipe=only(tmp_path, "drop_duplicates: {max_distance_m: 0.001}\n"), page=False))
    assert not any(reasons(uri).values())
    monkeypatch.setattr(DropDuplicates, "measure", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(measure, "EpisodeRows", lambda *_: pytest.fail("read states"))
    run(CurateConfig(corpus=uri, recipe=only(tmp_path, "drop_duplicates: {max_distance_m: 0.01}\n"), page=False))
    assert sum(bool(reason) for reason in reasons(uri).values()) == 1


def test_a_row_that_is_damaged_costs_itself(tmp_path):
    """As after a writer that is not ours."""
    corpus = make_corpus(tmp_path / "corpus", {"a": ATTEMPTS[:3]})
    rows = corpus.fragment_table(0, ["state"])
    corpus.update_fragment(
        0, pa.table({"_rowid": rows["_rowid"][1:2], "state": pa.array([[1.0] * 9], pa.list_(pa.float32()))})
    )
    report = run(
        CurateConfig(corpus=corpus.uri, recipe=only(tmp_path, "drop_still: {}\ndrop_duplicates: {}\n"), page=False)
    )
    assert (report.kept, report.unreadable) == (2, 1)
    assert "state holds 9 numbers" in next(reason for reason in reasons(corpus.uri).values() if reason)


def test_the_page_shows_every_rule_its_histograms_and_examples(tmp_path):
    frozen = robot_episode("frozen", pictures=np.full((30, 48, 48, 3), 120, np.uint8))
    parts = {
        "a": [robot_episode("good"), frozen, robot_episode("short", num_steps=3)],
        "b": [clip("c"), replaced(clip("c"), "d")],
    }
    uri = make_corpus(tmp_path / "corpus", parts).uri
    report = run(CurateConfig(corpus=uri))
    assert report.page == str(tmp_path / "corpus.curation" / "index.html")
    page = (tmp_path / "corpus.curation" / "index.html").read_text()
    for rule in report.rules:
        assert f'id="{rule.rule}"' in page
    assert "camera changes by 0.00 of 255 at most, need 1.5" in page
    assert "min_change 1.5" in page
    assert "the episode that stays" in page
    assert page.count("data:image/jpeg;base64,") >= 4
    elsewhere = run(CurateConfig(corpus=uri, report=tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "index.html").read_text().count("<section") == len(report.rules) + 1
    assert elsewhere.measured == 0


def test_what_publishers_write_is_text_on_the_page(tmp_path):
    evil = '</figcaption><script>alert("1")</script>'
    still = robot_episode("still", dataset=f"made{evil}", pictures=np.full((30, 48, 48, 3), 120, np.uint8))
    still = dataclasses.replace(still, texts=texts.whole_episode([f"lift {evil}"], 30))
    run(CurateConfig(corpus=make_corpus(tmp_path / "corpus", {"a": [robot_episode("good")], "b": [still]}).uri))
    page = (tmp_path / "corpus.curation" / "index.html").read_text()
    assert "<script" not in page
    assert "lift &lt;/figcaption&gt;&lt;script&gt;" in page
    assert "made&lt;/figcaption&gt;&lt;script&gt;" in page


def test_what_a_survey_reads_comes_in_the_order_it_asks_for(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": ATTEMPTS[:3], "b": ATTEMPTS[3:5]})
    rules = {"drop_short": DropShort()}
    measure.measure(corpus, rules)
    verdicts = decide.check(corpus, rules)
    kept = decide.KeptEpisodes(corpus, verdicts, np.array([4, 0, 2]))
    steps = dict(zip(verdicts.texts["episode_id"], verdicts.numbers("num_steps"), strict=True))
    assert kept.column("num_steps").to_pylist() == [steps[e] for e in kept.episode_ids]
    assert kept.column("num_steps", np.array([2, 0])).to_pylist() == [steps[kept.episode_ids[i]] for i in (2, 0)]
