"""AgiBot World as downloaded: archives give what their extracted files give, wherever an episode lies."""

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.formats import tar
from dataengine.sources.agibot.locations import EpisodeRange
from dataengine.sources.agibot.plan import PartBoundaries
from tests.support.agibot_archives import EPISODES, NUMBERS, RANGES, by_record, parts, read, repacked
from tests.support.agibot_tree import (
    pack,
    proprio,
    write_h5,
    write_tar,
    write_video,
)


def content(episode: Episode) -> dict[str, Any]:
    """Everything of an episode but where it lay."""
    plain = {f.name: getattr(episode, f.name) for f in fields(episode) if f.name != "source_uri"}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plain.items()}


def assert_same(actual: list[Episode | Reject], expected: list[Episode | Reject]) -> None:
    found_records, expected_records = by_record(actual), by_record(expected)
    assert found_records.keys() == expected_records.keys()
    for record, episode in expected_records.items():
        assert content(found_records[record]) == content(episode)


def test_archives_give_what_their_extracted_files_give(template: Path, packed: Path) -> None:
    expected = read(template)
    assert len(expected) == 5
    assert_same(read(packed), expected)
    uris = {f.source_record: f.source_uri for f in read(packed)}
    assert uris["327/650001"] == f"{packed}/observations/327/650001-650001.tar#650001"


def test_planning_opens_no_archive_and_reading_writes_nothing_beside_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(root.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(tar, "index", lambda *_: pytest.fail("an archive was opened"))
        assert list(parts(root)) == [
            *("327/648642", "327/648700", "327/650001"),
            *("400/648650", "400/650000"),
        ]
    read(root)
    assert sorted(root.rglob("*")) == before


def test_episodes_may_lie_partly_in_folders_and_partly_in_archives(template: Path, root: Path) -> None:
    expected = read(template)
    (root / "observations" / "327" / "648642-648700.tar").unlink()
    for episode in ("648642", "648700"):
        shutil.copytree(template / "observations" / "327" / episode, root / "observations" / "327" / episode)
    assert_same(read(root), expected)
    (root / "proprio_stats" / "648700-651000.tar").unlink()
    for task, episodes in EPISODES.items():
        for episode in episodes[1:]:
            shutil.copytree(
                template / "proprio_stats" / task / episode,
                root / "proprio_stats" / "648700-651000" / task / episode,
            )
    assert_same(read(root), expected)


def test_an_archive_that_holds_its_range_or_the_whole_path_once_more_is_read(template: Path, root: Path) -> None:
    folder = root / "observations" / "400"
    source = template / "observations" / "400"
    for above in ("648650-651000/", "observations/400/", "400/648650-651000/"):
        files = [(f"{above}{file.relative_to(source)}", file) for file in source.rglob("*")]
        write_tar(folder / "648650-651000.tar", files)
        assert_same(read(root), read(template))


def test_what_is_downloaded_later_makes_parts_of_its_own_or_completes_what_lacked_it(root: Path) -> None:
    late = root / "observations" / "327" / "650001-650001.tar"
    aside = late.rename(root / "late.tar")
    numbers = (root / "proprio_stats" / "648700-651000.tar").rename(root / "numbers.tar")
    first = parts(root)
    read_first = {name for name in first if any(isinstance(outcome, Episode) for outcome in read(root, name))}
    aside.rename(late)
    numbers.rename(root / "proprio_stats" / "648700-651000.tar")
    later = parts(root)
    assert first.keys() == {"327/648642", "400/648650", "400/650000"}
    assert later.keys() - first.keys() == {"327/648700", "327/650001"}
    changed = {name for name, part in first.items() if part.fingerprint != later[name].fingerprint}
    assert changed == {"400/650000"}
    assert read_first == {"327/648642", "400/648650"}


def test_an_archive_that_appears_while_another_is_read_is_left_to_the_next_run(root: Path) -> None:
    late = root / "observations" / "327" / "650001-650001.tar"
    aside = late.rename(root / "late.tar")
    source = catalog.source("agibot")(str(root), frame_size=64)
    planned = source.parts()
    aside.rename(late)
    records = {outcome.source_record for part in planned for outcome in source.read(part)}
    assert records == {"327/648642", "327/648700", "400/648650", "400/651000"}


@st.composite
def archive_ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ranges that do not overlap, in any order."""
    edges = sorted(draw(st.sets(st.integers(0, 6000), min_size=2, max_size=12)))
    return draw(st.permutations([(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]))


@given(archive_ranges(), archive_ranges(), st.integers(0, 6000))
def test_no_archive_moves_an_episode_of_others_to_another_part(
    ranges: list[tuple[int, int]], more: list[tuple[int, int]], episode: int
) -> None:
    videos, numbers = ([EpisodeRange(a, b, Path(f"{a}-{b}.tar"), True) for a, b in listed] for listed in (ranges, more))

    def known_from(spans: list[EpisodeRange]) -> int:
        """How many archives are there when that of the episode is; none brings it where it lies in a folder."""
        return next((k + 1 for k, span in enumerate(spans) if span.holds(episode)), 0)

    names = {
        PartBoundaries.of(videos[:i], numbers[:j]).part_of(episode)
        for i in range(known_from(videos), len(videos) + 1)
        for j in range(known_from(numbers), len(numbers) + 1)
    }
    assert len(names) == 1


def test_of_several_copies_the_first_good_one_is_taken(template: Path, extracted: Path) -> None:
    """The second archive repeats an episode of the first."""
    videos = extracted / "observations" / "327"
    ranges = {**RANGES, "327": [(648642, 648700), (648700, 650001)]}
    root = repacked(extracted, ranges)
    (uri,) = (f.source_uri for f in read(root) if f.source_record == "327/648700")
    assert uri.endswith("648642-648700.tar#648700")
    assert_same(read(root), read(template))
    (videos / "648700" / "videos" / "hand_left_color.mp4").write_bytes(b"")
    bad = pack(extracted, extracted.parent / "bad", RANGES, NUMBERS)
    shutil.copy(bad / "observations/327/648642-648700.tar", root / "observations/327/648642-648700.tar")
    records = by_record(read(root))["327/648700"]
    assert isinstance(records, Episode)
    assert records.source_uri.endswith("648700-650001.tar#648700")
    assert records.notes["video_copy"] == "2 of 2; the first: hand_left_color.mp4: the video has 0 bytes"
    shutil.copytree(videos / "648642", root / "observations/327/648642")
    assert by_record(read(root))["327/648642"].source_uri == str(root / "observations/327/648642")


def test_a_name_that_comes_twice_in_one_archive_is_a_second_copy(template: Path, root: Path) -> None:
    source = template / "observations" / "327" / "648642" / "videos"
    names = [(f"648642/videos/{file.name}", file) for file in sorted(source.iterdir())]
    (root / "empty").touch()
    spoilt = [(names[0][0], root / "empty"), *names[1:]]
    write_tar(root / "observations" / "327" / "648642-648700.tar", [*spoilt, *names])
    records = by_record(read(root))
    assert records["327/648642"].notes["video_copy"].startswith("2 of 2")
    assert records["327/648700"].reason == "no observations/327/648700/videos"


def test_a_renamed_archive_is_read_and_a_wrong_range_is_told(template: Path, root: Path) -> None:
    folder = root / "observations" / "400"
    (folder / "648650-651000.tar").rename(folder / "mine.tar")
    assert_same(read(root), read(template))
    (folder / "mine.tar").rename(folder / "648650-648700.tar")
    records = by_record(read(root))
    assert records["400/648650-648700.tar"].reason == (
        "holds 1 episodes beside the range that it is named after, the first 651000"
    )
    assert "400/651000" not in records


def test_what_nobody_downloaded_is_no_loss(root: Path) -> None:
    (root / "observations/327/648642-648700.tar").unlink()
    shutil.rmtree(root / "observations/400")
    outcomes = read(root)
    assert [f.source_record for f in outcomes if isinstance(f, Episode)] == ["327/650001"]
    assert len(outcomes) == 1


def test_hands_and_tactile_grippers_are_told_apart_in_archives(extracted: Path) -> None:
    videos = extracted / "observations/400/648650/videos"
    write_h5(extracted, "648650", proprio(1, effectors=12), "400")
    for side in ("left", "right"):
        (videos / f"hand_{side}_color.mp4").rename(videos / f"hand_{side}_fisheye_color.mp4")
    for sensor in ("left_sensor_1", "right_sensor_2"):
        write_video(extracted / "observations/327/648700/tactile" / f"{sensor}.mp4", 2)
    for root in (extracted, repacked(extracted)):
        records = by_record(read(root))
        assert records["400/648650"].embodiment == "agibot_g1_dexhand"
        assert records["400/651000"].embodiment == records["327/648700"].embodiment == "agibot_g1"
        assert records["327/648700"].notes["effector"] == "grippers with tactile sensors"
        assert "effector" not in records["327/648642"].notes
        assert sorted(records["327/648700"].cameras) == ["primary", "wrist", "wrist_2"]
