"""Ego4D as its downloader leaves it: EgoClip's ranges, who acts, what is hidden, who must not be divided."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine import catalog
from dataengine.clips.plan import VideoPlan
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from tests.support import counted_video

A, B, C, D = "aaaa-1", "bbbb-2", "cccc-3", "dddd-4"


def narrated(*lines: tuple[float | None, str]) -> dict[str, Any]:
    narrations = [
        {
            "timestamp_sec": t,
            "timestamp_frame": 0,
            "_unmapped_timestamp_sec": t,
            "narration_text": text,
            "annotation_uid": "u",
        }
        for t, text in lines
    ]
    return {"narrations": narrations, "summaries": [{"start_sec": 0, "end_sec": 9, "summary_text": "#summary C cooks"}]}


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def video(uid: str, **more: Any) -> dict[str, Any]:
    plain = {
        "video_uid": uid,
        "duration_sec": 20.0,
        "is_stereo": None,
        "split_em": None,
        "split_av": None,
        "split_fho": None,
    }
    return {
        **plain,
        "redacted_intervals": None,
        "video_metadata": {"fps": 30, "display_resolution_width": None},
        **more,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    videos = [
        video(A, fb_participant_id=1),
        video(B, fb_participant_id=2, is_stereo=True, redacted_intervals=[{"start_sec": 4.0, "end_sec": 5.0}]),
        video(C, fb_participant_id=1, split_fho="val"),
        video(D, fb_participant_id=3),
    ]
    write_json(tmp_path / "ego4d.json", {"videos": videos, "clips": [], "concurrent_video_sets": [{"videos": [B, D]}]})
    write_json(
        tmp_path / "v2" / "annotations" / "narration.json",
        {
            A: {
                "status": "complete",
                "narration_pass_1": narrated(
                    (6.0, "#C C picks a  bag of clothes."),
                    (2.0, "#c C opens the door"),
                    (10.0, "#O A man X walks around"),
                    (4.0, "# C C moves the #unsure with hand"),
                    (8.0, "#C C stops"),
                    (None, "#C C takes the cup"),
                ),
                "narration_pass_2": narrated((3.0, "#C C looks around the room")),
            },
            B: {"narration_pass_1": narrated((2.0, "#C C cuts bread"), (4.5, "#C C cuts it again"))},
            C: {"narration_pass_1": narrated((2.0, "#C C cuts bread"))},
            D: {"narration_pass_1": "nothing"},
        },
    )
    return tmp_path


def planned(root: Path, **options: Any) -> dict[str, VideoPlan]:
    source = catalog.source("ego4d")(str(root), **options)
    return {plan.name: plan for plan in source.plans()}  # type: ignore[attr-defined]


def test_a_narration_becomes_a_range_by_the_pace_of_its_annotator(root: Path) -> None:
    clips = {clip.record: clip for clip in planned(root)[A].clips}
    half_s = 2.0 / 4.9 / 2  # neighbours are 2 s apart
    first = clips[f"{A}/pass_1/0"]
    assert (first.label_start_s, first.label_end_s) == pytest.approx((6 - half_s, 6 + half_s))
    assert clips[f"{A}/pass_2/0"].label_end_s == pytest.approx(3.5)  # no neighbour: as an average video's
    assert {record: clip.texts[0] for record, clip in clips.items()} == {
        f"{A}/pass_1/0": "picks a bag of clothes",
        f"{A}/pass_1/1": "opens the door",
        f"{A}/pass_2/0": "looks around the room",
    }


def test_what_is_left_out_says_why(root: Path) -> None:
    plans = planned(root)
    said = {label.record: (label.reason, label.is_bad) for plan in plans.values() for label in plan.skipped}
    assert said == {
        f"{A}/pass_1/2": ("not the camera wearer", False),
        f"{A}/pass_1/3": ("annotator was unsure", False),
        f"{A}/pass_1/4": ("fewer than 2 words", False),
        f"{A}/pass_1/5": ("narration has no time", True),
        f"{B}/pass_1/1": ("redacted", False),
        C: ("held out by a benchmark of Ego4D", False),
        f"{D}/narrations": ("narrations are damaged", True),
    }
    assert (plans[C].split, len(planned(root, keep_benchmarks=True)[C].clips)) == ("val", 1)


def test_people_and_events_are_not_divided(root: Path) -> None:
    plans = planned(root)
    assert plans[A].group == plans[C].group  # one person
    assert plans[B].group == plans[D].group  # one event
    assert plans[A].group != plans[B].group


def test_a_stereo_video_gives_its_left_half_at_the_right_time(root: Path) -> None:
    def two_eyes(number: int, height: int, width: int) -> np.ndarray:
        return np.hstack(
            [counted_video.picture(number, height, width // 2), counted_video.picture(0, height, width // 2)]
        )

    counted_video.write(root / "v2" / "video_540ss" / f"{B}.mp4", 240, 30.0, size=(96, 192), draw=two_eyes)
    source = catalog.source("ego4d")(str(root), frame_hz=10.0, context_s=1.0)
    outcomes = [record for part in source.parts() if part.name == B for record in source.read(part)]
    (episode,) = [record for record in outcomes if isinstance(record, Episode)]
    assert counted_video.numbers(list(episode.cameras["primary"].jpegs)) == list(range(45, 75, 3))
    assert [record.record for record in outcomes if isinstance(record, Reject)] == [f"{B}/pass_1/1"]


def test_interactions_have_intervals_of_their_own(root: Path) -> None:
    def action(uid: str, **more: Any) -> dict[str, Any]:
        plain = {
            "uid": uid,
            "start_sec": 1.0,
            "end_sec": 9.0,
            "narration_text": "#C C cuts bread",
            "structured_verb": "cut",
        }
        return {**plain, "is_valid_action": True, "is_rejected": False, "is_invalid_annotation": False, **more}

    actions = [action("x"), action("y", is_rejected=True), action("z", start_sec=None), action("w", is_partial=True)]
    intervals = [{"clip_uid": "c", "narrated_actions": actions[:2]}, {"clip_uid": "d", "narrated_actions": actions[2:]}]
    write_json(
        root / "v2" / "annotations" / "fho_main.json",
        {"version": "2", "videos": [{"video_uid": A, "annotated_intervals": intervals}]},
    )
    plans = planned(root, labels="fho")
    assert list(plans) == [A]
    assert [(c.record, c.label_start_s, c.label_end_s, c.notes["verb"]) for c in plans[A].clips] == [
        (f"{A}/fho/x", 1.0, 9.0, "cut"),
        (f"{A}/fho/w", 1.0, 9.0, "cut"),
    ]
    assert "partial" in plans[A].clips[1].notes
    assert [(s.record, s.is_bad) for s in plans[A].skipped] == [(f"{A}/fho/y", False), (f"{A}/fho/z", True)]
    assert len(planned(root, labels="both")[A].clips) == 5


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: (root / "ego4d.json").unlink(), "found no ego4d.json"),
        (lambda root: (root / "ego4d.json").write_text("{"), "ego4d.json: not the JSON that Ego4D ships"),
        (lambda root: (root / "v2" / "annotations" / "narration.json").unlink(), "found no narration.json"),
        (
            lambda root: (root / "v2" / "annotations" / "narration.json").write_text("[]"),
            "not the JSON that Ego4D ships",
        ),
    ],
)
def test_a_damaged_tree_is_named_in_one_line(root: Path, damage: Any, said: str) -> None:
    damage(root)
    with pytest.raises(SourceError, match=said) as error:
        catalog.source("ego4d")(str(root)).parts()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_that_an_editor_saved_anew_is_read(root: Path, encoding: str) -> None:
    plans = planned(root)
    for path in root.rglob("*.json"):
        path.write_bytes(path.read_text().encode(encoding))
    assert planned(root) == plans


def test_a_missing_video_is_expected_where_the_others_lie(root: Path) -> None:
    assert planned(root)[A].path == f"v2/video_540ss/{A}.mp4"
    (root / "v2" / "full_scale").mkdir()
    assert planned(root)[A].path == f"v2/full_scale/{A}.mp4"
