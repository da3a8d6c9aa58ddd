"""Copies: equal byte for byte whatever is said of them, and in another unit where one scale explains all of them."""

import dataclasses

import numpy as np
import pytest

from dataengine.store import Corpus
from dataengine.texts import whole_episode
from pipelines.curate import CurateConfig, run
from tests.support.corpora import make_corpus
from tests.support.recordings import clip, recording, replaced

UNKNOWN = {"state_units": "unknown", "action_units": "unknown"}


def ticks(record="a", *, seed=0, body="ur5"):
    return replaced(recording(record, body=body, seed=seed, cameras=False), record, notes=UNKNOWN)


def scaled(episode, record, *, state=1.0, action=1.0, **changes):
    vectors = {"state": np.float32(episode.state * state), "action": np.float32(episode.action * action)}
    return replaced(episode, record, **(vectors | changes))


def checked(tmp_path, *episodes, rules="drop_duplicates: {}\ndrop_duplicate_clips: {}\n"):
    """Curate episodes by a few rules; give the report and reasons by record."""
    recipe = tmp_path / "rules.yaml"
    recipe.write_text(rules)
    uri = make_corpus(tmp_path / "corpus", {str(i): [episode] for i, episode in enumerate(episodes)}).uri
    report = run(CurateConfig(corpus=uri, recipe=str(recipe)))
    rows = Corpus.open(uri).table(["source_record", "reject_reason"]).to_pylist()
    return report, {row["source_record"]: row["reject_reason"] for row in rows if row["reject_reason"]}


MIRROR = {"dataset": "mirror"}


@pytest.mark.parametrize(
    ("changes", "is_copy"),
    [
        ({"state": 1000, "action": 1000, **MIRROR}, True),
        ({"state": 0.001, "action": 0.001, **MIRROR}, True),
        ({"action": 1000, **MIRROR}, False),
        ({"state": 1000, **MIRROR}, False),
        ({"state": 1000, "action": 500, **MIRROR}, False),
        ({"state": 1000, "action": 1000}, False),  # within a dataset a unit is one
        ({"action": 1.2}, False),
        ({"state": 1.00001, "action": 1.00001}, True),
    ],
)
@pytest.mark.parametrize("body", ["ur5", "panda_joint", "widowx"])
def test_copies_of_unknown_unit_differ_by_one_scale_of_states_and_actions(tmp_path, body, changes, is_copy):
    made = ticks(body=body)
    report, reasons = checked(tmp_path, made, scaled(made, "b", **changes))
    facts = report.rules[0]
    if is_copy:
        ((reason,),) = [reasons.values()]
        assert "motions differ by 0.0% of how far values of unknown unit range in the episode, allowed 1.0%" in reason
        assert not facts.notes
    else:
        assert not reasons
        (note,) = facts.notes
        assert "1 episodes of unknown unit move as another one does and stay" in note
        assert all(e.episode_id in note for e in (made, scaled(made, "b", **changes)))


def test_no_distance_in_metres_is_told_of_unknown_units(tmp_path):
    made = ticks()
    copy = scaled(made, "b", state=2, action=2, **MIRROR)
    report, reasons = checked(tmp_path, made, copy)
    assert not any(" m " in reason for reason in reasons.values())
    explained = run(CurateConfig(corpus=report.corpus, recipe=report.recipe, explain=copy.episode_id))
    numbers = explained.verdicts[0].numbers
    assert numbers["motion_distance_m"] is None
    assert numbers["motion_distance_share"] == pytest.approx(0, abs=1e-3)


def test_a_share_has_a_threshold_of_its_own(tmp_path):
    made = ticks()
    noise = np.random.default_rng(0).normal(size=made.state.shape) * 0.002
    near = replaced(made, "near", state=np.float32(made.state + noise))
    for share, copies in ((0.05, 1), (0.0001, 0)):
        rules = f"drop_duplicates: {{max_distance_share: {share}, max_distance_m: 0.0001}}\n"
        (tmp_path / str(share)).mkdir()
        _, reasons = checked(tmp_path / str(share), made, near, rules=rules)
        assert len(reasons) == copies


def test_a_crowd_on_two_scales_leaves_one_of_each(tmp_path):
    made = ticks()
    crowd = [scaled(made, f"{i}", action=1 + 1e-4 * (i // 2) + 999 * (i % 2)) for i in range(90)]
    recipe = tmp_path / "rules.yaml"
    recipe.write_text("drop_duplicates: {}\n")
    uri = make_corpus(tmp_path / "corpus", {"a": crowd}).uri
    assert run(CurateConfig(corpus=uri, recipe=str(recipe), page=False)).kept == 2


CLIP = clip("clip")
ROBOT = recording("robot", body="widowx", seconds=3.0)
STILL = dataclasses.replace(
    ROBOT, state=np.repeat(ROBOT.state[:1], len(ROBOT.state), 0), action=np.zeros_like(ROBOT.action)
)


@pytest.mark.parametrize("episode", [ROBOT, STILL, CLIP], ids=["moving", "still", "clip"])
@pytest.mark.parametrize(
    "changes",
    [
        {"notes": {"remark": "looked at twice", "cameras": "primary=front"}},
        {"notes": {"state_names": "a,b,c,d,e,f,g", "action_grippers": ""}},
        {"notes": UNKNOWN},
        {"texts": ()},
        {"texts": whole_episode(["something else entirely"], 15)},
        {"dataset": "mirror"},
        {"dataset": "mirror", "embodiment": "another name", "licence": "other", "split": "val"},
        {"source_uri": "elsewhere/file"},
    ],
    ids=lambda changes: "+".join(changes),
)
def test_what_is_equal_byte_for_byte_is_a_copy_whatever_is_said_of_it(tmp_path, episode, changes):
    if changes.get("texts"):
        changes = {"texts": whole_episode(["something else entirely"], len(episode.time_ns))}
    _, reasons = checked(tmp_path, episode, replaced(episode, "again", **changes))
    ((reason,),) = [reasons.values()]
    assert "pictures are equal" in reason
