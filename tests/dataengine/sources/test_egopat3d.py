"""EgoPAT3D as downloaded: ranges of frames, scenes that become phrases, lines and lists that are damaged."""

from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video


def add(root: Path, recording: str, ranges: str | None) -> None:
    folder = root / recording
    (folder / "hand_frames").mkdir(parents=True)
    if ranges is not None:
        (folder / "hand_frames" / "clip_ranges.txt").write_text(ranges)
    counted_video.write(folder / "rgb_video.mp4", 150, 30.0)


def read_all(root: Path) -> tuple[dict[str, Episode], dict[str, str]]:
    source = catalog.source("egopat3d")(str(root), frame_hz=10.0, context_s=1.0)  # type: ignore[call-arg]
    outcomes = [record for part in source.parts() for record in source.read(part)]
    episodes = {record.source_record: record for record in outcomes if isinstance(record, Episode)}
    return episodes, {record.record: record.reason for record in outcomes if isinstance(record, Reject)}


@pytest.mark.parametrize("top", ["", "Dataset"])
def test_ranges_of_frames_become_clips_with_the_scene_as_text(tmp_path: Path, top: str) -> None:
    add(tmp_path / top, "5/kitchenCounter_2", "1. 30, 89\n2. 120, 119\n3. 90, 5600\nfour\n\n5. 132, 140\n")
    add(tmp_path / top, "1/bathroomCabinet_1", "1. 0, 29\n")
    add(tmp_path / top, "2/bin_1", None)
    episodes, rejects = read_all(tmp_path)
    first = episodes["5/kitchenCounter_2/1"]
    assert counted_video.numbers(list(first.cameras["primary"].jpegs)) == list(range(30, 90, 3))
    assert first.instruction == ["reach for and move an object on the kitchen counter"]
    assert (first.cut.text_source, first.cut.split_group) == ("template", "kitchenCounter")  # type: ignore[union-attr]
    assert episodes["1/bathroomCabinet_1/1"].instruction == ["reach for and move an object in the bathroom cabinet"]
    last = episodes["5/kitchenCounter_2/5"]
    assert (last.cut.clip_start_s, last.cut.clip_end_s) == pytest.approx((4.0, 5.0))  # type: ignore[union-attr]
    assert rejects == {
        "5/kitchenCounter_2/2": "too short: 0.000 s, at least 0.001 s are kept",
        "5/kitchenCounter_2/3": "too long for one action: 5511 frames, at most 5400 are kept",
        "5/kitchenCounter_2/line 4": "line is damaged: 'four', expected `<clip>. <first frame>, <last frame>`",
        "2/bin_1": "list of clips cannot be read: clip_ranges.txt is missing",
    }


def test_a_folder_without_recordings_is_named(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(SourceError, match="found no recording"):
        catalog.source("egopat3d")(str(tmp_path)).parts()
