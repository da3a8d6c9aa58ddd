"""Ego4D's videos, whoever labels them: where they lie, what is hidden in them, who must not be divided."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan, merged
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files
from dataengine.formats.byte_range import Location
from dataengine.formats.video import header
from dataengine.hands import Track
from dataengine.sources.ego4d import hands, tables
from dataengine.sources.ego4d.tables import Video

TOPS = ("v2", "v1", ".")
MEDIA = ("video_540ss", "full_scale")
HELD_OUT = ("val", "test", "multi")
LEFT_HALF = (0.0, 0.0, 0.5, 1.0)
REGROUPED = "grp-"
EXPECTED = "the output folder of the `ego4d` downloader: ego4d.json, v2/annotations and v2/full_scale or v2/video_540ss"


@dataclass(frozen=True)
class Videos:
    """All videos that ego4d.json lists."""

    root: Path
    media: dict[str, str]
    """Kind of copy to its folder."""
    about: dict[str, Video]
    groups: dict[str, str]
    hands: dict[str, str]
    """Annotated points of hands by video, see `hands.py`."""
    keep_benchmarks: bool
    """Keep what is in val or test of a benchmark."""

    @classmethod
    def of(cls, path: Path, *, keep_benchmarks: bool) -> "Videos":
        """Read ego4d.json below a downloader's folder."""
        known = tables.listing(find(path, "ego4d.json", ".", *TOPS))
        about = {video.video_uid: video for video in known.videos}
        media = {name: _folder(path, name) for name in MEDIA}
        points = hands.by_video(path / top / "annotations" for top in TOPS)
        return cls(path, media, about, _groups(known.videos, known.concurrent_video_sets), points, keep_benchmarks)

    def plan(self, uid: str, labels: list[ClipPlan | SkippedLabel]) -> VideoPlan:
        """Plan what is labelled of one video; a video that must be left out is one skipped label."""
        video = self.about.get(uid)
        held_out = video is not None and bool({video.split_em, video.split_av, video.split_fho} & {*HELD_OUT})
        why = ""
        if uid.startswith(REGROUPED):
            why = "regrouped copy of other videos"
        elif video is None:
            why = "not listed in ego4d.json"
        elif held_out and not self.keep_benchmarks:
            why = "held out by a benchmark of Ego4D"
        if why:
            labels = [SkippedLabel(record=uid, reason=why, detail=f"{len(labels)} labels")]
        spans = (video.redacted_intervals or []) if video else []
        return VideoPlan(
            name=uid,
            path=self._path(uid),
            group=self.groups.get(uid, uid),
            split="val" if held_out else "train",
            options=self._options(uid, video),
            region=LEFT_HALF if video and video.is_stereo else None,
            hidden_s=merged(
                (min(s.start_sec, s.end_sec), max(s.start_sec, s.end_sec))
                for s in spans
                if s.start_sec is not None and s.end_sec is not None
            ),
        ).labelled(labels)

    def _options(self, uid: str, video: Video | None) -> dict[str, str]:
        if uid not in self.hands:
            return {}
        facts = video.video_metadata if video else None
        size = (facts.display_resolution_width, facts.display_resolution_height) if facts else (None, None)
        return {hands.POINTS: self.hands[uid], **({hands.SIZE: f"{size[0]:g}x{size[1]:g}"} if all(size) else {})}

    def _path(self, uid: str) -> str:
        """Say where a video lies, or would lie beside those that are there."""
        folders = [self.media[name] for name in MEDIA]
        names = [f"{folder}/{uid}.mp4" for folder in folders if (self.root / folder).is_dir()]
        return next(
            (name for name in names if files.size(self.root / name) is not None),
            (names or [f"{folders[0]}/{uid}.mp4"])[0],
        )


def hands_of(plan: VideoPlan, location: Location) -> Track | None:
    """Give the hands that annotators saw in a planned video, whose bytes lie somewhere; None without any.

    Raise RecordError where the size of the full picture is not known.
    """
    if hands.POINTS not in plan.options:
        return None
    if hands.SIZE in plan.options:
        width, height = (float(side) for side in plan.options[hands.SIZE].split("x"))
    elif MEDIA[1] in plan.path:
        height, width = header.probe(location).shown_size
    else:
        raise RecordError("fho_hands: ego4d.json does not say how large the full picture is")
    return hands.track(plan.options[hands.POINTS], width, height)


def find(path: Path, names: str | tuple[str, ...], *folders: str) -> Path:
    """Find a file by one of its names in one of some folders; raise SourceError when it is in none."""
    wanted = (names,) if isinstance(names, str) else names
    for folder in folders:
        for name in wanted:
            if (path / folder / name).is_file():
                files.inside_or_stop(path, str((path / folder / name).relative_to(path)))
                return path / folder / name
    raise SourceError(f"{path}: found no {wanted[0]}, expected {EXPECTED}")


def _folder(path: Path, name: str) -> str:
    return next((f"{top}/{name}" for top in TOPS if (path / top / name).is_dir()), f"{TOPS[0]}/{name}")


def _groups(videos: list[Video], sets: Any) -> dict[str, str]:
    """Put together what one person recorded and what several saw at once: each video's group is its first video."""
    head = {video.video_uid: video.video_uid for video in videos}

    def first(uid: str) -> str:
        while head[uid] != uid:
            head[uid] = head[head[uid]]
            uid = head[uid]
        return uid

    of_person: dict[str, str] = {}
    for video in videos:
        if video.fb_participant_id is not None:
            head[first(video.video_uid)] = first(of_person.setdefault(str(video.fb_participant_id), video.video_uid))
    for together in _sets(sets):
        members = [uid for uid in together if uid in head]
        for uid in members[1:]:
            head[first(uid)] = first(members[0])
    return {uid: first(uid) for uid in head}


def _sets(value: Any) -> Iterator[list[str]]:
    """Find the lists of videos in whatever form `concurrent_video_sets` has."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    names = [item for item in inner if isinstance(item, str)]
    names += [item["video_uid"] for item in inner if isinstance(item, dict) and isinstance(item.get("video_uid"), str)]
    if names:
        yield names
    for item in inner:
        yield from _sets(item)
