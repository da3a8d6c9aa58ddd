"""What would be cut of a dataset's videos, on a terminal, as JSON and for the page."""

from collections.abc import Mapping

from dataengine.report import Report
from pipelines.output.text_table import counted, human_bytes, text_table

BAR = 40
"""Letters of the longest bar."""


class SkipReason(Report):
    """Labels that no clip is made of, for one reason."""

    reason: str
    labels: int
    is_bad: bool
    """The labels are damaged, rather than left out by a rule."""
    examples: list[str]


class Bin(Report):
    """Clips of similar length."""

    from_s: float
    to_s: float | None
    """None for the last bin."""
    clips: int

    @property
    def name(self) -> str:
        """Say from when to when."""
        return f"{self.from_s:g} to {self.to_s:g} s" if self.to_s is not None else f"{self.from_s:g} s and more"


class ClipsReport(Report):
    """What an ingest of this dataset would cut, if all its videos are sound."""

    source: str
    root: str
    videos: int
    """With at least one clip."""
    missing_videos: int
    """Of these, not there."""
    missing_examples: list[str]
    missing_clips: int
    """Clips of missing videos."""
    video_bytes: int
    """Of the videos that are there."""
    groups: int
    """Participants, sessions or events: what is not divided between training and validation."""
    clips: int
    whole_videos: int
    """Clips that are a whole video; how long they are is not known without opening it, hours and lengths lack them."""
    label_hours: float
    clip_hours: float
    """With context."""
    median_label_s: float
    widened: int
    """Clips that get context because their label is short."""
    lengths: list[Bin]
    """Of labels."""
    splits: dict[str, int]
    text_sources: dict[str, int]
    """Clips by who wrote their text."""
    distinct_texts: int
    verbs: dict[str, int]
    """Most frequent ones."""
    skipped: list[SkipReason]
    page: str = ""
    """HTML page with a sample of clips, if one was asked for."""

    def summary(self) -> str:
        """Print the counts, the lengths as bars, the verbs, and what is skipped and why."""
        lines = [
            f"{self.source}: {counted(self.clips, 'clip')} of {counted(self.videos, 'video')} "
            f"({human_bytes(self.video_bytes)}), {self.label_hours:.4g} h labelled, {self.clip_hours:.4g} h with "
            f"context ({counted(self.widened, 'clip')} widened); {counted(self.groups, 'split group')}"
        ]
        if self.whole_videos:
            whole = counted(self.whole_videos, "whole video")
            lines.append(f"among them {whole} of unknown length, which hours leave out")
        if self.missing_videos:
            lines.append(f"{self.missing_line()}, such as {', '.join(self.missing_examples)}")
        if self.clips > self.whole_videos:
            lines += [f"length of labels (median {self.median_label_s:.3g} s):", *self._bars()]
        lines.append(f"splits: {_counts(self.splits)}; texts by: {_counts(self.text_sources)}")
        lines.append(f"{counted(self.distinct_texts, 'different text')}; most frequent verbs: {_counts(self.verbs)}")
        if self.skipped:
            lines += ["not cut:", text_table(["labels", "reason", "damaged", "for example"], self.skipped_rows())]
        lines.append(f"page: {self.page}" if self.page else "nothing was decoded: a damaged video shows at ingest")
        return "\n".join(lines)

    def missing_line(self) -> str:
        """Say how many videos are not there."""
        return (
            f"missing: {counted(self.missing_videos, 'video')} with {counted(self.missing_clips, 'clip')}, read by the "
            f"same `villa ingest` once there"
        )

    def skipped_rows(self) -> list[list[object]]:
        """Lay the reasons out as rows of a table."""
        return [[s.labels, s.reason, s.is_bad, "; ".join(s.examples)] for s in self.skipped]

    def _bars(self) -> list[str]:
        most = max((length.clips for length in self.lengths), default=0) or 1
        names = [length.name for length in self.lengths]
        width = max(map(len, names), default=0)
        return [
            f"  {name.rjust(width)}  {length.clips:>9,}  {'#' * -(-length.clips * BAR // most)}"
            for name, length in zip(names, self.lengths, strict=True)
        ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
