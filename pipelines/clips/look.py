"""Count what would be cut of a dataset's videos, by their labels alone; nothing is decoded."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from pydantic import Field

from dataengine import catalog
from dataengine.clips.plan import ClipPlan, VideoPlan, clip_range
from dataengine.config import MOST_HZ, MOST_SIDE, Config
from dataengine.errors import DataEngineError
from dataengine.framing import Fit
from dataengine.options import checked
from dataengine.progress import task
from dataengine.sources._clip_source import ClipSource
from pipelines.clips.page import Sample, write_page
from pipelines.clips.report import Bin, ClipsReport, SkipReason
from pipelines.output.folder import claimed

EDGES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Bounds of the bins of lengths; the last bin has no upper bound."""
MOST_VERBS = 20
NO_VERBS = frozenset(
    (
        *("a", "an", "the", "c", "person", "someone", "man", "woman", "student"),
        *("he", "she", "they", "i", "then", "and", "still", "continue"),
    )
)
"""Words that a text may begin with before it says what is done."""
SHOWN = 5
"""Records shown as examples of each reason."""


class ClipsConfig(Config):
    """Which dataset to look at."""

    source: str
    """Name of a source of human video, from `villa sources`."""
    root: str
    """Its folder."""
    frame_size: int = Field(256, ge=16, le=MOST_SIDE)
    """Side in pixels that larger frames are scaled to."""
    fit: Fit = "squash"
    """How frames that are not square become so on the page: `squash`, `pad` or `crop`, as `villa ingest` takes it."""
    frame_hz: float = Field(10.0, gt=0, le=MOST_HZ)
    """Frames in a second that are kept."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the source itself; `villa sources NAME` lists them."""
    page: Path | None = None
    """Folder for an HTML page with the counts and frames of a sample of clips."""
    sample: int = Field(24, ge=1, le=500)
    """Clips of the page, each of another video."""


class _Tally:
    """Counts plans as they come, so that millions of them need no memory."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.clip_hours = 0.0
        self.splits: Counter[str] = Counter()
        self.text_sources: Counter[str] = Counter()
        self.verbs: Counter[str] = Counter()
        self.skipped: Counter[tuple[str, bool]] = Counter()
        self.examples: dict[tuple[str, bool], list[str]] = {}
        self.lengths_s: list[np.ndarray] = []
        self.groups: set[str] = set()
        self.texts: set[int] = set()
        """Hashes: a million sentences are large."""
        self.missing: list[str] = []

    def add(self, plan: VideoPlan, num_bytes: int | None, context_s: float) -> None:
        """Count one video; `num_bytes` None for one that is not there."""
        for label in plan.skipped:
            key = (label.reason, label.is_bad)
            self.skipped[key] += 1
            if len(shown := self.examples.setdefault(key, [])) < SHOWN:
                shown.append(f"{label.record} ({label.detail})" if label.detail else label.record)
        if not plan.clips:
            return
        self.counts["videos"] += 1
        self.counts["bytes"] += num_bytes or 0
        self.groups.add(plan.group or plan.name)
        if num_bytes is None:
            self.counts["missing_videos"] += 1
            self.counts["missing_clips"] += len(plan.clips)
            if len(self.missing) < SHOWN:
                self.missing.append(plan.path)
        self.splits[plan.split] += len(plan.clips)
        known = [clip for clip in plan.clips if math.isfinite(clip.label_end_s)]
        self.counts["clips"] += len(plan.clips)
        self.counts["whole_videos"] += len(plan.clips) - len(known)
        self.lengths_s.append(np.array([clip.label_end_s - clip.label_start_s for clip in known], np.float32))
        for clip in plan.clips:
            self._clip(clip, plan, context_s)

    def _clip(self, clip: ClipPlan, plan: VideoPlan, context_s: float) -> None:
        if math.isfinite(clip.label_end_s):
            start_s, end_s = clip_range(clip, context_s, hidden_s=plan.hidden_s)
            self.clip_hours += (end_s - start_s) / 3600
            self.counts["widened"] += end_s - start_s > clip.label_end_s - clip.label_start_s + 1e-9
        self.text_sources[clip.text_source if clip.texts else "none"] += 1
        self.texts.update(map(hash, clip.texts))
        if verb := clip.notes.get("verb") or _verb(clip.texts):
            self.verbs[verb] += 1


def run(config: ClipsConfig) -> ClipsReport:
    """Plan every video of a dataset and count; raise DataEngineError for a source that cuts no video."""
    source = _source(config)
    if config.page is None:
        return _looked(config, source, Sample(0))
    with claimed(config.page, "clips", sources=[config.root]) as out:
        out.claim("index.html")
        sample = Sample(config.sample)
        report = _looked(config, source, sample)
        page = write_page(out, source, sample, report)
    return report.model_copy(update={"page": str(page)})


def _looked(config: ClipsConfig, source: ClipSource, sample: Sample) -> ClipsReport:
    """Go through the plan once."""
    tally = _Tally()
    with task("plan", None, "videos") as live:
        for plan in source.plans():
            size = source.num_bytes(plan)
            tally.add(plan, size, source.context_s)
            if size is not None:
                sample.see(plan)
            live.advance()
    return _report(config, tally)


def _source(config: ClipsConfig) -> ClipSource:
    source_class = catalog.source(config.source)
    if not _cuts(source_class):
        known = [name for name in catalog.source_names() if _cuts(catalog.source(name))]
        raise DataEngineError(
            f"{config.source} is no source that cuts clips out of videos; those are {', '.join(known)}"
        )
    options = checked(source_class, config.options)
    return source_class(config.root, frame_size=config.frame_size, frame_hz=config.frame_hz, fit=config.fit, **options)


def _cuts(source: type) -> TypeGuard[type[ClipSource]]:
    return isinstance(source, type) and issubclass(source, ClipSource)


def _report(config: ClipsConfig, tally: _Tally) -> ClipsReport:
    lengths_s = np.concatenate(tally.lengths_s) if tally.lengths_s else np.zeros(0, np.float32)
    heights = np.histogram(lengths_s, [*EDGES_S, np.inf])[0].tolist()
    skipped = [
        SkipReason(reason=key[0], is_bad=key[1], labels=count, examples=tally.examples[key])
        for key, count in tally.skipped.most_common()
    ]
    return ClipsReport(
        source=config.source,
        root=config.root,
        videos=tally.counts["videos"],
        missing_videos=tally.counts["missing_videos"],
        missing_examples=tally.missing,
        missing_clips=tally.counts["missing_clips"],
        video_bytes=tally.counts["bytes"],
        groups=len(tally.groups),
        clips=tally.counts["clips"],
        whole_videos=tally.counts["whole_videos"],
        label_hours=float(lengths_s.sum(dtype=np.float64)) / 3600,
        clip_hours=tally.clip_hours,
        median_label_s=float(np.median(lengths_s)) if len(lengths_s) else 0.0,
        widened=tally.counts["widened"],
        lengths=[
            Bin(from_s=low, to_s=high, clips=count)
            for low, high, count in zip(EDGES_S, [*EDGES_S[1:], None], heights, strict=True)
        ],
        splits=dict(tally.splits.most_common()),
        text_sources=dict(tally.text_sources.most_common()),
        distinct_texts=len(tally.texts),
        verbs=dict(tally.verbs.most_common(MOST_VERBS)),
        skipped=skipped,
    )


def _verb(texts: Iterable[str]) -> str:
    """Guess the verb of a text: its first word that is no article and no person."""
    for text in texts:
        return next((word for word in text.lower().replace(",", " ").split() if word not in NO_VERBS), "")
    return ""
