"""Ego4D's JSON files, read into the few fields that matter: narration.json alone has 350 MB.

ego4d.json             videos, who wears the camera, what is stereo, what was made black, who saw the same event
narration.json         {video_uid: {narration_pass_1: {narrations: [...]}, narration_pass_2: ...}}; also narrations.json
fho_hands_train.json   clips > frames > moments
fho_main.json          videos > annotated_intervals > narrated_actions
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dataengine.formats import json_fields


class RedactedInterval(msgspec.Struct, gc=False):
    """A redacted interval."""

    start_sec: float | None = None
    end_sec: float | None = None


class Metadata(msgspec.Struct, gc=False):
    """What a video's header says."""

    display_resolution_width: float | None = None
    display_resolution_height: float | None = None


class Video(msgspec.Struct, gc=False):
    """An entry of ego4d.json."""

    video_uid: str
    duration_sec: float | None = None
    is_stereo: bool | None = None
    fb_participant_id: int | str | None = None
    split_em: str | None = None
    split_av: str | None = None
    split_fho: str | None = None
    redacted_intervals: list[RedactedInterval] | None = None
    scenarios: list[str] | None = None
    video_metadata: Metadata | None = None


class Listing(msgspec.Struct):
    """All of ego4d.json."""

    videos: list[Video]
    concurrent_video_sets: Any = None


class Narration(msgspec.Struct, gc=False):
    """One line that an annotator spoke, at one instant."""

    timestamp_sec: float | None = None
    narration_text: str | None = None


class Pass(msgspec.Struct, gc=False):
    """What one of two annotators said of a video."""

    narrations: list[Narration] | None = None


class Passes(msgspec.Struct, gc=False):
    """Both annotators; either may be missing."""

    narration_pass_1: Pass | None = None
    narration_pass_2: Pass | None = None


class Action(msgspec.Struct, gc=False):
    """A hand-object interaction."""

    uid: str | None = None
    start_sec: float | None = None
    end_sec: float | None = None
    narration_text: str | None = None
    structured_verb: str | None = None
    is_valid_action: bool | None = None
    is_rejected: bool | None = None
    is_invalid_annotation: bool | None = None
    is_partial: bool | None = None


class Interval(msgspec.Struct, gc=False):
    """Five minutes in which every interaction was annotated."""

    narrated_actions: list[Action] | None = None


class FhoVideo(msgspec.Struct, gc=False):
    """An entry of fho_main.json."""

    video_uid: str
    annotated_intervals: list[Interval] | None = None


class Fho(msgspec.Struct):
    """All of fho_main.json."""

    videos: list[FhoVideo]


class HandClip(msgspec.Struct, gc=False):
    """An entry of fho_hands: moments of actions by their names, `{pre_45: {frame, boxes}}`."""

    video_uid: str
    frames: list[dict[str, Any]] | None = None


class HandClips(msgspec.Struct):
    """All of fho_hands_train.json."""

    clips: list[HandClip]


def listing(path: Path) -> Listing:
    """Read ego4d.json."""
    return json_fields.read(path, Listing, "Ego4D")


def narrations(path: Path) -> Iterator[tuple[str, Passes | str]]:
    """Yield (video, its two passes, or what is wrong with them); one video's are decoded at a time."""
    for video, raw in json_fields.read(path, dict[str, msgspec.Raw], "Ego4D").items():
        try:
            yield video, msgspec.json.decode(raw, type=Passes)
        except (msgspec.DecodeError, ValueError) as error:
            yield video, f"not a video's narrations ({error})"


def interactions(path: Path) -> list[FhoVideo]:
    """Read fho_main.json."""
    return json_fields.read(path, Fho, "Ego4D").videos


def hands(path: Path) -> list[HandClip]:
    """Read a file of annotated hands."""
    return json_fields.read(path, HandClips, "Ego4D").clips
