"""What is to be cut of a video, and what not and why: made of labels alone, before anything is decoded.

A label says from when to when something is done. The clip that is cut may be longer: a narration lasts a second, a
latent action model looks at several. Both ranges are kept, in seconds after the start of the video.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, get_args

from dataengine.episode import TextSource
from dataengine.errors import RecordError

LATEST_S = 1e7
"""Seconds, four months: no video is longer."""
TEXT_SOURCES: tuple[TextSource, ...] = get_args(TextSource)

Region = tuple[float, float, float, float]
"""Left, top, right, bottom of what is shown of a picture, in shares of its width and height."""

LONGEST_S = 1e6
"""A video of eleven days; a damaged header says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlan:
    """One clip to be cut."""

    record: str
    """Which label of the dataset; with the dataset it identifies the episode, so it begins with its video's name."""
    label_start_s: float
    """Seconds after the start of the video, as the publisher labelled it."""
    label_end_s: float
    """`math.inf` for the end of the video."""
    texts: tuple[str, ...] = ()
    """Paraphrases of what is done."""
    text_source: TextSource = "publisher"
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedLabel:
    """A label that no clip is made of."""

    record: str
    reason: str
    """A few words that are equal for all labels skipped for this reason: `not the camera wearer`."""
    detail: str = ""
    """What was found in this one."""
    is_bad: bool = False
    """The label is damaged (a row without its times), rather than left out by a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPlan:
    """One video and all that is to be cut of it."""

    name: str
    """Unique among the dataset's videos and stable when more of them are downloaded."""
    path: str
    """Below the root; where it would lie if it is not there."""
    clips: tuple[ClipPlan, ...] = ()
    skipped: tuple[SkippedLabel, ...] = ()
    group: str = ""
    """What must not be divided between training and validation: a participant, a session, an event seen by several."""
    split: str = "train"
    licence: str = ""
    """Empty where it is that of the whole dataset."""
    region: Region | None = None
    """The part of the picture to keep (an eye of a stereo pair); None for all of it."""
    hidden_s: tuple[tuple[float, float], ...] = ()
    """Spans that the publisher made black or blank; what overlaps them is skipped."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Of every clip of this video."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the source needs beside this to read its pictures or its hands."""

    def labelled(self, labels: Iterable[ClipPlan | SkippedLabel]) -> "VideoPlan":
        """Return this video with its labels: those that are cut, and those that are not."""
        all_labels = tuple(labels)
        return replace(
            self,
            clips=tuple(label for label in all_labels if isinstance(label, ClipPlan)),
            skipped=tuple(label for label in all_labels if isinstance(label, SkippedLabel)),
        )


def clip_range(
    clip: ClipPlan, context_s: float, duration_s: float = math.inf, hidden_s: Sequence[tuple[float, float]] = ()
) -> tuple[float, float]:
    """Return (start, end) in seconds: the label's, within the video, widened to `context_s` where it is shorter.

    Context is taken evenly on both sides; where the video ends on one, or a span is hidden, the other gives what lacks.
    """
    start, end = max(clip.label_start_s, 0.0), min(clip.label_end_s, duration_s)
    lacking = context_s - (end - start)
    if lacking <= 0:
        return start, end
    least = max((stop for _, stop in hidden_s if stop <= start), default=0.0)
    most = min((begin for begin, _ in hidden_s if begin >= end), default=duration_s)
    start = max(start - lacking / 2, least)
    end = min(start + context_s, most)
    return max(end - context_s, least), end


def divided(plan: VideoPlan, window_s: float, duration_s: float) -> VideoPlan:
    """Divide clips that are a whole video of a known duration into windows that follow one another.

    A last window of less than half a length joins the one before. Raise RecordError for a duration that is none.
    """
    if not 0 < duration_s < math.inf:
        return plan
    if duration_s > LONGEST_S:
        raise RecordError(f"its header says {duration_s:.3g} s, expected up to {LONGEST_S:g}; damaged?")
    clips: list[ClipPlan] = []
    for clip in plan.clips:
        if math.isfinite(clip.label_end_s):
            clips.append(clip)
            continue
        count = max(math.floor((duration_s - clip.label_start_s) / window_s + 0.5), 1)
        edges_s = [clip.label_start_s + i * window_s for i in range(count)] + [duration_s]
        clips += [
            replace(clip, record=f"{clip.record}/{i}", label_start_s=start_s, label_end_s=end_s)
            for i, (start_s, end_s) in enumerate(pairwise(edges_s))
        ]
    return replace(plan, clips=tuple(clips))


def settled(plan: VideoPlan, *, min_s: float) -> VideoPlan:
    """Skip clips whose range cannot be cut, is shorter than `min_s`, is hidden, or whose record came before.

    A record of another video is skipped, too: that one may have it as well, and no two episodes are called alike.
    """
    clips, skipped, seen = [], list(plan.skipped), set()
    for clip in plan.clips:
        why = _why_not(clip, plan.hidden_s, min_s)
        if clip.record in seen:
            why = ("labelled twice", f"record {clip.record} came before", True)
        elif not _is_of(plan.name, clip.record):
            why = ("labelled for another video", f"expected a record of {plan.name}", True)
        if why is None:
            seen.add(clip.record)
            clips.append(clip)
        else:
            reason, detail, is_bad = why
            skipped.append(SkippedLabel(record=clip.record, reason=reason, detail=detail, is_bad=is_bad))
    if len(clips) == len(plan.clips):
        return plan
    return replace(plan, clips=tuple(clips), skipped=tuple(skipped))


def listed_once(plans: Iterable[VideoPlan]) -> Iterator[VideoPlan]:
    """Skip the clips of a video that came before: tables may list one twice, or a folder hold a second copy."""
    seen, splits = Counter[str](), dict[str, str]()
    for plan in plans:
        seen[plan.name] += 1
        if (count := seen[plan.name]) == 1:
            splits[plan.name] = plan.split
            yield plan
            continue
        where = f"{plan.path}, here as {plan.split}; its first place counts, {splits[plan.name]}"
        again = (
            SkippedLabel(record=clip.record, reason="its video was listed before", detail=where, is_bad=True)
            for clip in plan.clips
        )
        yield replace(plan, name=f"{plan.name} ({count})", clips=(), skipped=(*plan.skipped, *again))


def _is_of(video: str, record: str) -> bool:
    """Tell a record of P01_1 from one of P01_10."""
    return record.startswith(video) and not record[len(video) : len(video) + 1].isalnum()


def _why_not(clip: ClipPlan, hidden_s: Iterable[tuple[float, float]], min_s: float) -> tuple[str, str, bool] | None:
    start, end = clip.label_start_s, clip.label_end_s
    if not abs(start) <= LATEST_S or math.isnan(end) or LATEST_S < abs(end) < math.inf:
        return "times are no numbers", f"{start} to {end} s", True
    if end < start:
        return "ends before it starts", f"{start:g} to {end:g} s", True
    if end <= 0:
        return "lies before the video", f"{start:g} to {end:g} s", True
    if end - start < min_s:
        return "too short", f"{end - start:.3f} s, at least {min_s:g} s are kept", end == start
    for hidden_start, hidden_end in hidden_s:
        if start < hidden_end and end > hidden_start:
            return "redacted", f"{start:g} to {end:g} s, hidden from {hidden_start:g} to {hidden_end:g} s", False
    return None


def to_text(plans: Sequence[VideoPlan]) -> str:
    """Write plans down, short enough to travel with millions of clips; `from_text` undoes it."""
    return json.dumps([_row(plan) for plan in plans], ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> list[VideoPlan]:
    """Read what `to_text` wrote."""
    return [_plan(*row) for row in json.loads(text)]


def _row(plan: VideoPlan) -> list[Any]:
    """Leave the names of fields out: there are a few for each of millions of clips."""
    clips = [
        [c.record, c.label_start_s, c.label_end_s, c.texts, TEXT_SOURCES.index(c.text_source), dict(c.notes)]
        for c in plan.clips
    ]
    skipped = [[s.record, s.reason, s.detail, int(s.is_bad)] for s in plan.skipped]
    about = [plan.name, plan.path, plan.group, plan.split, plan.licence, plan.region, plan.hidden_s]
    return [about, dict(plan.notes), dict(plan.options), clips, skipped]


def _plan(
    about: list[Any], notes: dict[str, str], options: dict[str, str], clips: list[Any], skipped: list[Any]
) -> VideoPlan:
    name, path, group, split, licence, region, hidden_s = about
    return VideoPlan(
        name=name,
        path=path,
        group=group,
        split=split,
        licence=licence,
        region=None if region is None else (region[0], region[1], region[2], region[3]),
        hidden_s=tuple((start, end) for start, end in hidden_s),
        notes=notes,
        options=options,
        clips=tuple(
            ClipPlan(
                record=record,
                label_start_s=start,
                label_end_s=end,
                texts=tuple(texts),
                text_source=TEXT_SOURCES[who],
                notes=more,
            )
            for record, start, end, texts, who, more in clips
        ),
        skipped=tuple(
            SkippedLabel(record=record, reason=reason, detail=detail, is_bad=bool(bad))
            for record, reason, detail, bad in skipped
        ),
    )


def merged(spans: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Join spans (start, end) that touch, in order of time; empty ones vanish."""
    ranges: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], end))
        elif end > start:
            ranges.append((start, end))
    return tuple(ranges)
