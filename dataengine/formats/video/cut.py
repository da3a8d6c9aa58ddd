"""Many time ranges of one video."""

from collections.abc import Iterator, Sequence

import numpy as np

from dataengine.errors import RecordError
from dataengine.formats.byte_range import Place, name_of
from dataengine.formats.video.picture import camera_frames, shrink
from dataengine.formats.video.stream import Player, named, open_video
from dataengine.formats.video.video import Clip, resample

Region = tuple[float, float, float, float]


def cut(
    path: Place,
    ranges: Sequence[tuple[float, float]],
    frame_size: int,
    rate_hz: float,
    *,
    region: Region | None = None,
) -> Iterator[tuple[int, Clip | RecordError]]:
    """Yield the clip of each range (start, end) in seconds after the video's start, resampled to `rate_hz`."""
    if region is not None:
        raise RecordError("a part of a picture cannot be cut yet")
    for i, (start_s, end_s) in enumerate(ranges):
        try:
            with open_video(path) as (container, stream), named(name_of(path)):
                played = Player(container, stream).frames()
                inside = ((t - start_s, frame) for t, frame in played if start_s - 1e-6 <= t < end_s)
                taken = list(shrink(((t, frame) for t, frame, _ in resample(inside, rate_hz)), frame_size))
                frames = camera_frames(((size, data) for _, size, data in taken), frame_size)
        except RecordError as error:
            yield i, error
            continue
        time_s = np.array([t for t, _, _ in taken])
        yield i, Clip(frames, rate_hz, time_s - time_s[0], start_s + float(time_s[0]))
