"""What is missing, damaged or hostile in archives of AgiBot World costs its own episodes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from dataengine.sources.agibot import locations as agibot_locations
from tests.support.agibot_archives import EPISODES, by_record, parts, read, repacked
from tests.support.agibot_tree import (
    Arrays,
    N,
    proprio,
    write_h5,
    write_tar,
    write_task_info,
    write_video,
)

H5 = "proprio_stats.h5"


def assert_all_good(root: Path) -> None:
    assert [type(outcome) for outcome in read(root)] == [Episode] * 5


def reason_of(root: Path, record: str) -> str:
    """Every episode but one must arrive; return why that one did not."""
    records = by_record(read(root))
    rejects = {key: value.reason for key, value in records.items() if isinstance(value, Reject)}
    assert rejects.keys() == {record}
    assert len(records) == 5
    assert "\n" not in rejects[record]
    return rejects[record]


def test_bad_numbers_give_way_to_a_later_copy_and_without_one_say_how_many_were_bad(root: Path) -> None:
    bad = root / "proprio_stats" / "327" / "648642" / H5
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"")
    records = by_record(read(root))["327/648642"]
    assert records.notes["proprio_copy"].startswith("2 of 2; the first: proprio_stats.h5: not readable HDF5 (0 bytes")
    worse = root / "proprio_stats" / "648000-649000" / "327" / "648642" / H5
    shutil.copytree(bad.parent, worse.parent)
    (root / "proprio_stats" / "648642-648690.tar").rename(root / "proprio_stats" / "648643-648690.tar")
    assert by_record(read(root))["327/648642"].reason.endswith("(the first of 2 bad copies)")


def test_a_cut_archive_gives_the_episodes_before_the_cut_and_names_the_others(root: Path) -> None:
    path = root / "observations" / "327" / "648642-648700.tar"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size * 6 // 10)
    records = by_record(read(root))
    assert isinstance(records["327/648642"], Episode)
    assert records["327/648700"].reason in ("no observations/327/648700/videos", "head_color.mp4: the video is missing")
    reject = records["327/648642-648700.tar"]
    assert reject.reason.startswith(f"ends at byte {size * 6 // 10}")
    assert "download it again" in reject.reason
    assert sum(isinstance(f, Episode) for f in records.values()) == 4


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
    records = by_record(read(root))
    assert isinstance(records["327/648642"], Episode)
    assert records["327/648700"].reason == f"no proprio_stats/327/648700/{H5}; no archive here covers it"


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
        records = by_record(read(root))
        assert records["327/648642"].reason == "no observations/327/648642/videos"
        reason = records["327/648642-648700.tar"].reason
        assert reason.startswith(f"3 names lead out of the archive, the first '{prefix}648642/videos/")
        assert sum(isinstance(f, Episode) for f in records.values()) == 4


def test_numbers_under_names_that_lead_out_are_never_read(template: Path, root: Path) -> None:
    file = template / "proprio_stats" / "327" / "648642" / H5
    write_tar(root / "proprio_stats" / "648642-648690.tar", [(f"../327/648642/{H5}", file)])
    reason = by_record(read(root))["327/648642"].reason
    assert reason.startswith(f"no proprio_stats/327/648642/{H5}; 648642-648690.tar 1 names lead out of the archive")


def test_what_is_no_archive_and_what_cannot_be_read_cost_their_own_episodes(root: Path) -> None:
    path = root / "observations" / "400" / "648650-651000.tar"
    path.write_bytes(b"<html>" * 1000)
    records = by_record(read(root))
    assert records["400/648650-651000.tar"].reason.startswith("byte 0 of 6000 is no header that can be read; damaged")
    assert {key for key, value in records.items() if isinstance(value, Episode)} == {
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

    monkeypatch.setattr(agibot_locations, "ids", refuse)
    with pytest.raises(SourceError, match=r"observations: cannot be read \(Permission denied\), expected a folder"):
        parts(root)


def test_labels_that_do_not_parse_cost_their_task_until_they_are_repaired(root: Path) -> None:
    path = root / "task_info" / "task_327.json"
    labels = path.read_text()
    path.write_text(labels[:-5])
    before = parts(root)
    outcomes = read(root)
    assert {f.source_record for f in outcomes if isinstance(f, Episode)} == {"400/648650", "400/651000"}
    rejects = [f for f in outcomes if isinstance(f, Reject)]
    assert {reject.record for reject in rejects} == {""}  # whole parts
    assert all(reject.reason.startswith("task_info/task_327.json: not JSON (") for reject in rejects)
    path.write_text(labels)
    after = parts(root)
    assert before.keys() <= after.keys()
    assert all(before[name].fingerprint != after[name].fingerprint for name in before if name.startswith("327/"))
    assert_all_good(root)


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
