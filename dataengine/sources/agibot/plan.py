"""How a task of AgiBot World is divided into parts, and what a reader of one part looks for.

A part holds the episodes of one task within 2,000 ids: a task is recorded in campaigns, between other tasks' episodes,
and an archive of 40 GB covers some 20,000 to 40,000 ids. That makes 10 to 20 parts of it, each some 10 episodes, 0.2
GB of videos that are read, a few minutes of decoding. The first episode of an archive, of videos or of numbers, begins
a part too. So an episode's part follows from its id and the archives that it came in: what is downloaded later makes
parts of its own, or completes parts that had to be rejected, and changes none that are done.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from dataengine.episode import Part
from dataengine.sources.agibot import locations
from dataengine.sources.agibot.labels import Contradiction, Entry
from dataengine.sources.agibot.locations import ENDLESS, H5, Copy, EpisodeRange, ProprioFiles

PART_IDS = 2000


@dataclass(frozen=True)
class PartSpec:
    """The episodes of one part."""

    first: int
    """Its name: `part_of` of its episodes."""
    start: int
    """Episodes of archives with `start <= part_of < until` are read here too: nothing announces them, as they have no
    entry in task_info, and each must be in some part to be rejected."""
    until: int
    episodes: Sequence[int] = ()
    """That are known of before any archive is opened."""

    def options(self, spans: Iterable[EpisodeRange], numbers: Iterable[EpisodeRange]) -> dict[str, str]:
        """Tell a reader what to look for: only archives of now, for one that comes later has parts of its own."""
        bounds = {"first": str(self.first), "start": str(self.start), "until": str(self.until)}
        names = {"spans": spans, "numbers": numbers}
        return bounds | {key: "/".join(span.path.name for span in listed) for key, listed in names.items()}


@dataclass(frozen=True)
class PartBoundaries:
    """Tells an episode's part by its id."""

    videos: Sequence[tuple[int, int]]
    """First and last id of what each archive of videos is the lowest to cover; in order."""
    numbers: Sequence[tuple[int, int]]
    """The same of proprioception."""

    @classmethod
    def of(cls, spans: Iterable[EpisodeRange], numbers: Iterable[EpisodeRange]) -> "PartBoundaries":
        """Divide by archives, and by folders that are named like archives."""
        return cls(_apart(spans), _apart(numbers))

    def part_of(self, episode: int) -> int:
        """Return the lowest id that may be in the part of this episode."""
        return max(episode // PART_IDS * PART_IDS, _start(self.videos, episode), _start(self.numbers, episode))

    def touches(self, span: EpisodeRange, share: PartSpec) -> bool:
        """Say whether an archive of videos may hold episodes of a part."""
        lowest = max(span.first // PART_IDS * PART_IDS, _start(self.videos, span.first))
        return not span.is_named or (lowest < share.until and span.last >= share.start)


def _apart(spans: Iterable[EpisodeRange]) -> list[tuple[int, int]]:
    """Make ranges that do not overlap: an id of several belongs to the lowest."""
    ranges = []
    reached = -1
    for span in sorted((s for s in spans if s.is_named), key=lambda s: (s.first, s.last)):
        if (first := max(span.first, reached + 1)) <= span.last:
            ranges.append((first, span.last))
            reached = span.last
    return ranges


def _start(ranges: Sequence[tuple[int, int]], episode: int) -> int:
    """First id of the range that holds an episode; 0 where none does."""
    at = bisect_right(ranges, (episode, ENDLESS)) - 1
    return ranges[at][0] if at >= 0 and episode <= ranges[at][1] else 0


@dataclass(frozen=True)
class Plan:
    """What can be said of a task without opening an archive."""

    spans: Sequence[EpisodeRange]
    folders: Mapping[int, Sequence[Path]]
    entries: Mapping[int, Entry]
    division: PartBoundaries

    @classmethod
    def of(cls, folder: Path, numbers: Sequence[EpisodeRange], entries: Mapping[int, Entry]) -> "Plan":
        """List a task's folder of observations."""
        spans = locations.spans(folder)
        return cls(spans, locations.folders(folder, spans), entries, PartBoundaries.of(spans, numbers))

    @property
    def archives(self) -> list[EpisodeRange]:
        """Archives, without folders."""
        return [span for span in self.spans if span.is_archive]

    def shares(self) -> list[PartSpec]:
        """Divide what lies in folders, and what task_info says may lie in the archives that are here."""
        part_of, archives = self.division.part_of, self.archives
        episodes: dict[int, list[int]] = {part_of(span.first): [] for span in archives if span.is_named}
        announced = (episode for episode in self.entries if any(span.holds(episode) for span in archives))
        for episode in sorted({*self.folders, *announced}):
            episodes.setdefault(part_of(episode), []).append(episode)
        if archives and not episodes:
            episodes[0] = []  # an archive whose name says nothing, and no entries
        firsts = sorted(episodes)
        return [
            PartSpec(first, first if first != firsts[0] else 0, until, episodes[first])
            for first, until in pairwise([*firsts, ENDLESS])
        ]


@dataclass(frozen=True)
class PartContents:
    """All that a reader of one part finds, on each of the three sides."""

    task: str
    entries: Mapping[int, Entry]
    videos: Mapping[int, Sequence[Copy]]
    proprio: ProprioFiles
    proprio_only: Sequence[int]
    """Episodes that should have videos here."""
    faults: Sequence[tuple[EpisodeRange, str]]
    """Of archives that begin in this part: each is told once."""

    @classmethod
    def of(cls, root: Path, part: Part, entries: Mapping[int, Entry]) -> "PartContents":
        """Look into the folders and archives that the part was planned with."""
        task = part.options["task"]
        share = PartSpec(int(part.options["first"]), int(part.options["start"]), int(part.options["until"]))
        folder = root / "observations" / task
        spans = _named(folder, part.options["spans"])
        numbers = _named(root / "proprio_stats", part.options["numbers"])
        division = PartBoundaries.of(spans, numbers)

        def is_ours(episode: int) -> bool:
            return share.start <= division.part_of(episode) < share.until

        videos: dict[int, list[Copy]] = {}
        for episode, paths in locations.folders(folder, spans).items():
            if division.part_of(episode) == share.first:
                videos[episode] = [Copy(str(path), (path / "tactile").is_dir(), path) for path in paths]
        faults = []
        for span in spans:
            if span.is_archive and division.touches(span, share):
                held = locations.archive(span, task)
                for episode in filter(is_ours, held.copies):
                    videos.setdefault(episode, []).extend(held.copies[episode])
                if is_ours(span.first):
                    faults += [(span, fault) for fault in held.faults]
        neighbours = {division.part_of(episode) for episode in videos}

        def is_expected(episode: int) -> bool:
            covered = any(span.is_named and span.holds(episode) for span in spans)
            return is_ours(episode) and (covered or division.part_of(episode) in neighbours)

        near = [*videos, *filter(is_expected, entries)]
        numbers = [span for span in numbers if near and span.first <= max(near) and span.last >= min(near)]
        proprio = ProprioFiles.of(root / "proprio_stats", task, numbers)
        only = sorted({episode for episode in proprio.episodes() if episode not in videos and is_expected(episode)})
        return cls(task, entries, videos, proprio, only, faults)

    @property
    def episodes(self) -> list[int]:
        """In order of their ids."""
        return sorted({*self.videos, *self.proprio_only})

    def missing(self, episode: int) -> list[str]:
        """Say which sides an episode lacks, or that one contradicts itself."""
        record = f"{self.task}/{episode}"
        reasons = []
        if episode not in self.entries:
            reasons.append(f"task_info/task_{self.task}.json has no entry for episode {episode}")
        if isinstance(self.entries.get(episode), Contradiction):
            reasons.append(f"task_info/task_{self.task}.json has entries for episode {episode} that differ")
        if not self.proprio.copies(episode):
            reasons.append(f"no proprio_stats/{record}/{H5}{self.proprio.why_missing(episode)}")
        if episode not in self.videos:
            reasons.append(f"no observations/{record}/videos")
        return reasons


def _named(folder: Path, names: str) -> list[EpisodeRange]:
    known = names.split("/")
    return [span for span in locations.spans(folder) if span.path.name in known]
