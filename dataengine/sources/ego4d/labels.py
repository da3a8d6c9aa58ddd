"""From Ego4D's lines and intervals to clips: who acts, when, and what is left out."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from dataengine.clips.plan import ClipPlan, SkippedLabel
from dataengine.sources.ego4d.tables import Action, Narration, Pass, Passes

MEAN_GAP_S = 4.9
"""Mean over all of Ego4D's videos of the mean gap between neighbouring narrations (EgoVLP, arXiv 2206.01670, 3.1)."""
TAG = re.compile(r"^\s*#\s*(?P<tag>[A-Za-z]+)\s*(?P<text>.*)$", re.DOTALL)
WEARER = re.compile(r"^C\s+(?=\S)", re.IGNORECASE)
"""The name of who wears the camera: `#C C picks a bag`."""
UNSURE = re.compile(r"#\s*unsure", re.IGNORECASE)
MIN_WORDS = 2


def of_narrations(video: str, passes: Passes) -> Iterator[ClipPlan | SkippedLabel]:
    """Make a clip of each narration of either pass by EgoClip's rule.

    A narration at t becomes [t - b / 2a, t + b / 2a]: b is the mean gap between neighbours in its pass, a that of all
    videos. Whoever narrates often describes short actions.
    """
    for number, listed in ((1, passes.narration_pass_1), (2, passes.narration_pass_2)):
        if listed is not None and listed.narrations:
            yield from _of_pass(f"{video}/pass_{number}", listed)


def _of_pass(where: str, listed: Pass) -> Iterator[ClipPlan | SkippedLabel]:
    lines = listed.narrations or []
    half_s = _mean_gap_s(lines) / MEAN_GAP_S / 2
    for i, line in enumerate(lines):
        record = f"{where}/{i}"
        if line.timestamp_sec is None or not math.isfinite(line.timestamp_sec):
            yield SkippedLabel(record=record, reason="narration has no time", is_bad=True)
            continue
        said = _said(line.narration_text or "")
        if isinstance(said, str):
            yield ClipPlan(
                record=record,
                label_start_s=line.timestamp_sec - half_s,
                label_end_s=line.timestamp_sec + half_s,
                texts=(said,),
            )
        else:
            yield SkippedLabel(record=record, reason=said[0], detail=said[1])


def _mean_gap_s(lines: Iterable[Narration]) -> float:
    times_s = np.sort([line.timestamp_sec for line in lines if line.timestamp_sec is not None])
    times_s = times_s[np.isfinite(times_s)]
    return float(np.diff(times_s).mean()) if len(times_s) > 1 and times_s[-1] > times_s[0] else MEAN_GAP_S


def _said(line: str) -> str | tuple[str, str]:
    """Return what the wearer of the camera does, or why the line is left out and what it says."""
    match = TAG.match(line)
    if match is None:
        return "narration does not say who acts", line[:60]
    tag = match["tag"].lower()
    if UNSURE.search(line):
        return "annotator was unsure", line[:60]
    if tag == "o":
        return "not the camera wearer", line[:60]
    if tag != "c":
        return f"tagged #{tag}", line[:60]
    text = " ".join(WEARER.sub("", match["text"].strip()).split()).rstrip(". ")
    if len(text.split()) < MIN_WORDS:
        return f"fewer than {MIN_WORDS} words", line[:60]
    return text


def of_interactions(video: str, actions: Sequence[Action]) -> Iterator[ClipPlan | SkippedLabel]:
    """Make a clip of each hand-object interaction that its annotators call valid."""
    for i, action in enumerate(actions):
        record = f"{video}/fho/{action.uid or i}"
        if action.is_rejected or action.is_invalid_annotation or action.is_valid_action is False:
            yield SkippedLabel(record=record, reason="rejected by Ego4D's annotators")
            continue
        if action.start_sec is None or action.end_sec is None:
            yield SkippedLabel(record=record, reason="interaction has no times", is_bad=True)
            continue
        said = _said(action.narration_text or "")
        if not isinstance(said, str):
            yield SkippedLabel(record=record, reason=said[0], detail=said[1])
            continue
        notes = {"verb": action.structured_verb} if action.structured_verb else {}
        yield ClipPlan(
            record=record,
            label_start_s=action.start_sec,
            label_end_s=action.end_sec,
            texts=(said,),
            notes={
                **notes,
                **({"partial": "the action is cut by the end of its interval"} if action.is_partial else {}),
            },
        )
