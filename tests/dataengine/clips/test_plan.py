"""Ranges of clips around their labels, labels that no clip can be cut of, and plans that travel."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataengine.clips.plan import (
    ClipPlan,
    SkippedLabel,
    VideoPlan,
    clip_range,
    divided,
    from_text,
    listed_once,
    merged,
    settled,
    to_text,
)
from dataengine.errors import RecordError


def clip(start: float, end: float, record: str = "r") -> ClipPlan:
    return ClipPlan(record=record, label_start_s=start, label_end_s=end)


@pytest.mark.parametrize(
    ("label", "duration_s", "hidden_s", "expected"),
    [
        ((4.0, 5.0), math.inf, (), (3.0, 6.0)),
        ((4.0, 9.0), math.inf, (), (4.0, 9.0)),
        ((0.2, 1.2), math.inf, (), (0.0, 3.0)),
        ((-1.0, 1.0), math.inf, (), (0.0, 3.0)),
        ((8.5, 9.5), 10.0, (), (7.0, 10.0)),
        ((8.5, 12.0), 10.0, (), (7.0, 10.0)),
        ((4.0, 5.0), math.inf, ((1.0, 3.5),), (3.5, 6.5)),
        ((4.0, 5.0), math.inf, ((5.5, 9.0),), (2.5, 5.5)),
        ((4.0, 5.0), math.inf, ((1.0, 3.5), (5.5, 9.0)), (3.5, 5.5)),
        ((0.5, 1.0), 2.0, (), (0.0, 2.0)),
    ],
)
def test_a_short_label_gets_context_within_the_video_and_beside_what_is_hidden(
    label: tuple[float, float],
    duration_s: float,
    hidden_s: tuple[tuple[float, float], ...],
    expected: tuple[float, float],
) -> None:
    assert clip_range(clip(*label), 3.0, duration_s, hidden_s) == pytest.approx(expected)


@given(
    start=st.floats(0, 100),
    length=st.floats(0.01, 20),
    context_s=st.floats(0, 10),
    rest=st.floats(0, 30),
)
def test_a_clip_holds_its_label_and_lies_within_the_video(
    start: float, length: float, context_s: float, rest: float
) -> None:
    duration_s = start + length + rest
    clip_start, clip_end = clip_range(clip(start, start + length), context_s, duration_s)
    assert 0 <= clip_start <= start + 1e-9
    assert start + length - 1e-9 <= clip_end <= duration_s
    assert clip_end - clip_start >= min(context_s, duration_s) - 1e-9


def test_labels_that_cannot_be_cut_say_why_and_the_rest_stays() -> None:
    clips = [
        clip(1, 2, "v/good"),
        clip(math.nan, 2, "v/nan"),
        clip(3, 2, "v/inverted"),
        clip(-3, -2, "v/before"),
        clip(5, 5, "v/point"),
        clip(7, 7.1, "v/short"),
        clip(20, 21, "v/black"),
        clip(8, 9, "v/good"),
    ]
    plan = VideoPlan(name="v", path="v.mp4", clips=tuple(clips), hidden_s=((20.5, 30.0),))
    plan_made = settled(plan, min_s=0.2)
    assert [c.record for c in plan_made.clips] == ["v/good"]
    assert [(s.record, s.reason, s.is_bad) for s in plan_made.skipped] == [
        ("v/nan", "times are no numbers", True),
        ("v/inverted", "ends before it starts", True),
        ("v/before", "lies before the video", True),
        ("v/point", "too short", True),
        ("v/short", "too short", False),
        ("v/black", "redacted", False),
        ("v/good", "labelled twice", True),
    ]


def test_a_plan_is_the_same_after_its_journey() -> None:
    plan = VideoPlan(
        name="v",
        path="a/v.mp4",
        clips=(
            ClipPlan(
                record="r",
                label_start_s=0.1,
                label_end_s=7.0,
                texts=("öffne", "x"),
                text_source="llm",
                notes={"a": "b"},
            ),
        ),
        skipped=(SkippedLabel(record="s", reason="why", detail="d", is_bad=True),),
        group="P01",
        split="val",
        licence="CC",
        region=(0.0, 0.0, 0.5, 1.0),
        hidden_s=((1.0, 2.0),),
        notes={"k": "v"},
        options={"o": "p"},
    )
    assert from_text(to_text([plan, plan])) == [plan, plan]


def test_spans_that_touch_are_one() -> None:
    assert merged([(5, 6), (1, 2), (2, 3), (4, 4), (2.5, 2.7)]) == ((1, 3), (5, 6))


def test_a_duration_that_is_none_divides_nothing() -> None:
    whole = VideoPlan(name="v", path="v", clips=(clip(0, math.inf),))
    assert [c.label_end_s for c in divided(whole, 30.0, 100.0).clips] == [30, 60, 100]
    assert divided(whole, 30.0, 0.0) == whole
    with pytest.raises(RecordError, match=r"its header says 4.29e\+09 s, expected up to 1e\+06; damaged\?"):
        divided(whole, 30.0, 2.0**32)


def test_no_two_clips_are_called_alike_whatever_tables_say() -> None:
    """A corpus knows an episode by its record: one of another video, or of a video that comes twice, is put aside."""
    first, other, again = (
        VideoPlan(name=name, path=f"{name}.mp4", clips=tuple(clip(1, 2, record) for record in records))
        for name, records in (
            ("P01_1", ("P01_1_0", "P01_10_0", "P02_3_1")),
            ("P01_10", ("P01_10_0",)),
            ("P01_1", ("P01_1_0",)),
        )
    )
    plans = [settled(plan, min_s=0.1) for plan in listed_once([first, other, again])]
    assert [[c.record for c in plan.clips] for plan in plans] == [["P01_1_0"], ["P01_10_0"], []]
    assert [(s.record, s.reason, s.is_bad) for plan in plans for s in plan.skipped] == [
        ("P01_10_0", "labelled for another video", True),
        ("P02_3_1", "labelled for another video", True),
        ("P01_1_0", "its video was listed before", True),
    ]
    assert len({plan.name for plan in plans}) == 3
