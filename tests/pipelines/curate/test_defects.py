"""Defects planted among several bodies and human clips: each is found by its rule, and nothing else goes."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dataengine.store import Corpus
from dataengine.texts import whole_episode
from pipelines.curate import CurateConfig, run
from tests.support.corpora import frames_of, make_corpus
from tests.support.recordings import clip, pictures_of, recording, replaced, resized

BODIES = ("widowx", "ur5", "g1", "panda_joint")
HEALTHY = 16


def changed(episode, record, vector, change):
    values = getattr(episode, vector).copy()
    change(values)
    return replaced(episode, record, **{vector: values})


def flip_gripper(action):
    action[:, 6::7] = 1 - action[:, 6::7]


def planted():
    """Record to episode; the name's first word is the rule that must find it."""
    bodies = {body: [recording(f"{body} {i}", body=body, seed=i) for i in range(60, 72)] for body in BODIES}
    delta, pose, two, joints = (bodies[body] for body in BODIES)
    film = [clip(f"film {i}") for i in range(6)]
    still = frames_of(np.repeat(pictures_of(delta[0])[:1], delta[0].num_steps, axis=0))
    scenes = [pictures_of(f) for f in film]
    quiet = clip("quiet", pictures=flickering(scenes[0][0]))
    cut = np.concatenate([scenes[1][:13], scenes[2][13:]])
    return {
        "drop_mismatch: flipped gripper, deltas": changed(delta[1], "a", "action", flip_gripper),
        "drop_mismatch: flipped gripper, poses": changed(pose[1], "b", "action", flip_gripper),
        "drop_mismatch: flipped gripper, two arms": changed(two[1], "c", "action", flip_gripper),
        "drop_mismatch: poses called deltas": replaced(pose[2], "d", action_encoding="eef_delta"),
        "drop_mismatch: deltas called poses": replaced(delta[2], "e", action_encoding="eef_pose"),
        "drop_mismatch: actions of another attempt": replaced(delta[3], "g", action=-delta[4].action),
        "drop_frozen_camera: deltas": replaced(delta[5], "h", cameras={"primary": still}),
        "drop_duplicates: again": replaced(healthy("ur5", 3), "i"),
        "drop_duplicates: in another dataset": replaced(healthy("g1", 4), "j", dataset="mirror"),
        "drop_duplicates: with noise": noisy(healthy("widowx", 5), "k"),
        "drop_duplicates: joints": replaced(healthy("panda_joint", 6), "l"),
        "drop_duplicates: without its waiting": without_idle(waiting("widowx"), "m"),
        "drop_outliers: a joint beyond its stop": changed(joints[7], "n", "state", leap),
        "drop_outliers: another unit": changed(delta[7], "o", "action", other_unit),
        "drop_irregular_clock: twice the rate": replaced(pose[8], "p", control_hz=10.0),
        "drop_irregular_clock: a pause": replaced(pose[9], "q", time_ns=pose[9].time_ns + pause(pose[9].num_steps)),
        "drop_blurred: out of focus": clip("r", pictures=blurred(scenes[3])),
        "drop_shot_cuts: a cut": clip("s", pictures=cut),
        "drop_still_video: nobody there": quiet,
        "drop_duplicate_clips: again": replaced(film_kept(0), "t"),
        "drop_duplicate_clips: smaller, brighter, other dataset": clip(
            "u", dataset="video mirror", pictures=brighter(resized(pictures_of(film_kept(1)), 48)), quality=70
        ),
    }  # fmt: skip


def healthy(body, i):
    return recording(f"{body} healthy {i}", body=body, seed=i)


def film_kept(i):
    return clip(f"film healthy {i}")


def waiting(body):
    return recording(f"{body} waits", body=body, seed=30, idle_s=4.0)


def without_idle(episode, record):
    cut = slice(int(3.0 * episode.control_hz), -int(3.0 * episode.control_hz))
    cameras = {"primary": frames_of(pictures_of(episode)[cut])}
    time_ns = episode.time_ns[cut] - episode.time_ns[cut][0]
    texts = whole_episode(episode.instruction, len(time_ns))
    state, action = episode.state[cut], episode.action[cut]
    return replaced(episode, record, state=state, action=action, time_ns=time_ns, cameras=cameras, texts=texts)


def noisy(episode, record):
    draw = np.random.default_rng(9)
    state = episode.state + draw.normal(size=episode.state.shape).astype(np.float32) * 0.0002
    return replaced(episode, record, state=state)


def other_unit(action):
    action[:, :3] *= 40


def leap(state):
    state[len(state) // 2 :, 2] = 9.0


def pause(num_steps):
    return np.where(np.arange(num_steps) > num_steps // 2, 8_000_000_000, 0)


def flickering(picture):
    draw = np.random.default_rng(4)
    light = draw.normal(size=(30, 1, 1, 1)) * 3
    return np.clip(picture + light + draw.normal(size=(30, *picture.shape)) * 2, 0, 255).astype(np.uint8)


def blurred(pictures):
    return np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(5))) for p in pictures])


def brighter(pictures):
    return np.clip(pictures * 1.1 + 12, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    defects = planted()
    good = [healthy(body, i) for body in BODIES for i in range(HEALTHY)]
    good += [film_kept(i) for i in range(12)]
    # Two clips before one background, and two attempts of the same task, are no duplicates.
    good += [clip(f"same room {i}", background=77, shake=0.0) for i in range(6)]
    good += [waiting("widowx"), waiting("ur5")]
    names = {(e.dataset, e.source_record): name for name, e in defects.items()}
    by_dataset = {}
    for e in [*good, *defects.values()]:
        by_dataset.setdefault(e.dataset, []).append(e)
    parts = {f"{dataset} {k}": mine[k::3] for dataset, mine in by_dataset.items() for k in range(3) if mine[k::3]}
    uri = make_corpus(tmp_path_factory.mktemp("defects") / "corpus", parts).uri
    report = run(CurateConfig(corpus=uri))
    columns = ["dataset", "source_record", "keep", "reject_reason", "episode_id", "trim_start", "trim_end"]
    rows = Corpus.open(uri).table(columns).to_pylist()
    return uri, report, rows, names, {(e.dataset, e.source_record) for e in good}


def test_every_defect_is_found_by_its_rule(checked):
    _, _, rows, names, good = checked
    rule_of = {names.get((r["dataset"], r["source_record"])): r["reject_reason"].partition(":")[0] for r in rows}
    by_key = {r["source_record"]: r for r in rows}
    missed = {}
    for name in names.values():
        rule = name.partition(":")[0]
        if not rule.startswith("drop_duplicate") and rule_of[name] != rule:
            missed[name] = rule_of[name]
    assert not missed
    assert by_key
    assert good


def test_of_duplicates_exactly_one_stays_and_names_are_given(checked):
    _, _, rows, names, _ = checked
    by_id = {r["episode_id"]: r for r in rows}
    dropped = [r for r in rows if "repeats episode" in r["reject_reason"]]
    assert len(dropped) == sum(name.startswith("drop_duplicate") for name in names.values())
    for row in dropped:
        other = by_id[row["reject_reason"].split("repeats episode ")[1][:16]]
        assert other["keep"]
        assert other["episode_id"] < row["episode_id"]


def test_nothing_healthy_is_dropped(checked):
    _, report, rows, names, good = checked
    lost = [
        r
        for r in rows
        if (r["dataset"], r["source_record"]) in good and not r["keep"] and "repeats episode" not in r["reject_reason"]
    ]
    assert not lost
    assert report.dropped == len(names)


def test_only_waiting_is_trimmed(checked):
    _, report, rows, _, _ = checked
    trimmed = {r["source_record"]: (r["trim_start"], r["trim_end"]) for r in rows if r["trim_start"] or r["trim_end"]}
    assert set(trimmed) <= {"widowx waits", "ur5 waits"}
    assert report.trimmed == len(trimmed) >= 1
    for record, ends in trimmed.items():
        hz = 5 if "widowx" in record else 20
        assert all(abs(end - 3.7 * hz) <= 0.6 * hz for end in ends)
