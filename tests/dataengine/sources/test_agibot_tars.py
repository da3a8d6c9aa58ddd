"""AgiBot World as downloaded: archives give what their extracted files give, wherever an episode lies."""

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.app import app
from cli.contract import invoke
from dataengine import catalog
from dataengine.episode import Episode, Part, Reject
from dataengine.errors import SourceError
from dataengine.formats import tar
from dataengine.sources.agibot import places as agibot_places
from dataengine.sources.agibot.places import Span
from dataengine.sources.agibot.plan import Division
from dataengine.store import Corpus
from tests.support.agibot_tree import (
    Arrays,
    N,
    pack,
    proprio,
    write_h5,
    write_tar,
    write_task_info,
    write_tree,
    write_video,
)

EPISODES = {"327": ["648642", "648700", "650001"], "400": ["648650", "651000"]}
RANGES = {"327": [(648642, 648700), (650001, 650001)], "400": [(648650, 651000)]}
NUMBERS = [(648642, 648690), (648700, 651000)]
H5 = "proprio_stats.h5"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agibot") / "extracted"
    for i, (task, episodes) in enumerate(EPISODES.items()):
        write_tree(root, task, episodes, level=20 * i)
    return root


@pytest.fixture(scope="module")
def packed(template: Path) -> Path:
    return pack(template, template.parent / "packed", RANGES, NUMBERS)


@pytest.fixture
def extracted(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "extracted"))


@pytest.fixture
def root(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "packed"))


def parts(root: Path) -> dict[str, Part]:
    return {part.name: part for part in catalog.source("agibot")(str(root)).parts()}


def read(root: Path, *only: str) -> list[Episode | Reject]:
    source = catalog.source("agibot")(str(root), frame_size=64)
    return [found for part in source.parts() if not only or part.name in only for found in source.read(part)]


def by_record(found: list[Episode | Reject]) -> dict[str, Episode | Reject]:
    records = {f.source_record if isinstance(f, Episode) else f.record: f for f in found}
    assert len(records) == len(found)
    return records


def content(episode: Episode) -> dict[str, Any]:
    """Everything of an episode but where it lay."""
    plain = {f.name: getattr(episode, f.name) for f in fields(episode) if f.name != "source_uri"}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in plain.items()}


def assert_same(found: list[Episode | Reject], expected: list[Episode | Reject]) -> None:
    found_records, expected_records = by_record(found), by_record(expected)
    assert found_records.keys() == expected_records.keys()
    for record, episode in expected_records.items():
        assert content(found_records[record]) == content(episode)


def repacked(extracted: Path, ranges: dict[str, list[tuple[int, int]]] | None = None) -> Path:
    target = extracted.parent / "repacked"
    shutil.rmtree(target, ignore_errors=True)
    return pack(extracted, target, ranges or RANGES, NUMBERS)


def assert_all_good(root: Path) -> None:
    assert [type(found) for found in read(root)] == [Episode] * 5


def reason_of(root: Path, record: str) -> str:
    """Every episode but one must arrive; return why that one did not."""
    found = by_record(read(root))
    rejects = {key: value.reason for key, value in found.items() if isinstance(value, Reject)}
    assert rejects.keys() == {record}
    assert len(found) == 5
    assert "\n" not in rejects[record]
    return rejects[record]


def test_archives_give_what_their_extracted_files_give(template: Path, packed: Path) -> None:
    expected = read(template)
    assert len(expected) == 5
    assert_same(read(packed), expected)
    places = {f.source_record: f.source_uri for f in read(packed)}
    assert places["327/650001"] == f"{packed}/observations/327/650001-650001.tar#650001"


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
    read_first = {name for name in first if any(isinstance(found, Episode) for found in read(root, name))}
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
    records = {found.source_record for part in planned for found in source.read(part)}
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
    videos, numbers = ([Span(a, b, Path(f"{a}-{b}.tar"), True) for a, b in listed] for listed in (ranges, more))

    def known_from(spans: list[Span]) -> int:
        """How many archives are there when that of the episode is; none brings it where it lies in a folder."""
        return next((k + 1 for k, span in enumerate(spans) if span.holds(episode)), 0)

    found = {
        Division.of(videos[:i], numbers[:j]).part_of(episode)
        for i in range(known_from(videos), len(videos) + 1)
        for j in range(known_from(numbers), len(numbers) + 1)
    }
    assert len(found) == 1


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
    found = by_record(read(root))["327/648700"]
    assert isinstance(found, Episode)
    assert found.source_uri.endswith("648700-650001.tar#648700")
    assert found.notes["video_copy"] == "2 of 2; the first: hand_left_color.mp4: the video has 0 bytes"
    shutil.copytree(videos / "648642", root / "observations/327/648642")
    assert by_record(read(root))["327/648642"].source_uri == str(root / "observations/327/648642")


def test_a_name_that_comes_twice_in_one_archive_is_a_second_copy(template: Path, root: Path) -> None:
    source = template / "observations" / "327" / "648642" / "videos"
    names = [(f"648642/videos/{file.name}", file) for file in sorted(source.iterdir())]
    (root / "empty").touch()
    spoilt = [(names[0][0], root / "empty"), *names[1:]]
    write_tar(root / "observations" / "327" / "648642-648700.tar", [*spoilt, *names])
    found = by_record(read(root))
    assert found["327/648642"].notes["video_copy"].startswith("2 of 2")
    assert found["327/648700"].reason == "no observations/327/648700/videos"


def test_bad_numbers_give_way_to_a_later_copy_and_without_one_say_how_many_were_bad(root: Path) -> None:
    bad = root / "proprio_stats" / "327" / "648642" / H5
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"")
    found = by_record(read(root))["327/648642"]
    assert found.notes["proprio_copy"].startswith("2 of 2; the first: proprio_stats.h5: not readable HDF5 (0 bytes")
    worse = root / "proprio_stats" / "648000-649000" / "327" / "648642" / H5
    shutil.copytree(bad.parent, worse.parent)
    (root / "proprio_stats" / "648642-648690.tar").rename(root / "proprio_stats" / "648643-648690.tar")
    assert by_record(read(root))["327/648642"].reason.endswith("(the first of 2 bad copies)")


def test_a_cut_archive_gives_the_episodes_before_the_cut_and_names_the_others(root: Path) -> None:
    path = root / "observations" / "327" / "648642-648700.tar"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size * 6 // 10)
    found = by_record(read(root))
    assert isinstance(found["327/648642"], Episode)
    assert found["327/648700"].reason in ("no observations/327/648700/videos", "head_color.mp4: the video is missing")
    told = found["327/648642-648700.tar"]
    assert told.reason.startswith(f"ends at byte {size * 6 // 10}")
    assert "download it again" in told.reason
    assert sum(isinstance(f, Episode) for f in found.values()) == 4


def test_cut_numbers_are_named_by_every_episode_that_they_lack(root: Path) -> None:
    path = root / "proprio_stats" / "648700-651000.tar"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    rejects = {f.record: f.reason for f in read(root) if isinstance(f, Reject)}
    assert 1 <= len(rejects) <= 2
    for record, reason in rejects.items():
        assert reason.startswith(f"no proprio_stats/{record}/{H5}; 648700-651000.tar ends at byte ")


def test_numbers_that_were_not_downloaded_are_named(root: Path) -> None:
    (root / "proprio_stats" / "648700-651000.tar").unlink()
    found = by_record(read(root))
    assert isinstance(found["327/648642"], Episode)
    assert found["327/648700"].reason == f"no proprio_stats/327/648700/{H5}; no archive here covers it"


def test_names_that_lead_out_of_an_archive_are_never_read(template: Path, root: Path) -> None:
    source = template / "observations" / "327"
    files = [file for file in source.rglob("*") if file.is_file()]
    for prefix in ("../327/", "/", "648642/../"):
        members = [
            (f"{prefix if '648642' in str(file) else ''}{file.relative_to(source)}", file)
            for file in files
            if "650001" not in str(file)
        ]
        write_tar(root / "observations" / "327" / "648642-648700.tar", members)
        found = by_record(read(root))
        assert found["327/648642"].reason == "no observations/327/648642/videos"
        told = found["327/648642-648700.tar"].reason
        assert told.startswith(f"3 names lead out of the archive, the first '{prefix}648642/videos/")
        assert sum(isinstance(f, Episode) for f in found.values()) == 4


def test_numbers_under_names_that_lead_out_are_never_read(template: Path, root: Path) -> None:
    file = template / "proprio_stats" / "327" / "648642" / H5
    write_tar(root / "proprio_stats" / "648642-648690.tar", [(f"../327/648642/{H5}", file)])
    reason = by_record(read(root))["327/648642"].reason
    assert reason.startswith(f"no proprio_stats/327/648642/{H5}; 648642-648690.tar 1 names lead out of the archive")


def test_what_is_no_archive_and_what_cannot_be_read_cost_their_own_episodes(root: Path) -> None:
    path = root / "observations" / "400" / "648650-651000.tar"
    path.write_bytes(b"<html>" * 1000)
    found = by_record(read(root))
    assert found["400/648650-651000.tar"].reason.startswith("byte 0 of 6000 is no header that can be read; damaged")
    assert {key for key, value in found.items() if isinstance(value, Episode)} == {
        f"327/{episode}" for episode in EPISODES["327"]
    }
    path.unlink()
    path.mkdir()
    assert "Is a directory" in by_record(read(root))["400/648650-651000.tar"].reason
    path.rmdir()
    path.symlink_to(root / "nowhere.tar")
    assert "No such file" in by_record(read(root))["400/648650-651000.tar"].reason


def test_a_folder_that_cannot_be_listed_stops_the_plan_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(agibot_places, "ids", refuse)
    with pytest.raises(SourceError, match=r"observations: cannot be read \(Permission denied\), expected a folder"):
        parts(root)


def test_labels_that_do_not_parse_cost_their_task_until_they_are_repaired(root: Path) -> None:
    path = root / "task_info" / "task_327.json"
    labels = path.read_text()
    path.write_text(labels[:-5])
    before = parts(root)
    found = read(root)
    assert {f.source_record for f in found if isinstance(f, Episode)} == {"400/648650", "400/651000"}
    rejects = [f for f in found if isinstance(f, Reject)]
    assert {reject.record for reject in rejects} == {""}  # whole parts
    assert all(reject.reason.startswith("task_info/task_327.json: not JSON (") for reject in rejects)
    path.write_text(labels)
    after = parts(root)
    assert before.keys() <= after.keys()
    assert all(before[name].fingerprint != after[name].fingerprint for name in before if name.startswith("327/"))
    assert_all_good(root)


def test_a_renamed_archive_is_read_and_a_wrong_range_is_told(template: Path, root: Path) -> None:
    folder = root / "observations" / "400"
    (folder / "648650-651000.tar").rename(folder / "mine.tar")
    assert_same(read(root), read(template))
    (folder / "mine.tar").rename(folder / "648650-648700.tar")
    found = by_record(read(root))
    assert found["400/648650-648700.tar"].reason == (
        "holds 1 episodes beside the range that it is named after, the first 651000"
    )
    assert "400/651000" not in found


def spoil(name: str) -> Callable[[Path], None]:
    def edit(arrays: Arrays) -> None:
        {"nan": lambda: arrays["state/end/position"].__setitem__((3, 1, 0), np.nan)}[name]()

    def change(root: Path) -> None:
        arrays = proprio(648700)
        edit(arrays)
        write_h5(root, "648700", arrays, "327")

    return change


def corrupt(root: Path) -> None:
    path = root / "observations/327/648700/videos/head_color.mp4"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    path.write_bytes(data)


def no_key(root: Path) -> None:
    with h5py.File(root / "proprio_stats/327/648700" / H5, "a") as file:
        del file["state/end/position"]


EMPTY_VIDEO = "head_color.mp4: the video has 0 bytes"
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty video": (
        lambda r: (r / "observations/327/648700/videos/head_color.mp4").write_bytes(b""),
        "head_color.mp4: the video has 0 bytes",
    ),
    "corrupted video": (corrupt, "head_color.mp4: "),
    "missing camera": (
        lambda r: (r / "observations/327/648700/videos/hand_right_color.mp4").unlink(),
        "hand_right_color.mp4: the video is missing",
    ),
    "short video": (
        lambda r: write_video(r / "observations/327/648700/videos/head_color.mp4", N - 3),
        "lengths differ by more than 2: state 12, head 9, hand_right 12, hand_left 12",
    ),
    "missing h5": (
        lambda r: shutil.rmtree(r / "proprio_stats/327/648700"),
        f"no proprio_stats/327/648700/{H5}",
    ),
    "cut h5": (
        lambda r: (r / "proprio_stats/327/648700" / H5).write_bytes(b"\x89HDF"),
        f"{H5}: not readable HDF5 (4 bytes; ",
    ),
    "missing key": (no_key, f"{H5}: key 'state/end/position' is missing"),
    "missing videos": (
        lambda r: shutil.rmtree(r / "observations/327/648700"),
        "no observations/327/648700/videos",
    ),
    "missing entry": (
        lambda r: write_task_info(r, ["648642", "650001"], "327"),
        "task_info/task_327.json has no entry for episode 648700",
    ),
    "nan": (spoil("nan"), "'state/end/position'[3, 1, 0] is nan, expected a finite number"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_costs_the_episode_in_folders_and_in_archives_alike(extracted: Path, damage: str) -> None:
    change, reason = DAMAGES[damage]
    change(extracted)
    in_folder, in_archive = reason_of(extracted, "327/648700"), reason_of(repacked(extracted), "327/648700")
    assert in_folder.startswith(reason)
    assert in_archive == in_folder


def test_an_episode_without_two_sides_says_both(extracted: Path) -> None:
    shutil.rmtree(extracted / "proprio_stats/327/648700")
    write_task_info(extracted, ["648642", "650001"], "327")
    assert reason_of(repacked(extracted), "327/648700") == (
        f"task_info/task_327.json has no entry for episode 648700; no proprio_stats/327/648700/{H5}"
    )


def test_what_nobody_downloaded_is_no_loss(root: Path) -> None:
    (root / "observations/327/648642-648700.tar").unlink()
    shutil.rmtree(root / "observations/400")
    found = read(root)
    assert [f.source_record for f in found if isinstance(f, Episode)] == ["327/650001"]
    assert len(found) == 1


def test_hands_and_tactile_grippers_are_told_apart_in_archives(extracted: Path) -> None:
    videos = extracted / "observations/400/648650/videos"
    write_h5(extracted, "648650", proprio(1, effectors=12), "400")
    for side in ("left", "right"):
        (videos / f"hand_{side}_color.mp4").rename(videos / f"hand_{side}_fisheye_color.mp4")
    for sensor in ("left_sensor_1", "right_sensor_2"):
        write_video(extracted / "observations/327/648700/tactile" / f"{sensor}.mp4", 2)
    for root in (extracted, repacked(extracted)):
        found = by_record(read(root))
        assert found["400/648650"].embodiment == "agibot_g1_dexhand"
        assert found["400/651000"].embodiment == found["327/648700"].embodiment == "agibot_g1"
        assert found["327/648700"].notes["effector"] == "grippers with tactile sensors"
        assert "effector" not in found["327/648642"].notes
        assert sorted(found["327/648700"].cameras) == ["primary", "wrist", "wrist_2"]


def ingest(root: Path, corpus: Path, *words: str) -> dict[str, Any]:
    """Take a tree in from the command line and read every row back, but for where it lay."""
    assert invoke(app, ["ingest", "agibot", str(root), "--corpus", str(corpus), "--workers", "1", *words]) == 0
    assert invoke(app, ["corpus", "verify", str(corpus), "--deep"]) == 0
    names = ["source_record", "episode_id", "instruction", "embodiment", "time_ns", "notes"]
    names += ["state", "action", "raw_state", "raw_action"]
    found = Corpus.open(corpus)
    rows = {row["source_record"]: row for row in found.table(names).to_pylist()}
    for row in rows.values():
        row["frames"] = {slot: found.episode(row["episode_id"]).jpegs(slot) for slot in ("primary", "wrist", "wrist_2")}
    return rows


def test_from_the_command_line_archives_give_the_rows_of_extracted_files(
    template: Path, packed: Path, tmp_path: Path
) -> None:
    for unit, count in (("episode", 5), ("segment", 10)):
        rows = ingest(packed, tmp_path / f"packed_{unit}", "--unit", unit)
        assert len(rows) == count
        assert rows == ingest(template, tmp_path / f"extracted_{unit}", "--unit", unit)


def test_what_is_downloaded_later_is_taken_in_by_the_same_command_once(
    packed: Path, root: Path, tmp_path: Path
) -> None:
    late = ["observations/327/650001-650001.tar", "proprio_stats/648700-651000.tar"]
    for name in late:
        (root / name).rename(tmp_path / Path(name).name)
    assert ingest(root, tmp_path / "corpus").keys() == {"327/648642", "400/648650"}
    for name in late:
        (tmp_path / Path(name).name).rename(root / name)
    rows = ingest(root, tmp_path / "corpus")
    assert len(rows) == len(Corpus.open(tmp_path / "corpus")) == 5
    assert rows == ingest(packed, tmp_path / "at_once")
