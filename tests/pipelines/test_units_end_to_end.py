"""One set of recordings in several units: curation decides alike, statistics scale, and unknown units stay unknown."""

import dataclasses

import numpy as np
import pytest

from dataengine.store import Corpus
from dataengine.vector_layout import layout_of
from pipelines.curate import CurateConfig
from pipelines.curate import run as curate
from pipelines.stats import StatsConfig
from pipelines.stats import run as stats
from tests.support.corpora import make_corpus, robot_episode
from tests.support.recordings import recording, replaced

OTHER = {"metres": ("millimetres", 1000.0), "radians": ("degrees", 180 / np.pi), "opening": ("percent_open", 100.0)}
TICKS = {"metres": 731.0, "radians": 0.41, "opening": 17.0}
BODIES = ("widowx", "ur5", "panda_joint")


def changed(episode, record, vector, change):
    values = getattr(episode, vector).copy()
    change(values)
    return replaced(episode, record, **{vector: values})


def jump(state):
    state[len(state) // 2 :, 1] += 0.9


def flip(action):
    action[:, 6] = 1 - action[:, 6]


def beyond(state):
    state[len(state) // 2 :, 2] = 30.0


def rest(state):
    state[:] = state[:1]


def recorded():
    """Healthy recordings of three bodies, and defects that rules look for by metres, radians and openings."""
    bodies = {b: [recording(f"{b} {i}", body=b, seed=i, cameras=False) for i in range(14)] for b in BODIES}
    delta, pose, joints = (bodies[body] for body in BODIES)
    return [
        *(episode for some in bodies.values() for episode in some),
        changed(pose[0], "jumps", "state", jump),
        changed(pose[1], "rests", "state", rest),
        changed(delta[2], "flipped", "action", flip),
        replaced(pose[3], "poses called deltas", action_encoding="eef_delta"),
        replaced(delta[4], "deltas called poses", action_encoding="eef_pose"),
        changed(joints[5], "beyond", "state", beyond),
        replaced(recording("ur5 6", body="ur5", seed=6, cameras=False), "copy", time_ns=pose[6].time_ns + 7),
        recording("ur5 waits", body="ur5", seed=40, idle_s=4.0, cameras=False),
        recording("widowx waits", body="widowx", seed=41, idle_s=4.0, cameras=False),
    ]


def told_in(episode, units):
    """The same in `house` units, in `other` ones that are told, or in ones that nobody tells: house's, or `ticks`."""
    if units == "house":
        return episode
    notes, vectors = {}, {}
    for column in ("state", "action"):
        values = getattr(episode, column)
        layout = layout_of(column, getattr(episode, f"{column}_encoding"), values.shape[1])
        factors = {"other": [OTHER[unit][1] for unit in layout.units], "ticks": [TICKS[unit] for unit in layout.units]}
        vectors[column] = np.float32(values.astype(np.float64) * factors.get(units, 1.0))
        notes[f"{column}_units"] = ",".join(OTHER[u][0] for u in layout.units) if units == "other" else "unknown"
    return replaced(episode, episode.source_record, notes=notes, **vectors)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Report, rows and statistics by units."""
    by_units = {}
    for units in ("house", "other", "unknown", "ticks"):
        made = [told_in(episode, units) for episode in recorded()]
        uri = make_corpus(tmp_path_factory.mktemp(units) / "corpus", {"a": made[::2], "b": made[1::2]}).uri
        report = curate(CurateConfig(corpus=uri, page=False))
        corpus = Corpus.open(uri)
        columns = [
            name for name in corpus.schema.names if name.startswith("quality__") and name.endswith(("_m", "_m_s"))
        ]
        table = corpus.table(["source_record", "reject_reason", "trim_start", "trim_end", *columns])
        by_units[units] = (report, table, stats(StatsConfig(corpus=uri)))
    return by_units


def decisions(table):
    return {
        row["source_record"]: (row["reject_reason"].partition(":")[0], row["trim_start"], row["trim_end"])
        for row in table.to_pylist()
    }


def test_units_that_are_told_come_to_the_decisions_of_house_units(checked):
    ours, theirs = (decisions(checked[units][1]) for units in ("house", "other"))
    assert ours == theirs
    rules = {record: rule for record, (rule, *_) in ours.items() if rule}
    copies = {record for record in ("copy", "ur5 6") if record in rules}
    assert len(copies) == 1
    assert {record: rule for record, rule in rules.items() if record not in copies} == {
        "jumps": "drop_jumps",
        "rests": "drop_still",
        "flipped": "drop_mismatch",
        "poses called deltas": "drop_mismatch",
        "deltas called poses": "drop_mismatch",
        "beyond": "drop_outliers",
    }
    assert sum(start + end > 0 for _, start, end in ours.values()) == 2
    for ours_said, theirs_said in zip(checked["house"][0].rules, checked["other"][0].rules, strict=True):
        assert (ours_said.checked, ours_said.not_checked) == (theirs_said.checked, theirs_said.not_checked)


def test_a_scale_that_nobody_tells_changes_no_decision(checked):
    ours, theirs = (decisions(checked[units][1]) for units in ("unknown", "ticks"))
    assert ours == theirs
    gone = {record for record, (rule, *_) in ours.items() if rule}
    assert gone - {"copy", "ur5 6"} == {"jumps", "rests", "poses called deltas", "beyond"}


def test_no_threshold_in_metres_meets_an_unknown_unit(checked):
    report, table, _ = checked["ticks"]
    for name in table.column_names:
        if name.startswith("quality__"):
            assert np.isnan(table[name].to_numpy()).all(), name
    reasons = [reason for reason in table["reject_reason"].to_pylist() if reason]
    assert reasons
    assert not [reason for reason in reasons if " m " in reason or " mm " in reason or "m/s" in reason]
    beyond = next(reason for reason in reasons if reason.startswith("drop_outliers"))
    assert "(unknown unit)" in beyond
    assert "checked by the usual reach" in report.summary()


def test_a_reason_tells_the_unit_of_its_numbers(checked):
    for units, said in (("house", "reaches 30 radians,"), ("other", "reaches 1719 degrees,")):
        reasons = checked[units][1]["reject_reason"].to_pylist()
        assert any(said in reason for reason in reasons if reason.startswith("drop_outliers"))


def test_statistics_scale_with_the_unit(checked):
    ours, theirs = (checked[units][2] for units in ("house", "other"))
    assert len(ours.groups) == len(theirs.groups) == 6
    for one, other in zip(ours.groups, theirs.groups, strict=True):
        assert (one.dataset, one.embodiment, one.column) == (other.dataset, other.embodiment, other.column)
        assert (one.units, bool(other.units)) == ("", True)
        layout = layout_of(one.column, one.encoding, len(one.mean))
        factors = np.array([OTHER[unit][1] for unit in layout.units])
        for name in ("mean", "std", "min", "max", "q01", "q99"):
            ours_scaled = np.array(getattr(one, name)) * factors
            np.testing.assert_allclose(getattr(other, name), ours_scaled, rtol=1e-5, atol=1e-5 * factors.max())
    assert "eef_pose 7 (millimetres, degrees, percent_open)" in theirs.summary()


def test_angles_wrap_where_their_unit_says(checked):
    wraps = {}
    for units, (*_, report) in checked.items():
        wraps[units] = [doubt for doubt in report.warnings if " jump" in doubt]
    assert all("between -pi and +pi" in doubt for doubt in wraps["house"])
    expected = [doubt.replace("-pi and +pi", "-180 degrees and +180 degrees") for doubt in wraps["house"]]
    assert wraps["other"] == expected != []
    assert wraps["ticks"] == wraps["unknown"] == []


def test_a_gripper_in_percent_is_no_opening_from_0_to_1_however_little_it_opens(tmp_path):
    episode = robot_episode("0")
    state = episode.state.copy()
    state[:, 6] *= 0.9
    units = "metres,metres,metres,radians,radians,radians,percent_open"
    made = dataclasses.replace(episode, state=state, notes={"state_units": units})
    uri = make_corpus(tmp_path / "corpus", {"a": [made]}).uri
    report = stats(StatsConfig(corpus=uri))
    grippers = {group.column: group.grippers for group in report.groups}
    assert (grippers["state"], grippers["action"]) == ([], [6])
    assert "state dimension 6 (gripper) is a gripper in percent_open, not 0 closed to 1 open" in report.summary()


def test_datasets_of_one_embodiment_in_two_units_are_told(tmp_path):
    ours = recording("a", body="ur5", cameras=False)
    theirs = dataclasses.replace(told_in(ours, "other"), dataset="other lab")
    uri = make_corpus(tmp_path / "corpus", {"a": [ours], "b": [theirs]}).uri
    said = stats(StatsConfig(corpus=uri)).summary()
    units = "millimetres, degrees, percent_open"
    assert f"'ur5': its state is eef_pose in lab but eef_pose in {units} in other lab; statistics of the" in said


def test_limits_of_metres_are_not_those_of_millimetres(tmp_path):
    made = [recording(f"{i}", body="ur5", seed=i, cameras=False) for i in range(13)]
    other = told_in(recording("other", body="ur5", seed=50, cameras=False), "other")
    recipe = tmp_path / "rules.yaml"
    recipe.write_text("drop_outliers: {}\n")
    uri = make_corpus(tmp_path / "corpus", {"a": [*made, other]}).uri
    (facts,) = curate(CurateConfig(corpus=uri, recipe=str(recipe), page=False)).rules
    assert (facts.dropped, facts.checked, facts.not_checked) == (0, 13, 1)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_a_gripper_of_unknown_unit_that_is_seldom_used_may_be_used(tmp_path, factor):
    made = [recording(f"{i}", body="ur5", seed=i, cameras=False) for i in range(14)]
    for episode in made[1:]:
        for vector in (episode.state, episode.action):
            vector[:, 6] = 0.5 + 0.001 * np.sin(np.arange(len(vector)))
    made = [
        replaced(
            e,
            e.source_record,
            state=np.float32(e.state * factor),
            action=np.float32(e.action * factor),
            notes={"state_units": "unknown", "action_units": "unknown"},
        )
        for e in made
    ]
    uri = make_corpus(tmp_path / "corpus", {"a": made}).uri
    assert curate(CurateConfig(corpus=uri, page=False)).dropped == 0
