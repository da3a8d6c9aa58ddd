"""What every source of human video shares: labels become a plan, a plan becomes parts, a part is cut in one pass.

A part carries its own plan, so that no worker reads the annotations of 10,000 videos again to cut one of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from dataengine.clips.plan import ClipPlan, VideoPlan, clip_range, divided, from_text, listed_once, settled, to_text
from dataengine.episode import Cut, Episode, Kind, Part, Reject, Text, plain_name
from dataengine.errors import DataEngineError, FilteredRecordError, RecordError, SourceError
from dataengine.formats import files
from dataengine.formats.byte_range import Location
from dataengine.formats.video import cut, header, video
from dataengine.framing import FRAME_SIZE, SQUASH, WHOLE, Fit, Framing
from dataengine.hands import Track, soundness
from dataengine.reading import reading
from dataengine.sources._parts import rejected
from dataengine.texts import distinct

VIDEOS = "videos"
"""Option of a part: its plan."""
ANNOTATIONS = "annotations"
"""Part of the labels that name no video."""
HANDS_LOST = "hands_lost"
"""Note of a clip whose publisher tells of hands that cannot be read, or fail a test: why."""
LONGEST_CONTEXT_S = 3600.0
SHORTEST_WINDOW_S = 0.5
MOST_NEAR = 50
"""Folders below a wrong root that are looked into."""
SHORTEST_S = 1e-3
"""A label shorter than this says when, but not how long."""


@dataclass(frozen=True)
class ClipSource(ABC):
    """Base of the sources in which a video holds many labelled clips, or is one.

    A source says what is labelled (`videos`), and where pictures are no ordinary video file, how to cut them (`cut`).
    """

    root: str
    """The folder of the dataset."""
    _: KW_ONLY
    frame_size: int = FRAME_SIZE
    frame_hz: float = 10.0
    fit: Fit = SQUASH
    context_s: Annotated[float, "Seconds that a clip lasts at least: a shorter label gets context on both sides."] = 2.0

    def __post_init__(self) -> None:
        """Refuse a context that is no stretch of time."""
        if not 0 <= self.context_s <= LONGEST_CONTEXT_S:
            raise SourceError(f"context_s is {self.context_s:g}, expected 0 to {LONGEST_CONTEXT_S:g} seconds")

    name: ClassVar[str]
    kind: ClassVar[Kind] = "human"
    embodiment: ClassVar[str] = "human_hand"
    other_embodiments: ClassVar[tuple[str, ...]] = ()
    control_hz: ClassVar[float] = 10.0
    """After resampling, at the default `frame_hz`."""
    licence: ClassVar[str]
    has_layout: ClassVar[bool] = True
    """Whether the dataset is known by its files; False where any folder will do."""

    @abstractmethod
    def videos(self) -> Iterator[VideoPlan]:
        """Plan every video that is labelled, whether it is there or not, in a stable order; decode nothing.

        Videos of one part come one after another: plans of millions of clips are never in memory together.
        Raise SourceError when root is no such dataset.
        """

    def part_of(self, plan: VideoPlan) -> str:
        """Name the part that a video belongs to: itself, or what short videos have in common and keep for good."""
        return plan.name

    def media(self, plan: VideoPlan) -> Location:
        """Say where a video's bytes lie; raise RecordError when that is out of the root."""
        return files.inside(Path(self.root) / plan.path, Path(self.root))

    def num_bytes(self, plan: VideoPlan) -> int | None:
        """Look how large a video is; None when it is not there."""
        return files.size(Path(self.root) / plan.path)

    def duration_s(self, plan: VideoPlan) -> float:
        """Look how long a video is; raise RecordError when it is missing or none, 0 where nothing tells."""
        path = self.media(plan)
        return header.probe(path).end_s or header.measured_end_s(path)

    def cut(
        self, plan: VideoPlan, ranges: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[int, video.Clip | RecordError]]:
        """Cut ranges (start, end), seconds after the video's start; yield each with its index, in any order."""
        return cut.cut(self.media(plan), ranges, self.frame_size, self.frame_hz, region=plan.region, how=self.fit)

    def completed(self, plan: VideoPlan, duration_s: float) -> VideoPlan:
        """Complete a plan by what only files beside a video, or its duration, tell (0 where its header says none)."""
        return plan

    def hands(self, plan: VideoPlan) -> Track | None:
        """Read the hands of a video, where its publisher tells of them; asked once, when its first clip was cut.

        Raise RecordError when they cannot be read: that costs the hands of the video, not its clips.
        """
        return None

    def plans(self) -> Iterator[VideoPlan]:
        """Plan every video, without labels that no clip can be cut of: those are skipped and say why."""
        return (settled(plan, min_s=SHORTEST_S) for plan in listed_once(self._planned()))

    def parts(self) -> list[Part]:
        """Group the planned videos; no video is opened."""
        labelled = (plan for plan in self.plans() if plan.clips or plan.skipped)
        parts = [self.part(name, list(plans)) for name, plans in groupby(labelled, self._part_name)]
        if not parts:
            raise SourceError(f"{self.root}: found no label of any video; check the annotations")
        return parts

    def fingerprint(self, part: Part) -> str:
        """Look at a part's videos as they are now; its labels came with it."""
        text = part.options[VIDEOS]
        return self._fingerprint(text, map(self.num_bytes, from_text(text)))

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Cut each video of the part once, from start to end; what is wrong with one clip costs that clip."""
        for plan in from_text(part.options[VIDEOS]):
            for label in plan.skipped:
                kind = RecordError if label.is_bad else FilteredRecordError
                said = f": {label.detail}" if label.detail else ""
                yield self._reject(part, plan, label.record, kind(f"{label.reason}{said}"))
            if plan.clips:
                yield from self._clips(part, plan)

    def _planned(self) -> Iterator[VideoPlan]:
        """Plan every video; where root is no such dataset, name a folder above or below it that is."""
        plans = self.videos()
        try:
            first = next(plans, None)
        except SourceError as error:
            near = next(filter(self._is_root, _near(Path(self.root))), None) if self.has_layout else None
            if near is None:
                raise
            raise SourceError(f"{error}; {near} is such a folder, pass that") from None
        yield from [] if first is None else chain([first], plans)

    def _is_root(self, folder: Path) -> bool:
        try:
            return next(replace(self, root=str(folder)).videos(), None) is not None
        except (DataEngineError, OSError):
            return False

    def _part_name(self, plan: VideoPlan) -> str:
        return plain_name(self.part_of(plan)) or ANNOTATIONS

    def part(self, name: str, plans: list[VideoPlan]) -> Part:
        """Make a part of some videos; `name` is what `part_of` calls it."""
        text = to_text(plans)
        sizes = [self.num_bytes(plan) for plan in plans]
        return Part(
            dataset=self.name,
            name=name,
            uri=self._uri(plans[0]),
            num_bytes=sum(size or 0 for size in sizes),
            fingerprint=self._fingerprint(text, sizes),
            options={VIDEOS: text},
        )

    def _fingerprint(self, text: str, sizes: Iterable[int | None]) -> str:
        return files.fingerprint_of_sizes([], text, *("missing" if size is None else str(size) for size in sizes))

    def _uri(self, plan: VideoPlan) -> str:
        return str(Path(self.root) / plan.path)

    def _clips(self, part: Part, plan: VideoPlan) -> Iterator[Episode | Reject]:
        """Cut one video; one that cannot be opened is one reject, whatever it holds."""
        waiting: set[int] = set()
        try:
            with reading():
                duration_s = self.duration_s(plan)
                plan = self.completed(plan, duration_s)
                duration_s = duration_s or np.inf
            waiting |= set(range(len(plan.clips)))
            for i, clip in enumerate(plan.clips):
                if clip.label_start_s >= duration_s:
                    waiting.discard(i)
                    yield self._reject(part, plan, clip.record, _past(clip, duration_s))
            ranges = {i: clip_range(plan.clips[i], self.context_s, duration_s, plan.hidden_s) for i in sorted(waiting)}
            cuttable = list(ranges)
            hands = _HandsOf(plan, self.hands, Framing(self.frame_size, self.fit))
            for k, cut in self._watched(plan, list(ranges.values())):
                i = cuttable[k]
                waiting.discard(i)
                clip = plan.clips[i]
                if isinstance(cut, RecordError):
                    yield self._reject(part, plan, clip.record, cut)
                    continue
                try:
                    with reading():
                        episode = hands.added(self._episode(plan, clip, ranges[i], cut), cut)
                except RecordError as error:
                    yield self._reject(part, plan, clip.record, error)
                    continue
                yield episode
        except RecordError as error:
            if len(waiting) in (0, len(plan.clips)):
                reason = f"{error} ({len(plan.clips)} clips)" if len(plan.clips) > 1 else str(error)
                yield self._reject(part, plan, plan.name, type(error)(reason))
                return
            for i in sorted(waiting):
                yield self._reject(part, plan, plan.clips[i].record, error)

    def _watched(
        self, plan: VideoPlan, ranges: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[int, video.Clip | RecordError]]:
        """Cut, and make whatever a decoder raises a RecordError of one line."""
        cuts = iter(self.cut(plan, ranges))
        while True:
            with reading():
                item = next(cuts, None)
            if item is None:
                return
            yield item

    def _episode(self, plan: VideoPlan, clip: ClipPlan, clip_s: tuple[float, float], cut: video.Clip) -> Episode:
        num_steps = len(cut.frames.jpegs)
        start_s = cut.start_s if cut.begins_s is None else cut.begins_s
        if clip.label_end_s <= start_s:
            raise RecordError(
                f"its label ends at {clip.label_end_s:.2f} s, before the first picture at {start_s:.2f} s"
            )
        end_s = clip_s[1] if np.isfinite(clip_s[1]) else start_s + num_steps / cut.rate_hz  # no header says where
        return Episode(
            dataset=self.name,
            source_record=clip.record,
            source_uri=self._uri(plan),
            embodiment=self.embodiment,
            kind=self.kind,
            control_hz=cut.rate_hz,
            texts=_texts(clip, start_s + np.arange(num_steps) / cut.rate_hz),
            time_ns=np.round(np.arange(num_steps) * 1e9 / cut.rate_hz).astype(np.int64),
            cameras={"primary": cut.frames},
            split=plan.split,
            licence=plan.licence or self.licence,
            notes={**plan.notes, **clip.notes, **_clamped(clip, clip_s[1], cut)},
            cut=Cut(
                video=plan.name,
                split_group=plan.group or plan.name,
                label_start_s=clip.label_start_s,
                label_end_s=clip.label_end_s if np.isfinite(clip.label_end_s) else end_s,
                clip_start_s=max(clip_s[0], start_s),
                clip_end_s=end_s,
                text_source=clip.text_source if clip.texts else "none",
            ),
        )

    def _reject(self, part: Part, plan: VideoPlan, record: str, error: RecordError) -> Reject:
        return rejected(part, record, error, uri=self._uri(plan))


@dataclass(frozen=True)
class WindowedClipSource(ClipSource):
    """Base of those in which a whole video is divided where no label says what to cut."""

    window_s: Annotated[float, "Seconds of a clip where a whole video is divided."] = 30.0

    def __post_init__(self) -> None:
        """Refuse windows that are no clips."""
        super().__post_init__()
        if not SHORTEST_WINDOW_S <= self.window_s <= LONGEST_CONTEXT_S:
            limits = f"{SHORTEST_WINDOW_S:g} to {LONGEST_CONTEXT_S:g}"
            raise SourceError(f"window_s is {self.window_s:g}, expected {limits} seconds")

    def completed(self, plan: VideoPlan, duration_s: float) -> VideoPlan:
        """Divide whole videos."""
        return divided(plan, self.window_s, duration_s)


class _HandsOf:
    """Hands of one video, read when a clip first wants them; what is wrong with them is a note of every clip."""

    def __init__(self, plan: VideoPlan, read: Callable[[VideoPlan], Track | None], framing: Framing) -> None:
        self._plan, self._read, self._framing = plan, read, framing

    def added(self, episode: Episode, clip: video.Clip) -> Episode:
        """Give an episode its hands, at the times of its pictures and within them."""
        track, why = self._track
        if track is None:
            return replace(episode, notes={**episode.notes, HANDS_LOST: why}) if why else episode
        frames = clip.frames
        placing = self._framing.placing(frames.native_height, frames.native_width, self._plan.region or WHOLE)
        hands = track.at(clip.start_s + clip.time_s).placed(placing)
        return replace(episode, hands=hands, notes={**episode.notes, **track.notes})

    @cached_property
    def _track(self) -> tuple[Track | None, str]:
        try:
            with reading():
                track = self._read(self._plan)
                if track is not None:
                    soundness.check(track.hands)
        except RecordError as error:
            return None, str(error)
        return track, ""


def _near(folder: Path) -> Iterator[Path]:
    """Give the folders in which a dataset may lie whose root is wrong: a level below, up to two above."""
    if folder.is_dir():
        yield from islice((path for path in sorted(folder.iterdir()) if path.is_dir()), MOST_NEAR)
        yield from folder.absolute().parents[:2]


def _clamped(clip: ClipPlan, clip_end_s: float, cut: video.Clip) -> dict[str, str]:
    """Say what of a label its video does not hold."""
    beyond_s = clip.label_end_s - clip_end_s
    over = [f"ends {beyond_s:.2f} s past the video's end"] if SHORTEST_S < beyond_s < np.inf else []
    said = "; ".join([*([cut.clamped] if cut.clamped else []), *over])
    return {"clamped": said} if said else {}


def _past(clip: ClipPlan, duration_s: float) -> RecordError:
    return RecordError(
        f"{clip.label_start_s:g} to {clip.label_end_s:g} s lies past the end of its video of {duration_s:.2f} s"
    )


def _texts(clip: ClipPlan, time_s: np.ndarray) -> tuple[Text, ...]:
    """Let a label's text hold for the steps that it covers; context around it is silent."""
    phrases = distinct(clip.texts)
    if not phrases:
        return ()
    start = int(np.searchsorted(time_s, clip.label_start_s - 1e-6))
    end = int(np.searchsorted(time_s, clip.label_end_s - 1e-6))
    start = min(start, len(time_s) - 1)
    return (Text(start, max(end, start + 1), phrases),)
