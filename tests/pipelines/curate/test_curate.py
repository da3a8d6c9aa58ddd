import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from dataengine.curation.stages.drop_still import DropStill
from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from pipelines.curate import CurateConfig, measure, run
from pipelines.curate.recipe import load_recipe
from tests.support.corpora import SIDE, add_parts, frames_of, human_clip, make_corpus, robot_episode
from tests.support.recordings import recording

BLACK = np.zeros((30, SIDE, SIDE, 3), np.uint8)
GREY = np.full((30, SIDE, SIDE, 3), 120, np.uint8)


def still_episode(record):
    episode = robot_episode(record)
    return dataclasses.replace(episode, state=np.zeros_like(episode.state))


def leaping_episode(record):
    episode = robot_episode(record)
    state = episode.state.copy()
    state[20:, 1] += 2
    return dataclasses.replace(episode, state=state)


def make_bad_and_good(path):
    parts = {
        "a": [robot_episode("good"), robot_episode("short", num_steps=3), still_episode("still")],
        "b": [leaping_episode("leap"), robot_episode("frozen", pictures=GREY), human_clip("wave")],
        "c": [robot_episode("black", pictures=BLACK)],
        "d": [human_clip("blink", num_steps=2, dataset="hands")],
    }
    return make_corpus(path, parts)


def verdicts(uri):
    table = Corpus.open(uri).table(["source_record", "keep", "reject_reason"]).to_pylist()
    return {row["source_record"]: (row["keep"], row["reject_reason"].partition(":")[0]) for row in table}


EXPECTED = {
    "good": (True, ""),
    "wave": (True, ""),
    "short": (False, "drop_short"),
    "blink": (False, "drop_short"),
    "still": (False, "drop_still"),
    "leap": (False, "drop_jumps"),
    "frozen": (False, "drop_frozen_camera"),
    "black": (False, "drop_frozen_camera"),
}


def test_every_bad_episode_goes_with_its_reason_and_the_rest_stays(tmp_path):
    uri = make_bad_and_good(tmp_path / "corpus").uri
    report = run(CurateConfig(corpus=uri))
    assert verdicts(uri) == EXPECTED
    assert (report.episodes, report.kept, report.dropped, report.measured) == (8, 2, 6, 8)
    dropped = {r.rule: r.dropped for r in report.rules}
    assert {rule: count for rule, count in dropped.items() if count} == {
        "drop_short": 2,
        "drop_still": 1,
        "drop_jumps": 1,
        "drop_frozen_camera": 2,
    }
    assert {r.rule: r.checked for r in report.rules}[
        "drop_still"
    ] == 5  # of six robots one is too short to be asked about
    assert report.kept_by_dataset == {"hands": 0, "made": 2}
    assert report.dropped_by_dataset["hands"] == {"drop_short": 1}
    assert "kept 2 of 8 episodes" in report.summary()


def test_a_second_call_measures_nothing_and_writes_nothing(tmp_path):
    uri = make_bad_and_good(tmp_path / "corpus").uri
    first = run(CurateConfig(corpus=uri))
    version = Corpus.open(uri).version
    again = run(CurateConfig(corpus=uri))
    assert again.measured == 0
    assert Corpus.open(uri).version == version
    assert Corpus.open(uri).runs()["command"].to_pylist().count("curate") == 1
    assert [r.model_dump() for r in again.rules] == [r.model_dump() for r in first.rules]


def test_a_moved_threshold_reads_no_picture_and_no_state(tmp_path, monkeypatch):
    uri = make_bad_and_good(tmp_path / "corpus").uri
    run(CurateConfig(corpus=uri))
    recipe = tmp_path / "mild.yaml"
    recipe.write_text("drop_short: {min_steps: 2, min_duration_s: 0.1}\n")
    monkeypatch.setattr(measure, "open_film", lambda *_: pytest.fail("looked at pictures"))
    monkeypatch.setattr(measure, "EpisodeRows", lambda *_: pytest.fail("read states"))
    report = run(CurateConfig(corpus=uri, recipe=str(recipe)))
    assert report.kept == 8
    assert set(verdicts(uri).values()) == {(True, "")}


def test_only_new_episodes_are_measured(tmp_path):
    corpus = make_bad_and_good(tmp_path / "corpus")
    run(CurateConfig(corpus=corpus.uri))
    add_parts(corpus, {"late": [robot_episode("late"), still_episode("late still")]})
    report = run(CurateConfig(corpus=corpus.uri))
    assert report.measured == 2
    assert verdicts(corpus.uri) == EXPECTED | {"late": (True, ""), "late still": (False, "drop_still")}


def test_a_new_stage_measures_its_own_numbers_only(tmp_path, monkeypatch):
    uri = make_bad_and_good(tmp_path / "corpus").uri
    first = tmp_path / "first.yaml"
    first.write_text("drop_still: {}\n")
    run(CurateConfig(corpus=uri, recipe=str(first)))
    monkeypatch.setattr(DropStill, "measure", lambda *_: pytest.fail("measured again"))
    assert run(CurateConfig(corpus=uri)).measured == 8
    assert verdicts(uri) == EXPECTED


def test_rows_that_lack_numbers_inside_a_measured_fragment_are_filled(tmp_path):
    """As after a compaction that put measured and new rows into one fragment."""
    corpus = make_bad_and_good(tmp_path / "corpus")
    run(CurateConfig(corpus=corpus.uri))
    corpus.refresh()
    rows = corpus.fragment_table(0, ["quality__num_steps"])
    corpus.update_fragment(
        0, pa.table({"_rowid": rows["_rowid"][1:2], "quality__num_steps": pa.array([None], pa.float64())})
    )
    assert run(CurateConfig(corpus=corpus.uri)).measured == 1
    assert verdicts(corpus.uri) == EXPECTED


def test_killed_while_measuring_it_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    uri = make_bad_and_good(tmp_path / "corpus").uri
    update, calls = Corpus.update_fragment, []

    def dies_at_the_second(self, fragment_id, values):
        calls.append(fragment_id)
        if len(calls) == 2:
            raise KeyboardInterrupt
        update(self, fragment_id, values)

    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "update_fragment", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(CurateConfig(corpus=uri))
    assert run(CurateConfig(corpus=uri)).measured == 5
    assert verdicts(uri) == EXPECTED


def test_a_picture_that_cannot_be_decoded_costs_one_episode(tmp_path):
    episode = robot_episode("torn")
    frames = episode.cameras["primary"]
    torn = [jpeg[:-30] for jpeg in frames.jpegs]  # whole headers, pictures cut short
    bad = dataclasses.replace(episode, cameras={"primary": dataclasses.replace(frames, jpegs=torn)})
    uri = make_corpus(tmp_path / "corpus", {"a": [robot_episode("good"), bad]}).uri
    report = run(CurateConfig(corpus=uri))
    assert (report.kept, report.unreadable) == (1, 1)
    assert verdicts(uri)["torn"] == (False, "could not be measured")
    assert run(CurateConfig(corpus=uri)).measured == 0


def test_a_corpus_without_episodes_is_judged_in_peace(tmp_path):
    Corpus.create(tmp_path / "corpus")
    report = run(CurateConfig(corpus=str(tmp_path / "corpus")))
    assert (report.episodes, report.kept, report.measured) == (0, 0, 0)


def test_clips_without_a_camera_and_robots_without_one_are_judged_by_the_rest(tmp_path):
    parts = {"a": [human_clip("blind", cameras=False)], "b": [recording("deaf", cameras=False)]}
    report = run(CurateConfig(corpus=make_corpus(tmp_path / "corpus", parts).uri))
    assert (report.kept, report.unreadable) == (2, 0)


def test_an_episode_explains_itself(tmp_path):
    corpus = make_bad_and_good(tmp_path / "corpus")
    run(CurateConfig(corpus=corpus.uri))
    ids = {r["source_record"]: r["episode_id"] for r in corpus.table(["source_record", "episode_id"]).to_pylist()}
    report = run(CurateConfig(corpus=corpus.uri, explain=ids["still"]))
    assert not report.keep
    assert report.reason.startswith("drop_still: hands stayed within 0.0 mm")
    still = next(v for v in report.verdicts if v.rule == "drop_still")
    unknown = {"hand_reach_own": None, "gripper_range_own": None, "hand_reach_share": None}
    assert still.numbers == {"hand_reach_m": 0.0, "gripper_range": 0.0, **unknown}
    assert still.thresholds == {"min_reach_m": 0.01, "min_gripper_range": 0.2, "min_reach_share": 0.05}
    human = run(CurateConfig(corpus=corpus.uri, explain=ids["wave"][:8]))
    assert human.episode_id == ids["wave"]
    assert human.keep
    assert next(v for v in human.verdicts if v.rule == "drop_still").numbers["hand_reach_m"] is None
    assert "kept" in human.summary()


def test_an_explanation_is_by_the_recipe_that_was_used_last(tmp_path):
    corpus = make_bad_and_good(tmp_path / "corpus")
    mine = tmp_path / "mine.yaml"
    mine.write_text("drop_short: {min_steps: 5}\n")
    run(CurateConfig(corpus=corpus.uri))
    run(CurateConfig(corpus=corpus.uri, recipe=str(mine)))
    wanted = corpus.episode_ids()[0]
    report = run(CurateConfig(corpus=corpus.uri, explain=wanted))
    assert (report.recipe, [v.rule for v in report.verdicts]) == (str(mine), ["drop_short"])
    assert f"by recipe {mine}: " in report.summary()
    assert run(CurateConfig(corpus=corpus.uri, explain=wanted, recipe="default")).recipe == "default"


def test_explaining_needs_a_measured_episode(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("good")]})
    with pytest.raises(DataEngineError, match="run `villa curate"):
        run(CurateConfig(corpus=corpus.uri, explain=corpus.episode_ids()[0]))
    run(CurateConfig(corpus=corpus.uri))
    with pytest.raises(DataEngineError, match="no episode starts with 'nobody'"):
        run(CurateConfig(corpus=corpus.uri, explain="nobody"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drop_stil: {}", "no stage 'drop_stil'; did you mean 'drop_still'"),
        ("drop_still: {min_reach: 1}", "drop_still has no threshold 'min_reach'; did you mean 'min_reach_m'"),
        ("drop_still: {min_reach_m: far}", "min_reach_m is 'far', expected a number"),
        ("drop_still: {min_reach_m: .nan}", "min_reach_m is nan, expected a number"),
        ("drop_still: {min_reach_m: .inf}", "min_reach_m is inf, expected a number"),
        ("drop_still: {min_reach_m: \ud800}", "no valid YAML"),
        ("drop_still: 3", "drop_still has 3, expected thresholds"),
        ("- drop_still", "expected keys and values"),
        ("{", "no valid YAML"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataEngineError, match=message) as caught:
        load_recipe(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_is_refused_with_a_near_match():
    with pytest.raises(DataEngineError, match="no curation recipe 'defalt'; did you mean 'default'"):
        load_recipe("defalt")


def test_a_camera_that_is_dead_throughout_a_dataset_is_told_and_costs_nothing_unless_asked(tmp_path):
    dark = frames_of(np.zeros((30, SIDE, SIDE, 3), np.uint8))
    made = [robot_episode(str(i)) for i in range(3)]
    made = [dataclasses.replace(e, cameras={**e.cameras, "wrist": dark}) for e in made]
    uri = make_corpus(tmp_path / "corpus", {"a": made}).uri
    report = run(CurateConfig(corpus=uri, page=False))
    assert report.dropped == 0
    assert "drop_black_frames: camera wrist of arm in made is black throughout in 3 of 3 episodes" in report.summary()
    assert "drop_frozen_camera: camera wrist of arm in made shows one picture throughout in 3 of 3" in report.summary()
    strict = run(CurateConfig(corpus=uri, recipe="strict"))
    assert (strict.kept, strict.measured) == (0, 3)
    named = [dataclasses.replace(e, notes={"camera_wrist": "observation.images.elbow"}) for e in made]
    report = run(CurateConfig(corpus=make_corpus(tmp_path / "named", {"a": named}).uri, page=False))
    assert "camera elbow (wrist) of arm in made is black throughout in 3 of 3 episodes" in report.summary()
    reasons = Corpus.open(uri).table(["reject_reason"])["reject_reason"].to_pylist()
    assert all("drop_frozen_camera: camera wrist changes by 0.00" in reason for reason in reasons)
