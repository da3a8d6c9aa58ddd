"""The page beside the counts: lengths, verbs, what is left out, and frames of a sample of clips as ingest cuts them."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import simplejpeg

from dataengine.clips.plan import VideoPlan
from dataengine.digest import stable_id
from dataengine.episode import Episode, Part
from dataengine.errors import DataEngineError
from dataengine.progress import task
from dataengine.runners.processes import pool
from dataengine.sources._clip_source import ClipSource
from dataengine.spread import spread
from pipelines.clips.report import ClipsReport
from pipelines.html.page import Section, cards, meter, page
from pipelines.html.templates import macros
from pipelines.output.folder import OutputFolder
from pipelines.output.text_table import human_bytes

TEMPLATE = "clips/page.html"
FRAMES = 8
TRIED = 3
"""Episodes of a video at most that a strip is looked for in."""


@dataclass(frozen=True)
class ClipStrip:
    """Frames of a clip side by side, or why there are none."""

    caption: str
    picture: Path | None = None
    seconds: Sequence[str] = ()


class Sample:
    """A few clips of videos that are there, the same at every call: those whose hashes are the least."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._chosen: list[tuple[str, VideoPlan]] = []

    def see(self, plan: VideoPlan) -> None:
        """Let a video's clips be among the sample: one of each video, so that it shows many videos."""
        if not self._count or not plan.clips:
            return
        named = min(((stable_id(plan.name, clip.record), clip) for clip in plan.clips), key=lambda each: each[0])
        self._chosen.append((stable_id(plan.name), replace(plan, clips=(named[1],), skipped=())))
        if len(self._chosen) > 2 * self._count:
            self._chosen = sorted(self._chosen, key=lambda each: each[0])[: self._count]

    def plans(self) -> list[VideoPlan]:
        """Give each video with the one clip of it."""
        return [plan for _, plan in sorted(self._chosen, key=lambda each: each[0])[: self._count]]


def write_page(out: OutputFolder, source: ClipSource, sample: Sample, report: ClipsReport) -> Path:
    """Cut the sample in a process of its own, and write the page with its pictures."""
    out.remove("clips/*")
    strips = list(_strips(source, sample.plans(), out))
    figures: list[tuple[object, str, str]] = [
        (f"{report.clips:,}", "clips", f"of {report.videos:,} videos, {human_bytes(report.video_bytes)}"),
        (f"{report.label_hours:.4g} h", "labelled", f"median {report.median_label_s:.3g} s"),
        (f"{report.clip_hours:.4g} h", "with context", f"{report.widened:,} clips widened"),
        (f"{sum(s.labels for s in report.skipped):,}", "labels left out", ""),
        (f"{report.missing_videos:,}", "videos missing", f"{report.missing_clips:,} clips"),
    ]
    lengths = _bars({length.name: length.clips for length in report.lengths})
    verbs = _bars(report.verbs)
    sections = [
        Section("clips", "Clips", macros(TEMPLATE).counts(report, lengths, verbs)),
        Section("left-out", "What is not cut", macros(TEMPLATE).left_out(report)),
        Section("sample", "A sample, as ingest cuts it", macros(TEMPLATE).sample(strips)),
    ]
    foot = "Only the sample was decoded: a damaged video shows at ingest."
    return out.write("index.html", page("Clips", f"{report.source} at {report.root}", cards(figures), sections, foot))


def _bars(counts: Mapping[str, int]) -> list[list[object]]:
    """Put a bar beside each count, as long as its share of the largest."""
    most = max(counts.values(), default=0) or 1
    return [[name, count, meter(count / most)] for name, count in counts.items()]


def _strips(source: ClipSource, plans: Sequence[VideoPlan], out: OutputFolder) -> Iterator[ClipStrip]:
    """Cut one clip after another; a decoder that takes its process down costs its clip."""
    workers = pool(1)
    with task("sample", len(plans), "clips") as live:
        for plan in plans:
            part = source.part(plan.name, [plan])
            try:
                first = workers.submit(_first, source, part).result()
            except BrokenProcessPool:
                workers = pool(1)
                first = "its decoder crashed"
            yield _strip(plan, first, out)
            live.advance()
    workers.shutdown()


def _first(source: ClipSource, part: Part) -> tuple[list[bytes], list[float], str] | str:
    """Read the first clip of a part: JPEGs and times of a few frames, and what is to be said; or why there is none."""
    why = "nothing came out"
    try:
        for record in islice(source.read(part), TRIED):
            if not isinstance(record, Episode):
                why = record.reason
                continue
            steps = spread(record.num_steps, FRAMES).tolist()
            jpegs = [record.cameras["primary"].jpegs[i] for i in steps]
            begins_s = record.cut.clip_start_s if record.cut else 0.0
            said = " / ".join(record.instruction) or "no text"
            return jpegs, [begins_s + i / record.control_hz for i in steps], said
    except DataEngineError as error:
        why = str(error)
    return why


def _strip(plan: VideoPlan, first: tuple[list[bytes], list[float], str] | str, out: OutputFolder) -> ClipStrip:
    clip = plan.clips[0]
    end = f"{clip.label_end_s:.2f} s" if np.isfinite(clip.label_end_s) else "its end"
    where = f"{clip.record}, labelled from {clip.label_start_s:.2f} s to {end}"
    if isinstance(first, str):
        return ClipStrip(f"{where}: {first}")
    jpegs, seconds, said = first
    frames = [simplejpeg.decode_jpeg(jpeg, "RGB") for jpeg in jpegs]
    file = out.path(f"clips/{stable_id(clip.record)}.jpg")
    file.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(np.concatenate(frames, axis=1)), quality=85))
    return ClipStrip(f"{said} · {where}", file, [f"{time_s:.2f} s" for time_s in seconds])
