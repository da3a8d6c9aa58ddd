"""Rules in metres check metres: known units are converted, unknown ones go by what is usual, or are left alone."""

import dataclasses
import json

import numpy as np
import pytest

from dataengine.curation.stages.drop_duplicates import DropDuplicates
from dataengine.curation.stages.drop_jumps import DropJumps
from dataengine.curation.stages.drop_mismatch import DropMismatch
from dataengine.curation.stages.drop_still import DropStill
from dataengine.curation.stages.trim_idle import TrimIdle
from dataengine.store import Corpus
from pipelines.curate import CurateConfig, run
from tests.support.corpora import frames_of, make_corpus, robot_episode
from tests.support.recordings import recording, replaced
from tests.support.rows import rows_of_episodes

MM = "millimetres,millimetres,millimetres,degrees,degrees,degrees,percent_open"
FACTORS = np.array([1000, 1000, 1000, *[180 / np.pi] * 3, 100])


def in_other_units(episode, units=MM, factors=FACTORS):
    state, action = (np.asarray(v * factors, np.float32) for v in (episode.state, episode.action))
    notes = {"state_units": units, "action_units": units}
    return replaced(episode, f"{episode.source_record} {units[:9]}", state=state, action=action, notes=notes)


def with_state(episode, record, **columns):
    state = episode.state.copy()
    for index, values in columns.items():
        state[:, int(index.removeprefix("c"))] = values
    return replaced(episode, record, state=state)


def measured(stage, *episodes):
    return stage.measure(rows_of_episodes(*episodes))


def jumping(episode, metres=0.6):
    state = episode.state.copy()
    state[len(state) // 2 :, 1] += metres
    return replaced(episode, f"{episode.source_record} jumps", state=state)


@pytest.mark.parametrize("stage", [DropStill(), DropJumps(), DropMismatch(), TrimIdle()])
@pytest.mark.parametrize("body", ["widowx", "ur5"])
def test_known_units_come_to_the_numbers_of_metres(stage, body):
    made = recording("a", body=body, idle_s=2.0, cameras=False)
    ours, theirs = (measured(stage, e) for e in (made, in_other_units(made)))
    for name in stage.columns:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-3, atol=1e-3, err_msg=name)


def test_a_copy_in_millimetres_is_a_copy(tmp_path):
    some = [recording(f"{i}", body="ur5", seed=i, cameras=False) for i in range(3)]
    uri = make_corpus(tmp_path / "corpus", {"a": [*some, in_other_units(some[1])]}).uri
    report = run(CurateConfig(corpus=uri, page=False))
    assert report.dropped_by_dataset["lab"] == {"drop_duplicates": 1}


UNKNOWN = {"units": "unknown", "factors": np.array([731.0] * 3 + [41.0] * 3 + [100.0])}


def test_ticks_are_judged_as_metres_are_once_enough_episodes_say_what_is_usual(tmp_path):
    good = [recording(f"{i}", body="ur5", seed=i, cameras=False) for i in range(14)]
    still = with_state(good[0], "still", **{f"c{i}": good[0].state[0, i] for i in range(7)})
    bad = [jumping(good[1]), still]
    for name, made in (("metres", [*good, *bad]), ("ticks", [in_other_units(e, **UNKNOWN) for e in [*good, *bad]])):
        recipe = tmp_path / "rules.yaml"
        recipe.write_text("drop_still: {}\ndrop_jumps: {}\n")
        uri = make_corpus(tmp_path / name, {"a": made}).uri
        report = run(CurateConfig(corpus=uri, recipe=str(recipe), page=False))
        rows = Corpus.open(uri).table(["source_record", "reject_reason"]).to_pylist()
        gone = {r["source_record"].removesuffix(" unknown"): r["reject_reason"] for r in rows if r["reject_reason"]}
        assert set(gone) == {"1 jumps", "still"}, gone
        if name == "ticks":
            assert "usual reaches of ur5 in lab a second" in gone["1 jumps"]
            assert "drop_still: all 16 episodes checked by the usual reach of the embodiment" in report.summary()
            assert "drop_jumps: all 15 episodes checked by the usual reach of the embodiment" in report.summary()


def test_a_few_episodes_of_unknown_unit_are_left_alone_and_that_is_said(tmp_path):
    some = [recording(f"{i}", body="ur5", seed=i, cameras=False) for i in range(3)]
    made = [in_other_units(e, **UNKNOWN) for e in [*some, jumping(some[0])]]
    uri = make_corpus(tmp_path / "corpus", {"a": made}).uri
    report = run(CurateConfig(corpus=uri, page=False))
    assert report.dropped == 0
    assert "drop_still, drop_jumps: all 4 episodes not checked: an unknown unit, and fewer than 12" in report.summary()
    assert "drop_mismatch: all 4 episodes not checked: a state of unknown unit (lab 4)" in report.summary()
    jumps = json.loads(report.model_dump_json())["rules"][3]
    assert (jumps["rule"], jumps["checked"], jumps["not_checked"]) == ("drop_jumps", 0, 4)
    assert jumps["coverage"][0]["by_dataset"] == {"lab": 4}


def test_deltas_of_unknown_unit_that_are_positions_are_found_and_others_are_left_alone():
    made = in_other_units(recording("d", body="widowx", seed=3, cameras=False), **UNKNOWN)
    against = replaced(made, "against", action=made.action * np.float32([-1, -1, -1, 1, 1, 1, 1]))
    targets = replaced(made, "targets", action=np.concatenate([made.state[1:], made.state[-1:]]))
    stage = DropMismatch()
    says = [
        stage.reject({name: float(values[0]) for name, values in measured(stage, e).items()})
        for e in (made, against, targets)
    ]
    assert says[:2] == [None, None]  # in the frame of a hand that is turned nobody knows how, both may be right
    assert "its deltas look like target positions" in says[2]


def test_waiting_is_trimmed_in_any_unit():
    waits = recording("waits", body="ur5", idle_s=3.0, cameras=False)
    stage = TrimIdle()
    cuts = []
    for episode in (waits, in_other_units(waits), in_other_units(waits, **UNKNOWN)):
        numbers = {name: float(values[0]) for name, values in measured(stage, episode).items()}
        cuts.append(stage.trim(numbers))
    assert cuts[0] == cuts[1]
    np.testing.assert_allclose(cuts[2], cuts[0], atol=3)
    assert min(cuts[2]) > 40


def test_a_fault_does_not_make_the_rest_of_an_episode_idle():
    moves = in_other_units(recording("moves", body="ur5", cameras=False), **UNKNOWN)
    state = moves.state.copy()
    state[60, :3] *= 1000
    stage = TrimIdle()
    numbers = {n: float(v[0]) for n, v in measured(stage, replaced(moves, "fault", state=state)).items()}
    assert stage.trim(numbers) == (0, 0)


def hardly(record, start, at, *, units="unknown", seed=0):
    """A joint steps by one tick at some instant, others stay where they are."""
    state = np.tile(np.asarray(start, np.float32), (40, 1))
    state[at:, 2] += 1
    episode = robot_episode(record, num_steps=40, seed=seed)
    return dataclasses.replace(
        episode,
        state=state,
        action=state.copy(),
        state_encoding="joint_position",
        action_encoding="joint_position",
        notes={"state_units": units, "action_units": units},
    )


@pytest.mark.parametrize("units", ["unknown", "ticks"])
def test_different_demonstrations_that_hardly_move_are_no_copies(tmp_path, units):
    start = [2048, 1500, 900, 2100, 0, 10]
    made = [hardly("a", start, 12, units=units), hardly("b", start, 13, units=units)]
    uri = make_corpus(tmp_path / "corpus", {"a": made}).uri
    assert run(CurateConfig(corpus=uri, page=False)).dropped_by_dataset == {"made": {}}


def test_pixels_beyond_what_a_signature_holds_are_no_copies(tmp_path):
    made = []
    for i in range(2):
        episode = robot_episode(f"{i}", seed=i)
        # As published by a push-T set, and said to be a pose by its user: positions up to 512 pixels.
        state, action = (200 + 300 * np.float32(v[:, :2]) for v in (episode.state, episode.action))
        notes = {"state_units": "pixels", "action_units": "pixels"}
        made.append(dataclasses.replace(episode, state=state, action=action, notes=notes, action_encoding="eef_pose"))
    uri = make_corpus(tmp_path / "corpus", {"a": made}).uri
    assert run(CurateConfig(corpus=uri, page=False)).dropped == 0
    # Read as metres they would saturate: then they are not compared either.
    assert measured(DropDuplicates(), *(dataclasses.replace(e, notes={}) for e in made))["motion"] == [[], []]


def test_values_at_the_bound_of_a_sensor_are_not_compared():
    made = recording("a", body="ur5", cameras=False)
    half = np.arange(len(made.state)) < len(made.state) // 2
    others = {f"c{i}": made.state[0, i] for i in range(1, 7)}
    clipped = with_state(made, "clipped", c0=np.where(half, -1.0, 1.0), **others)
    assert len(measured(DropDuplicates(), clipped)["motion"][0]) == 0
    assert len(measured(DropDuplicates(), made)["motion"][0]) > 0


def test_outliers_of_unknown_unit_are_those_of_metres(tmp_path):
    good = [recording(f"{i}", body="ur5", seed=i, cameras=False) for i in range(14)]
    state = good[3].state.copy()
    state[40, 2] = 30.0
    dropped = []
    for name, change in (("metres", lambda e: e), ("ticks", lambda e: in_other_units(e, **UNKNOWN))):
        recipe = tmp_path / "rules.yaml"
        recipe.write_text("drop_outliers: {}\n")
        made = [change(e) for e in [*good, replaced(good[3], "far", state=state)]]
        uri = make_corpus(tmp_path / name, {"a": made}).uri
        run(CurateConfig(corpus=uri, recipe=str(recipe), page=False))
        rows = Corpus.open(uri).table(["source_record", "reject_reason"]).to_pylist()
        dropped.append({r["source_record"].split()[0]: r["reject_reason"] for r in rows if r["reject_reason"]})
    assert [set(gone) for gone in dropped] == [{"far"}, {"far"}]
    assert all("state 2 (z) reaches" in gone["far"] for gone in dropped)


def test_seven_joints_have_no_gripper_and_aloha_has_two():
    joints = recording("j", body="panda_joint", cameras=False)
    seven = dataclasses.replace(joints, state=joints.state[:, :7])
    assert np.isnan(measured(DropStill(), dataclasses.replace(seven, action=None))["gripper_range"]).all()
    both = dataclasses.replace(seven, state=np.zeros((len(seven.state), 14), np.float32))
    both.state[30:, 13] = 0.7
    measured_values = measured(DropStill(), both)
    assert (measured_values["gripper_range"][0], np.isnan(measured_values["hand_reach_m"][0])) == (
        np.float32(0.7),
        True,
    )


@pytest.mark.parametrize(("dim", "arms"), [(4, 1), (12, 2), (6, 1), (2, 1)])
def test_poses_of_any_width_are_judged(dim, arms):
    state = np.zeros((60, dim), np.float32)
    second = (arms - 1) * 6
    still = dataclasses.replace(robot_episode("s", num_steps=60), state=state, action=None, action_encoding="none")
    numbers = {n: float(v[0]) for n, v in measured(DropStill(), still).items()}
    assert "hands stayed within 0.0 mm" in DropStill().reject(numbers)
    moves = state.copy()
    moves[:, second] = np.arange(60) * 0.004
    jump = moves.copy()
    jump[30:, second + 1] += 0.9
    for values, says in ((moves, None), (jump, "a hand jumped at 9.0 m/s")):
        episode = dataclasses.replace(still, state=values)
        assert DropStill().reject({n: float(v[0]) for n, v in measured(DropStill(), episode).items()}) is None
        reason = DropJumps().reject({n: float(v[0]) for n, v in measured(DropJumps(), episode).items()})
        assert reason is None if says is None else says in reason


def test_the_gripper_that_is_told_counts_where_none_is_measured():
    state = np.zeros((40, 6), np.float32)
    action = np.zeros((40, 7), np.float32)
    action[20:, 6] = 1
    episode = dataclasses.replace(robot_episode("g", num_steps=40), state=state, action=action)
    numbers = {n: float(v[0]) for n, v in measured(DropStill(), episode).items()}
    assert (numbers["gripper_range"], DropStill().reject(numbers)) == (1.0, None)


def twins(count=25):
    """Episodes as two splits hold them: every third hardly moves."""
    for i in range(count):
        made = robot_episode(f"train/{i}", seed=i, num_steps=20)
        if i % 3 == 0:
            noise = np.random.default_rng(i).normal(size=made.state.shape) * 1e-4
            pictures = np.full((20, 32, 32, 3), 40 + i, np.uint8)
            made = dataclasses.replace(
                made,
                state=(made.state[:1] + noise).astype(np.float32),
                action=np.zeros_like(made.action),
                cameras={"primary": frames_of(pictures)},
            )
        yield made
        yield dataclasses.replace(made, source_record=f"val/{i}", source_uri=f"memory/val/{i}", split="val")


def test_episodes_that_two_splits_hold_are_copies_however_little_moves(tmp_path):
    made = list(twins())
    uri = make_corpus(tmp_path / "corpus", {"a": made[::2], "b": made[1::2]}).uri
    recipe = tmp_path / "rules.yaml"
    recipe.write_text("drop_duplicates: {}\n")
    report = run(CurateConfig(corpus=uri, recipe=str(recipe), page=False))
    assert report.dropped == 25
    rows = Corpus.open(uri).table(["episode_id", "source_record", "split", "keep", "reject_reason"]).to_pylist()
    ids = {r["source_record"]: r["episode_id"] for r in rows}
    for row in rows:
        assert row["keep"] == (row["split"] == "train")
        if not row["keep"]:
            original = ids[row["source_record"].replace("val", "train")]
            assert (
                f"repeats episode {original} in split train: states, actions and pictures are equal"
                in (row["reject_reason"])
            )


def test_equal_numbers_beside_other_pictures_are_no_copies_where_nothing_moves(tmp_path):
    made = [next(iter(twins(1)))]
    other = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    made.append(dataclasses.replace(made[0], source_record="other", cameras={"primary": frames_of(other)}))
    recipe = tmp_path / "rules.yaml"
    recipe.write_text("drop_duplicates: {}\n")
    uri = make_corpus(tmp_path / "corpus", {"a": made}).uri
    assert run(CurateConfig(corpus=uri, recipe=str(recipe), page=False)).dropped == 0
