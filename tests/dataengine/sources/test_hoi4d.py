"""HOI4D as released: both schemas of its actions, stated durations that are not the file's, lists and missing parts."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

ONE = "ZY20210800001/H1/C2/N19/S100/s02/T1"
TWO = "ZY20210800001/H1/C2/N20/S101/s02/T4"
THREE = "ZY20210800002/H2/C1/N01/S71/s01/T1"
TABLE = """Category ID,Category,T1,T2,T3,T4,T5,T6
C1,Toy Car,Pick and place,N/A,N/A,N/A,N/A,N/A
C2,Mug,Pick and place,,,N/A,,
"""


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "task_definitions.csv").write_text(TABLE)
    (tmp_path / "testset.txt").write_text(f"{THREE}\n")
    (tmp_path / "release.txt").write_text(f"./{TWO}\n{ONE}/\n{THREE}\n")
    counted_video.write(tmp_path / "HOI4D_release" / ONE / "align_rgb" / "image.mp4", 300, 15.0)
    counted_video.write(tmp_path / "HOI4D_release" / TWO / "align_rgb" / "image.mp4", 60, 30.0)
    return tmp_path


def read_all(root: Path, **options: Any) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("hoi4d")(str(root), context_s=0.0, **options)
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


def event(name: str, start: Any, end: Any) -> dict[str, Any]:
    return {"event": name, "startTime": start, "endTime": end}


def mark(name: str, start: Any, end: Any) -> dict[str, Any]:
    return {"event": name, "hdTimeStart": start, "hdTimeEnd": end}


@pytest.mark.parametrize(
    "actions",
    [
        {"info": {"duration": 20}, "events": [event("Pickup", 2.0, 4.0), event("rest", 4, 5), event("Pull", None, 5)]},
        {
            "info": {"Duration": 10.0},  # the file has 20 s: times are shares of it
            "markResult": {"marks": [mark("Pickup", 1.0, 2.0), mark("rest", 2.0, 2.5), mark("Pull", None, 5)]},
        },
    ],
    ids=["events of 20 s", "marks of 10 s"],
)
def test_actions_are_found_at_their_share_of_the_video(root: Path, actions: dict[str, Any]) -> None:
    write_json(root / "HOI4D_annotations" / ONE / "action" / "color.json", actions)
    episodes, rejects = read_all(root, frame_hz=5.0)
    pickup = episodes[f"{ONE}/0"]
    assert counted_video.numbers(list(pickup.cameras["primary"].jpegs)) == list(range(30, 60, 3))
    assert pickup.instruction == ["pickup mug"]
    assert ("clock" in pickup.notes) == ("markResult" in actions)
    assert pickup.cut is not None
    assert (pickup.cut.label_start_s, pickup.cut.label_end_s, pickup.cut.split_group) == (2.0, 4.0, "H1/S100")
    assert rejects[f"{ONE}/1"] == "no action: rest"
    assert rejects[f"{ONE}/2"] == "action has no times: Pull: start None, end 5"
    assert not any(record.startswith(THREE) for record in (*episodes, *rejects))


def test_a_sequence_without_actions_is_one_clip_with_its_task(root: Path) -> None:
    episodes, rejects = read_all(root, frame_hz=15.0)
    whole = episodes[ONE]
    assert counted_video.numbers(list(whole.cameras["primary"].jpegs)) == list(range(300))
    assert (whole.instruction, whole.cut.label_end_s, whole.cut.text_source) == (
        ["pick and place, mug"],
        20.0,
        "template",
    )  # type: ignore[union-attr]
    assert (episodes[TWO].instruction, episodes[TWO].num_steps, rejects) == ([], 30, {})


def test_folders_are_walked_where_there_are_no_lists(root: Path) -> None:
    (root / "release.txt").unlink()
    assert sorted(read_all(root)[0]) == [ONE, TWO]


def test_actions_that_are_damaged_cost_their_sequence(root: Path) -> None:
    write_json(root / TWO / "action" / "color.json", {"info": {"duration": "long"}})
    episodes, rejects = read_all(root)
    assert list(episodes) == [ONE]
    assert rejects == {TWO: "actions are damaged: could not convert string to float: 'long'"}


def test_a_folder_without_the_table_of_tasks_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "release.txt").write_text(ONE)
    with pytest.raises(SourceError, match="clone HOI4D-Instructions into it"):
        catalog.source("hoi4d")(str(tmp_path)).parts()


def test_lines_that_name_no_sequence_and_entries_that_are_no_event_are_told(root: Path) -> None:
    (root / "release.txt").write_text(f"# sequences\n{ONE}\n../../H1/S1\n")
    actions = {"info": {"duration": 20}, "events": [event("Pickup", 2.0, 4.0), "Pull", {"event": 7}]}
    write_json(root / "HOI4D_annotations" / ONE / "action" / "color.json", actions)
    episodes, rejects = read_all(root)
    assert list(episodes) == [f"{ONE}/0"]
    lines = {1: "# sequences", 3: "../../H1/S1"}
    assert rejects == {
        **{
            f"release.txt line {number}": f"line names no sequence: {line!r}, expected ZY*/H*/C*/N*/S*/s*/T*"
            for number, line in lines.items()
        },
        **{f"{ONE}/{i}": "action is damaged: expected an object with a text `event`" for i in (1, 2)},
    }
