"""AgiBot World as extracted: which files make an episode, and what is missing or damaged."""

import shutil
from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support.agibot_read import read_all
from tests.support.agibot_tree import TASK, N, proprio, write_h5, write_task_info, write_video


def episode_files(root: Path) -> tuple[Path, Path]:
    return (
        root / "observations" / TASK / "648642" / "videos",
        root / "proprio_stats" / TASK / "648642" / "proprio_stats.h5",
    )


def test_files_that_are_missing_or_damaged_reject_the_episode(root: Path, template: Path) -> None:
    videos, h5 = episode_files(root)
    head = videos / "head_color.mp4"

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:500])

    for damage, reason in (
        (lambda: (videos / "hand_left_color.mp4").unlink(), "hand_left_color.mp4: the video is missing"),
        (lambda: head.write_bytes(b""), "head_color.mp4: the video has 0 bytes"),
        (lambda: cut(head), "head_color.mp4: "),
        (
            lambda: write_video(head, N - 3),
            "lengths differ by more than 2: state 12, head 9, hand_right 12, hand_left 12",
        ),
        (lambda: cut(h5), "proprio_stats.h5: not readable HDF5 (500 bytes; "),
        (h5.unlink, "proprio_stats.h5 is missing"),
        (lambda: shutil.rmtree(h5.parent), f"no proprio_stats/{TASK}/648642/proprio_stats.h5"),
        (lambda: shutil.rmtree(videos.parent), f"no observations/{TASK}/648642/videos"),
        (lambda: write_task_info(root, ["648700"]), f"task_info/task_{TASK}.json has no entry for episode 648642"),
    ):
        shutil.rmtree(root)
        shutil.copytree(template, root)
        damage()
        first, second = read_all(root)
        assert isinstance(first, Reject)
        assert first.reason.startswith(reason)
        assert "\n" not in first.reason
        assert isinstance(second, Episode)


def test_up_to_two_lacking_frames_cut_everything_to_the_shortest(root: Path) -> None:
    write_video(episode_files(root)[0] / "hand_left_color.mp4", N - 2)
    episode = read_all(root)[0]
    assert episode.num_steps == N - 2
    assert {len(frames.jpegs) for frames in episode.cameras.values()} == {N - 2}
    assert {len(v) for v in (episode.state, episode.action, episode.raw_state, episode.raw_action)} == {N - 2}
    assert episode.notes["trimmed"] == "2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "is missing; download it"), ("[{", "not JSON"), ('{"a": 1}', "found dict, expected a list")],
)
def test_a_damaged_task_file_rejects_that_task_and_no_other(root: Path, text: str | None, reason: str) -> None:
    other = root / "observations" / "400" / "700000"
    shutil.copytree(root / "observations" / TASK / "648642", other)
    write_h5(root, "700000", proprio(0), task="400")
    write_task_info(root, ["700000"], task="400")
    path = root / "task_info" / f"task_{TASK}.json"
    path.unlink() if text is None else path.write_text(text)
    reject, episode = read_all(root)
    assert (reject.record, isinstance(episode, Episode)) == ("", True)
    assert reason in reject.reason
    assert episode.source_record == "400/700000"


def test_range_folders_that_extraction_leaves_are_walked(root: Path) -> None:
    direct = read_all(root)
    task = root / "observations" / TASK
    (task / "648640-648650").mkdir()
    (task / "648642").rename(task / "648640-648650" / "648642")
    stats = root / "proprio_stats"
    (stats / "648533-713949").mkdir()
    (stats / TASK).rename(stats / "648533-713949" / TASK)
    outcomes = read_all(root)
    assert {e.episode_id for e in outcomes} == {e.episode_id for e in direct}


def test_a_part_is_the_episodes_of_a_task_within_2000_ids(root: Path) -> None:
    source = catalog.source("agibot")(str(root))
    (part,) = source.parts()
    assert part.name == "327/648000"
    used = [*root.glob("observations/*/*/videos/*"), *root.glob("proprio_stats/*/*/*")]
    assert part.num_bytes == sum(path.stat().st_size for path in used)
    for episode in ("647999", "650000", "649999"):
        shutil.copytree(root / "observations" / TASK / "648642", root / "observations" / TASK / episode)
    more = {p.name: p for p in source.parts()}
    assert sorted(more) == ["327/646000", "327/648000", "327/650000"]
    assert more["327/648000"].part_id == part.part_id
    assert more["327/648000"].fingerprint != part.fingerprint


def test_a_changed_label_changes_the_fingerprint(root: Path) -> None:
    source = catalog.source("agibot")(str(root))
    (before,) = source.parts()
    path = root / "task_info" / f"task_{TASK}.json"
    path.write_text(path.read_text().replace("Tidy", "Clean"))
    (after,) = source.parts()
    assert (before.part_id == after.part_id, before.fingerprint == after.fingerprint) == (True, False)


def test_a_wrong_root_is_told_in_one_line(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty, archives = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("archives")
    for folder in ("task_info", "observations/327", "proprio_stats"):
        (archives / folder).mkdir(parents=True)
    (archives / "sample_dataset.tar").touch()
    half = tmp_path_factory.mktemp("half")
    (half / "observations").mkdir()
    for path, expected in (
        (root / "nowhere", "found nothing, expected a folder with task_info, observations and proprio_stats"),
        (empty, "found an empty folder"),
        (root / "observations", f"too low; pass {root}"),
        (root / "observations" / TASK, f"too low; pass {root}"),
        (root.parent, f"one level too high; pass {root}"),
        (archives, "found no observations/<task>/<episode> and no observations/<task>/<from>-<to>.tar; extract sample"),
        (half, "found no task_info and no proprio_stats"),
    ):
        with pytest.raises(SourceError) as error:
            catalog.source("agibot")(str(path)).parts()
        assert expected in str(error.value)
        assert "\n" not in str(error.value)
