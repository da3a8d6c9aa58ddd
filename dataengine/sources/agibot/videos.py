"""Videos of one episode of AgiBot World beside its numbers: frame k shows step k.

Videos and numbers start together. Up to 2 frames may lack at the end of any of them. Where a video lacks some and its
own times tell that they do not lack at its end, every later frame would show another step: it is rejected.
"""

from collections.abc import Mapping

import numpy as np

from dataengine.episode import CameraFrames
from dataengine.errors import RecordError
from dataengine.formats.byte_range import Location
from dataengine.formats.video import video
from dataengine.framing import Fit

MAX_LACKING = 2
"""Frames that may lack at an end; the publisher's videos and proprioception differ that much now and then."""


def read(
    locations: Mapping[str, Location], names: Mapping[str, str], num_states: int, frame_size: int, how: Fit
) -> dict[str, CameraFrames]:
    """Decode the video of each slot; raise RecordError when one does not go with the numbers and the others.

    `names` are the cameras in the slots.
    """
    clips = {slot: video.decode(location, frame_size, how=how) for slot, location in locations.items()}
    counts = {"state": num_states} | {names[slot]: len(clip.frames.jpegs) for slot, clip in clips.items()}
    longest = max(counts.values())
    if longest - min(counts.values()) > MAX_LACKING:
        lengths = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise RecordError(f"lengths differ by more than {MAX_LACKING}: {lengths}")
    for slot, clip in clips.items():
        lacking = longest - len(clip.frames.jpegs)
        if lacking and (where := _lacks_before_its_end(clip)):
            raise RecordError(
                f"{names[slot]} lacks {lacking} of {longest} frames, {where}: its frames are of other steps"
            )
    return {slot: clip.frames for slot, clip in clips.items()}


def _lacks_before_its_end(clip: video.Clip) -> str:
    """Say where a video's times have room for a frame that is not there; empty where they have none."""
    if len(clip.time_s) < 2:
        return ""
    apart_s = np.diff(clip.time_s)
    frames_apart = np.round(apart_s / np.median(apart_s))
    if clip.start_s >= np.median(apart_s) / 2:
        return f"and starts {clip.start_s:.3f} s late"
    if len(holes := np.flatnonzero(frames_apart > 1)):
        return f"some of them after frame {holes[0]}"
    return ""
