"""A reader of videos that starts at any key frame."""

from collections.abc import Iterator
from typing import Any

import av
import torch


class VideoReader:
    """Plays the frames of a file from the key frame before a time."""

    def __init__(self, path: str, stream: str) -> None:
        self.container = av.open(path)
        self.stream = self.container.streams.video[0]

    def seek(self, time_s: float, keyframes_only: bool = False) -> None:
        """Go to the key frame at or before a time in seconds."""
        self.container.seek(int(time_s * av.time_base))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for frame in self.container.decode(self.stream):
            yield {"pts": frame.time, "data": torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)}
