"""What was repeated, to look at: videos side by side, and the ways of hands as curves."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.formats.resize import resize
from dataengine.whole_file import whole_file
from pipelines.evaluation.plan import stack
from pipelines.evaluation.video import write_video

SIDE = 192
"""Of each picture of a video, in pixels."""
Frames = Sequence[NDArray[np.uint8]]


def write_film(path: Path, source: Frames, steps: int, executed: Sequence[Frames], rate_hz: float) -> None:
    """Write a video: a frame of the source for each `steps` control steps, and beside it what robots did."""

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for i in range(min(len(frames) for frames in executed)):
            row = [source[min(i // steps, len(source) - 1)], *(frames[i] for frames in executed)]
            sheet = stack([[resize(picture, SIDE, SIDE) for picture in row]])
            height, width = (side - side % 2 for side in sheet.shape[:2])  # which the codec needs
            yield np.ascontiguousarray(sheet[:height, :width])

    write_video(path, pictures(), max(1, round(rate_hz)), "libx264")


def draw_paths(path: Path, paths: Mapping[str, NDArray[np.floating]], interval_s: float) -> None:
    """Write a PNG of hands' positions (n + 1, 3) by name, each from where it began, one axis below another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True)
    for name, positions in paths.items():
        for i, axis in enumerate(axes):
            time_s = np.arange(len(positions)) * interval_s
            axis.plot(time_s, positions[:, i] - positions[0, i], marker=".", label=name)
    for axis, title in zip(axes, "xyz", strict=True):
        axis.set_ylabel(f"{title}, metres")
    axes[0].legend(fontsize="small")
    axes[-1].set_xlabel("seconds")
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=100)
