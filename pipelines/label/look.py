"""`villa show` of labels of one's own video: what `villa label --video` wrote, as a table and as a picture."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataengine.config import Config
from dataengine.errors import DataEngineError, RecordError
from dataengine.formats import files
from dataengine.report import Report
from dataengine.spread import spread
from dataengine.windows.latents import CodesOfVideos, VideoCodes, from_table, read_npz
from pipelines.corpus.drawing import FRAME_INCHES, check_out, code_inches, draw_codes, draw_strip, panels, save
from pipelines.output.text_table import text_table

MOST_DRAWN = 6
"""Videos in a picture."""
MOST_SLOTS = 4
"""Slots of which a line has room for a number each; of more the least and the largest are printed."""
THUMB = 128
"""Height in pixels of a frame in a strip."""
NEAR = 0.5
"""A frame belongs to a latent action if it is shown within this many spacings of its begin."""


class ShowLabelsConfig(Config):
    """Which labels to look at."""

    labels: Path
    """File `NAME.npz` or table `NAME.lance`."""
    video: str | None = None
    """Part of the name of a video; without it all are told."""
    out: Path | None = None
    """Picture to write."""
    frames: int = Field(12, ge=1, le=64)
    """Frames of each strip, evenly spaced."""


class VideoFacts(Report):
    """The latent actions of one video, or of all of them together."""

    video: str
    latents: int
    begin_s: float
    """When the first begins, seconds in the stream."""
    end_s: float
    """When the last ends."""
    rate_hz: float
    """Latent actions that begin in a second."""
    codes_used: list[int]
    """By slot."""
    perplexity: list[float]
    """Codes in effect by slot: the exponential of the entropy."""
    hold_still: float | None
    """Share of the latent actions all of whose codes are those that a repeated frame mostly gets."""
    hold_codes: float | None
    """Share of the codes that are; noise of a camera or codec may change one of several."""


class LabelsReport(Report):
    """What a file of labels holds."""

    labels: str
    fingerprint: str
    """Of the model."""
    interval_s: float
    k: int
    past_frames: bool
    """Whether latent actions may depend on frames before their first."""
    videos: list[VideoFacts]
    picture: str
    drawn: list[str]
    """Videos in the picture."""
    without_frames: dict[str, str]
    """Of these, videos whose frames could not be read, and why."""

    def summary(self) -> str:
        """Print a row for each video."""
        head = ["video", "latent actions", "from s", "to s", "a second", "codes used", "perplexity", "hold still"]
        rows = [
            [
                *(v.video, v.latents, f"{v.begin_s:.1f}", f"{v.end_s:.1f}", f"{v.rate_hz:.2f}"),
                *(_by_slot(v.codes_used, "d"), _by_slot(v.perplexity, ".1f")),
                "-" if v.hold_still is None else f"{v.hold_still:.0%}, {v.hold_codes:.0%} of codes",
            ]
            for v in self.videos
        ]
        lines = [
            text_table(head, rows),
            f"{self.labels}: {self.k} codes in a latent action, which spans {self.interval_s:g} s"
            f"{'' if self.past_frames else ' and is read without past frames'}; model {self.fingerprint}",
        ]
        if any(v.hold_still is None for v in self.videos):
            lines.append("no share holds still: an older villa wrote the file; `villa label --video` again tells it")
        if self.picture:
            some = len(self.drawn) < len(self.videos)
            more = f", {len(self.drawn)} of {len(self.videos)} videos; name one to draw it" if some else ""
            lines.append(f"picture: {self.picture}{more}")
        lines += [f"drawn without frames: {video} ({why})" for video, why in self.without_frames.items()]
        return "\n".join(lines)


def run(config: ShowLabelsConfig) -> LabelsReport:
    """Look at all videos, or at those whose names have `video` in them, and draw the first few."""
    if config.out:
        check_out(config.out)
    labels = _read(config.labels)
    videos = [v for v in labels.videos if config.video is None or config.video in v.video]
    if not videos:
        names = ", ".join(v.video for v in islice(labels.videos, 5))
        raise DataEngineError(f"{config.labels}: no video '{config.video}'; there are {names or 'none'}")
    without = _draw(labels, videos[:MOST_DRAWN], config.out, config.frames) if config.out else {}
    return LabelsReport(
        labels=str(config.labels),
        fingerprint=labels.fingerprint,
        interval_s=labels.interval_s,
        k=videos[0].codes.shape[1],
        past_frames=labels.past_frames,
        videos=[_facts(video, labels) for video in videos],
        picture=str(config.out or ""),
        drawn=[v.video for v in videos[:MOST_DRAWN]] if config.out else [],
        without_frames=without,
    )


def _read(path: Path) -> CodesOfVideos:
    if path.suffix == ".npz":
        files.no_pipe_or_stop(path)
        return read_npz(path)
    from dataengine.store.plain_table import read_plain_table

    return from_table(path, read_plain_table(path, without=("latent__",)))


def _facts(video: VideoCodes, labels: CodesOfVideos) -> VideoFacts:
    codes, time_s = video.codes, video.time_s
    counts = [np.unique(slot, return_counts=True)[1] for slot in codes.T]
    shares = [count / count.sum() for count in counts]
    holds = video.holds if video.hold_codes is not None and len(codes) else None
    return VideoFacts(
        video=video.video,
        latents=len(codes),
        begin_s=round(float(time_s[0]), 3) if len(codes) else 0.0,
        end_s=round(float(time_s[-1]) + labels.interval_s, 3) if len(codes) else 0.0,
        rate_hz=round(1 / _step_s(video, labels), 3),
        codes_used=[len(count) for count in counts],
        perplexity=[round(float(np.exp(-(share * np.log(share)).sum())), 3) for share in shares],
        hold_still=None if holds is None else round(float(holds.all(axis=1).mean()), 4),
        hold_codes=None if holds is None else round(float(holds.mean()), 4),
    )


def _step_s(video: VideoCodes, labels: CodesOfVideos) -> float:
    """Say how far apart latent actions begin; cuts of a video are longer, and fewer."""
    return float(np.median(np.diff(video.time_s))) if len(video.time_s) > 1 else labels.interval_s


def _by_slot(values: Sequence[float], form: str) -> str:
    if len(values) > MOST_SLOTS:
        return f"{min(values):{form}} to {max(values):{form}}"
    return " ".join(f"{value:{form}}" for value in values)


def _draw(labels: CodesOfVideos, videos: Sequence[VideoCodes], out: Path, num_frames: int) -> dict[str, str]:
    """Draw a strip of frames of each video and its codes below; tell of whom there are no frames, and why."""
    without: dict[str, str] = {}
    strips: dict[str, tuple[NDArray[np.uint8], NDArray[np.float64]]] = {}
    for video in videos:
        try:
            strips[video.video] = _strip(video, _step_s(video, labels), num_frames)
        except RecordError as error:
            without[video.video] = str(error)
    heights = []
    for video in videos:
        heights += [FRAME_INCHES] if video.video in strips else []
        heights.append(code_inches(video.codes.shape[1]))
    known = any(video.hold_codes is not None for video in videos)
    figure, axes = panels(heights, num_frames, f"{out.stem}: grey holds still" if known else out.stem)
    next_axes = iter(axes)
    for video in videos:
        name, step_s = Path(video.video).name, _step_s(video, labels)
        if video.video in strips:
            frames, seconds = strips[video.video]
            draw_strip(next(next_axes), name, frames, seconds)
        draw_codes(next(next_axes), "codes", video.time_s, video.codes, step_s, video.holds)
    save(figure, out)
    return without


def _strip(video: VideoCodes, step_s: float, num_frames: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Decode the frames (n, height, width, 3) at which some latent actions begin, evenly spaced, and their times (n,).

    Raise RecordError where the video is not there any more, or is another.
    """
    from PIL import Image

    from dataengine.formats.video.video import pictures

    wanted = spread(len(video.time_s), num_frames)
    times = video.time_s[wanted]
    thumbs: list[NDArray[np.uint8]] = []
    for time_s, picture in pictures(video.video, 1 / step_s):
        if time_s > times[len(thumbs)] - NEAR * step_s:
            height, width = picture.shape[:2]
            small = Image.fromarray(picture).resize((max(round(width * THUMB / height), 1), THUMB))
            thumbs.append(np.asarray(small))
        if len(thumbs) == len(times):
            return np.stack(thumbs), times
    raise RecordError(f"ends before {times[len(thumbs)]:.1f} s; is it the video that was labelled?")
