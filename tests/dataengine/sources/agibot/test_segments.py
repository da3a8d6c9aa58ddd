"""Labelled segments of AgiBot World: notes of an episode, or episodes of their own."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import DataEngineError
from dataengine.options import checked
from tests.support.agibot_tree import TASK, N, entry, write_tree


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agibot") / "world"
    write_tree(root, TASK, ["648642", "648700"])
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "world"))


def read(root: Path, unit: str = "segment") -> list[Episode | Reject]:
    source = catalog.source("agibot")(str(root), frame_size=64, unit=unit)
    return [outcome for part in source.parts() for outcome in source.read(part)]


def label(root: Path, actions: Any, **kwargs: Any) -> None:
    """Label the first episode."""
    first = {**entry("648642"), "label_info": {"action_config": actions}, **kwargs}
    (root / "task_info" / f"task_{TASK}.json").write_text(json.dumps([first, entry("648700")]))


def action(start: Any, end: Any, text: Any = "Do it.") -> dict[str, Any]:
    return {"start_frame": start, "end_frame": end, "action_text": text, "skill": "Pick"}


def of_first(outcomes: list[Episode | Reject]) -> list[Episode | Reject]:
    return [f for f in outcomes if "648642" in (f.source_record if isinstance(f, Episode) else f.record)]


def test_each_labelled_segment_is_a_cut_of_its_episode_with_a_text_of_its_own(root: Path) -> None:
    whole = read(root, "episode")[0]
    pick, put, *others = read(root)
    assert [e.source_record for e in (pick, put, *others)] == [
        f"{TASK}/{episode}/{index}" for episode in ("648642", "648700") for index in (0, 1)
    ]
    assert ([*pick.instruction], [*put.instruction]) == (["Pick up the cup."], ["Put it down."])
    for segment, steps in ((pick, slice(2, 6)), (put, slice(6, N))):
        for name in ("state", "action", "raw_state", "raw_action"):
            np.testing.assert_array_equal(getattr(segment, name), getattr(whole, name)[steps])
        assert segment.time_ns.tolist() == (whole.time_ns[steps] - whole.time_ns[steps.start]).tolist()
        assert {slot: f.jpegs for slot, f in segment.cameras.items()} == {
            slot: f.jpegs[steps] for slot, f in whole.cameras.items()
        }
        assert segment.embodiment == whole.embodiment
    np.testing.assert_array_equal(pick.action[-1, :6], whole.state[6, :6])  # it leads into the next segment
    assert pick.notes["segment"] == f"steps 2 to 6 of {N}"
    assert (pick.notes["skill"], pick.notes["task_name"]) == ("Pick", "Tidy the table")
    assert pick.notes["unlabelled_steps"] == f"2 of the recording's {N}"
    assert pick.notes["gripper_polarity"] == whole.notes["gripper_polarity"]
    assert "segments" not in pick.notes


def test_parts_are_the_same_whichever_the_unit(root: Path) -> None:
    names = [
        [part.name for part in catalog.source("agibot")(str(root), unit=u).parts()] for u in ("episode", "segment")
    ]
    assert names[0] == names[1]


def test_segments_that_cannot_be_are_rejected_alone_and_keep_the_others_numbers(root: Path) -> None:
    label(root, [action(0, 4), action(4, 4), action("4", 6), action(50, 60), action(9, 7), None, action(-3, 99), {}])
    first = of_first(read(root))
    rejects = {f.record: f.reason for f in first if isinstance(f, Reject)}
    assert [f.source_record.rpartition("/")[2] for f in first if isinstance(f, Episode)] == ["0", "6"]
    assert [f.num_steps for f in first if isinstance(f, Episode)] == [4, N]
    assert rejects == {
        f"{TASK}/648642/1": f"segment 1 is [4, 4) of {N} steps, expected some of them",
        f"{TASK}/648642/2": "start_frame is '4', expected a whole number",
        f"{TASK}/648642/3": f"segment 3 is [50, 60) of {N} steps, expected some of them",
        f"{TASK}/648642/4": f"segment 4 is [9, 7) of {N} steps, expected some of them",
        f"{TASK}/648642/5": "start_frame is None, expected a whole number",
        f"{TASK}/648642/7": "start_frame is None, expected a whole number",
    }
    whole = of_first(read(root, "episode"))[0]
    assert "segment 1 is [4, 4)" in whole.notes["segments_bad"]
    assert len(json.loads(whole.notes["segments"])) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, True, None, "x", [1], 10**30])
def test_frames_that_are_no_whole_numbers_cost_their_segment(root: Path, value: Any) -> None:
    label(root, [action(value, 5), action(0, 3)])
    reject, good = of_first(read(root))
    assert (reject.record, good.source_record) == (f"{TASK}/648642/0", f"{TASK}/648642/1")


@pytest.mark.parametrize("actions", [[], None, {}, "x", [action(0, 5, "  ")], [action(0, 5, None)]])
def test_an_episode_without_labels_is_left_out_by_rule_and_kept_when_whole(root: Path, actions: Any) -> None:
    label(root, actions)
    (left_out,) = of_first(read(root))
    assert (left_out.record, left_out.error) == (f"{TASK}/648642", "FilteredRecordError")
    assert left_out.reason == "no step has a label; --unit episode takes it whole"
    (whole,) = of_first(read(root, "episode"))
    assert isinstance(whole, Episode)
    assert "segments" not in whole.notes


def test_an_entry_without_label_info_or_of_odd_texts_still_gives_its_episode(root: Path) -> None:
    label(root, [action(0, 5)], label_info=[1], task_name=7, init_scene_text=None)
    (whole,) = of_first(read(root, "episode"))
    assert (list(whole.instruction), "scene" in whole.notes) == ([], False)
    assert whole.notes["texts_lost"] == "task_name is int, expected a text"


def test_the_unit_is_checked(root: Path) -> None:
    source = catalog.source("agibot")
    assert checked(source, {"unit": "segment"}) == {"unit": "segment"}
    with pytest.raises(DataEngineError, match=r"episode|segment"):
        checked(source, {"unit": "step"})


def test_a_segment_that_repeats_another_counts_once(root: Path) -> None:
    label(root, [action(0, 5), action(5, 8), action(0, 5), action(-2, 5), action(0, 5, "Something else.")])
    first = of_first(read(root))
    assert [f.source_record for f in first if isinstance(f, Episode)] == [f"{TASK}/648642/{i}" for i in (0, 1, 4)]
    assert [f.reason for f in first if isinstance(f, Reject)] == [
        f"segment {i} says what segment 0 says" for i in (2, 3)
    ]
    (whole,) = of_first(read(root, "episode"))
    assert [(t.start, t.end, t.phrases[0]) for t in whole.texts[1:]] == [
        (0, 5, "Do it."),
        (5, 8, "Do it."),
        (0, 5, "Something else."),
    ]


def test_ten_thousand_bad_segments_are_told_in_a_line(root: Path) -> None:
    label(root, [action("9" * 700, 5) for _ in range(10_000)])
    (whole,) = of_first(read(root, "episode"))
    assert whole.notes["segments_bad"].endswith("; and 9994 more")
    assert len(whole.notes["segments_bad"]) < 1000


@pytest.mark.parametrize("spelt", [648642, 648642.0, "648642"])
def test_an_id_may_be_spelt_as_number_or_text(root: Path, spelt: Any) -> None:
    label(root, [action(0, 5)], episode_id=spelt)
    assert [f.source_record for f in of_first(read(root))] == [f"{TASK}/648642/0"]


@pytest.mark.parametrize(
    "spelt", [648642.7, "648_642", " 648642", "0648642", "٦٤٨٦٤٢", float("inf"), float("nan"), [648642]]
)
def test_what_is_no_id_is_the_entry_of_no_episode(root: Path, spelt: Any) -> None:
    label(root, [action(0, 5)], episode_id=spelt)
    (reject,) = of_first(read(root))
    assert (reject.record, reject.reason) == (
        f"{TASK}/648642",
        f"task_info/task_{TASK}.json has no entry for episode 648642",
    )


@pytest.mark.parametrize("times", [2, 3])
def test_entries_of_one_episode_that_differ_reject_it_and_equal_ones_are_one(root: Path, times: int) -> None:
    path, rest = root / "task_info" / f"task_{TASK}.json", entry("648700")
    path.write_text(json.dumps([entry("648642")] * times + [rest]))
    assert isinstance(of_first(read(root, "episode"))[0], Episode)
    others = [{**entry("648642"), "task_name": f"Task {i}"} for i in range(times)]
    path.write_text(json.dumps([*others, rest, others[0]]))
    reject, good = read(root, "episode")
    assert reject.reason == f"task_info/task_{TASK}.json has entries for episode 648642 that differ"
    assert isinstance(good, Episode)
