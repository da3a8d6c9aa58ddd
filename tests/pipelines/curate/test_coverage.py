"""A rule says which episodes it could not check, and why: on screen, in the JSON, on the page, and of one episode."""

import dataclasses
import json

import numpy as np
import pytest

from dataengine import catalog
from dataengine.store import Corpus
from pipelines.curate import CurateConfig, run
from tests.support.corpora import SIDE, frames_of, human_clip, make_corpus, robot_episode
from tests.support.recordings import clip, recording, replaced


def without_state():
    return dataclasses.replace(robot_episode("bare"), state=None, state_encoding="none")


def without_action():
    return dataclasses.replace(robot_episode("bare"), action=None, action_encoding="none")


def at_rest():
    episode = robot_episode("rests")
    state = np.repeat(episode.state[:1], len(episode.state), axis=0)
    return dataclasses.replace(episode, state=state)


def joints():
    return recording("joints", body="panda_joint", cameras=False)


def blind():
    return dataclasses.replace(robot_episode("blind"), cameras={})


def unknown(**changes):
    episode = recording("u", body="widowx", cameras=False)
    return replaced(episode, "u", notes={"state_units": "unknown", "action_units": "unknown"}, **changes)


def single():
    return robot_episode("one", num_steps=1, pictures=np.zeros((1, SIDE, SIDE, 3), np.uint8))


def plain_clip():
    return clip("plain", pictures=np.full((20, 64, 64, 3), 90, np.uint8))


FEW = "fewer than 12 episodes of the embodiment in the dataset to tell what is usual"

LACKS = {
    "drop_irregular_clock": (single, "a single step"),
    "drop_still": (joints, "a state of joint_position, which gives no position of a hand"),
    "drop_still ": (without_state, "no state"),
    "drop_jumps": (joints, "a state of joint_position, which gives no position of a hand"),
    "drop_jumps ": (unknown, f"an unknown unit, and {FEW}"),
    "drop_jumps  ": (single, "fewer than two positions of a hand"),
    "drop_mismatch": (joints, "a state of joint_position, which is not compared"),
    "drop_mismatch ": (without_action, "no action"),
    "drop_mismatch  ": (lambda: unknown(action_encoding="eef_pose"), "a state of unknown unit"),
    "drop_outliers": (robot_episode, FEW),
    "drop_frozen_camera": (blind, "fewer than two pictures"),
    "drop_black_frames": (blind, "no pictures"),
    "drop_broken_pictures": (blind, "no pictures"),
    "drop_still_video": (lambda: human_clip("c", cameras=False), "fewer than two pictures"),
    "drop_no_hands": (lambda: human_clip("c"), "nobody tells of hands step by step"),
    "drop_blurred": (plain_clip, "no pictures with edges to check by"),
    "drop_shot_cuts": (lambda: human_clip("c", num_steps=2), "fewer than three pictures"),
    "drop_duplicate_clips": (
        lambda: human_clip("c", cameras=False),
        "no pictures with a checksum or with motion",
    ),
    "trim_idle": (at_rest, "nothing that moves"),
    "trim_idle ": (without_state, "no state"),
}  # fmt: skip


@pytest.mark.parametrize("rule", LACKS)
def test_what_a_rule_cannot_judge_it_says_with_the_reason(tmp_path, rule):
    make, why = LACKS[rule]
    rule = rule.strip()
    episode = make("e") if make is robot_episode else make()
    uri = make_corpus(tmp_path / "corpus", {"a": [episode]}).uri
    recipe = tmp_path / "rules.yaml"
    recipe.write_text(f"{rule}: {{}}\n")
    report = run(CurateConfig(corpus=uri, recipe=str(recipe)))
    (facts,) = json.loads(report.model_dump_json())["rules"]
    assert (facts["checked"], facts["not_checked"], facts["dropped"]) == (0, 1, 0)
    (share,) = facts["coverage"]
    assert (share["is_checked"], share["text"], share["by_dataset"]) == (False, why, {episode.dataset: 1})
    assert f"{rule}: all 1 episodes not checked: {why} ({episode.dataset} 1)" in report.summary()
    page = (tmp_path / "corpus.curation" / "index.html").read_text()
    assert f"all 1 episodes not checked: {why}" in page
    assert "0 checked, 1 not checked, none" in page
    explained = run(CurateConfig(corpus=uri, recipe=str(recipe), explain=episode.episode_id))
    assert f"not checked: {why}" in explained.summary()
    assert "fine" not in explained.summary()


def test_part_of_an_episode_that_is_judged_is_named(tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"a": [unknown()]}).uri
    report = run(CurateConfig(corpus=uri, page=False))
    (share,) = next(r for r in report.rules if r.rule == "drop_mismatch").coverage
    assert share.is_checked
    assert share.text == "by whether deltas are positions alone where a unit of the state is unknown"


def test_every_episode_of_a_kind_is_judged_or_not_or_gone_before(tmp_path):
    here = dataclasses.replace(joints(), dataset="made")
    parts = {
        "a": [robot_episode("a"), robot_episode("short", num_steps=3), without_state(), here],
        "b": [human_clip("c", dataset="hands"), human_clip("blind", dataset="hands", cameras=False)],
    }
    report = run(CurateConfig(corpus=make_corpus(tmp_path / "corpus", parts).uri, page=False))
    assert [facts.dropped for facts in report.rules][:1] == [report.dropped] == [1]
    episodes = {"robot": 4, "human": 2}
    for facts in report.rules:
        asked = sum(episodes[kind] for kind in catalog.stage(facts.rule).kinds)
        assert facts.checked + facts.not_checked == asked, facts.rule
        assert facts.not_checked == sum(share.episodes for share in facts.coverage if not share.is_checked)
        episodes["robot"] -= facts.dropped


def test_what_several_rules_say_alike_is_said_once(tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"a": [joints()]}).uri
    lines = run(CurateConfig(corpus=uri, page=False)).summary().splitlines()
    assert sum("gives no position of a hand" in line for line in lines) == 1
    assert any(line.startswith("drop_still, drop_jumps: all 1 episodes not checked") for line in lines)


def test_pictures_that_cannot_be_read_are_not_said_to_be_missing(tmp_path):
    episode = robot_episode("torn")
    frames = episode.cameras["primary"]
    torn = dataclasses.replace(frames, jpegs=[jpeg[:-30] for jpeg in frames.jpegs])
    uri = make_corpus(tmp_path / "corpus", {"a": [dataclasses.replace(episode, cameras={"primary": torn})]}).uri
    report = run(CurateConfig(corpus=uri, page=False))
    (share,) = next(r for r in report.rules if r.rule == "drop_black_frames").coverage
    assert share.text == "could not be measured"


def test_a_rule_that_compares_does_not_call_fine_what_was_dropped_before(tmp_path):
    short = robot_episode("short", num_steps=3)
    uri = make_corpus(tmp_path / "corpus", {"a": [short]}).uri
    run(CurateConfig(corpus=uri, page=False))
    verdicts = {v.rule: v for v in run(CurateConfig(corpus=uri, explain=short.episode_id)).verdicts}
    for rule in ("drop_outliers", "drop_duplicates"):
        assert not verdicts[rule].checked
        assert verdicts[rule].coverage == "only what no other rule drops is compared"


def test_a_dead_camera_is_told_of_an_episode_that_stays(tmp_path):
    dark = frames_of(np.zeros((30, SIDE, SIDE, 3), np.uint8))
    episode = robot_episode("0")
    episode = dataclasses.replace(episode, cameras={**episode.cameras, "wrist": dark})
    uri = make_corpus(tmp_path / "corpus", {"a": [episode]}).uri
    run(CurateConfig(corpus=uri, page=False))
    summary = run(CurateConfig(corpus=uri, explain=episode.episode_id)).summary()
    assert "fine, but camera wrist is black throughout" in summary
    assert "fine, but camera wrist shows one picture throughout" in summary


def test_an_unknown_unit_is_explained_by_the_share_that_it_was_judged_by(tmp_path):
    made = [recording(f"{i}", body="ur5", seed=i, cameras=False) for i in range(12)]
    made = [replaced(e, e.source_record, notes={"state_units": "unknown"}) for e in made]
    uri = make_corpus(tmp_path / "corpus", {"a": made}).uri
    run(CurateConfig(corpus=uri, page=False))
    verdicts = {v.rule: v for v in run(CurateConfig(corpus=uri, explain=made[0].episode_id)).verdicts}
    assert 0.5 < verdicts["drop_still"].numbers["hand_reach_share"] < 2
    assert 0.1 < verdicts["drop_jumps"].numbers["hand_speed_max_reaches"] < 30
    learnt = Corpus.open(uri).runs().to_pylist()[-1]["config"]
    assert json.loads(learnt)["learnt"]["drop_still"]["ur5 in lab"]["usual_reach"] > 0
