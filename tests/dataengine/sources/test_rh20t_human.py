"""RH20T's people as downloaded: one standing view, frames by an irregular clock, texts that spoke of a gripper."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video
from tests.support.rh20t_tree import FRONT, SCENE, SIDE, START_MS, WRIST, write_metadata, write_root, write_stamps

HUMAN = f"{SCENE}_human"


def add(
    root: Path, name: str = HUMAN, *, steps_ms: list[int] | None = None, serials: tuple[str, ...] = (WRIST, SIDE, FRONT)
) -> Path:
    """Cameras of one recording; every step of the clock is its own length, the container's rate is wrong."""
    steps = steps_ms or [100] * 29
    times = [START_MS + sum(steps[:i]) for i in range(len(steps) + 1)]
    for k, serial in enumerate(serials):
        draw = lambda number, height, width, k=k: counted_video.picture(number + 1000 * k, height, width)  # noqa: E731
        counted_video.write(root / name / f"cam_{serial}" / "color.mp4", len(times), 25.0, draw=draw)
        write_stamps(root / name, serial, times)
    return root / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = write_root(tmp_path / "RH20T_cfg3")
    texts = {"task_0001": {"task_description_english": "Use the gripper to press the button."}}
    (folder / "task_description.json").write_text(json.dumps(texts))
    return folder


def read_all(root: Path, **options: Any) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("rh20t_human")(str(root), **options)
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


def frames_of(episode: Episode) -> list[int]:
    return counted_video.numbers(list(episode.cameras["primary"].jpegs))


def test_one_standing_camera_shows_what_happens_between_start_and_end(root: Path) -> None:
    scene = add(root)
    write_metadata(scene, start_time=START_MS + 500, end_time=START_MS + 2500)
    episodes, rejects = read_all(root)
    (episode,) = episodes.values()
    assert frames_of(episode) == [2000 + i for i in range(5, 25)]  # the third camera is the one in front
    assert (episode.kind, episode.embodiment, episode.control_hz) == ("human", "human_hand", pytest.approx(10.0))
    assert episode.instruction == ["Use the hand to press the button."]
    assert "gripper" in episode.notes["text_changed"]
    assert (episode.notes["view"], episode.notes["camera"], episode.licence) == ("front", FRONT, "CC BY-SA 4.0")
    assert episode.cut is not None
    assert (episode.cut.label_start_s, episode.cut.label_end_s, episode.cut.split_group) == (0.5, 2.5, "user_0016")
    assert rejects == {}


def test_frames_go_by_their_own_irregular_clock(root: Path) -> None:
    add(root, steps_ms=[50, 150, 100, 300, 100, 100])  # taken at 0, 50, 200, 300, 600, 700, 800 ms
    (episode,) = read_all(root)[0].values()
    assert [number - 2000 for number in frames_of(episode)] == [0, 1, 2, 3, 3, 4, 4, 5, 6]


def test_damage_costs_its_recording(root: Path) -> None:
    add(root)
    other = add(root, f"{SCENE.replace('user_0016', 'user_0017')}_human")
    write_stamps(other, FRONT, [START_MS + 100 * i for i in range(29)])
    third = add(root, f"{SCENE.replace('user_0016', 'user_0018')}_human", steps_ms=[100, 3000, 100])
    fourth = add(root, f"{SCENE.replace('user_0016', 'user_0019')}_human", serials=(WRIST,))
    write_metadata(third)
    episodes, rejects = read_all(root)
    assert list(episodes) == [HUMAN]
    assert rejects == {
        other.name: "color.mp4 has 30 frames, timestamps.npy 29 times",
        third.name: "shows nothing between 0.10 s and 3.10 s",
        fourth.name: "recording is damaged: no standing camera has a color.mp4",
    }


def test_robots_are_not_people(root: Path) -> None:
    with pytest.raises(SourceError, match="found no recording of a person"):
        catalog.source("rh20t_human")(str(root)).parts()
