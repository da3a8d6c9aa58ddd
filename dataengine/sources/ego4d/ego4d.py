"""Ego4D: 3,670 hours of daily life through head-mounted cameras of 931 people, narrated by two annotators.

ego4d.json, or v2/ego4d.json                              of the `ego4d` downloader
v2/annotations/narration.json                             also narrations.json
v2/annotations/fho_main.json                              for `--labels fho` and `both`
v2/video_540ss/<video_uid>.mp4, v2/full_scale/<uid>.mp4   the former where both are there: they share one clock

narration at t   `#C C picks a bag of clothes`   -> label range by EgoClip's rule (see `labels.py`), text `picks a bag
                                                    of clothes`: what whoever wears the camera does
interaction      start_sec to end_sec            -> label range
redacted_intervals                               -> what overlaps them is left out
is_stereo                                        -> the left half of the picture
people, and events seen by several cameras       -> what must not be divided

Both passes are kept, which say the same in other words at about the same time: curation finds such clips. Left out:
what others do, unsure lines, videos in val or test of a benchmark (so does EgoClip), regrouped copies (`grp-`).

Doubtful: b of EgoClip's rule is taken over each pass by itself. A stereo video that is higher than wide would need its
height halved, too; it is cut like the others.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan, merged
from dataengine.errors import SourceError
from dataengine.formats import files
from dataengine.formats.resize import Fit
from dataengine.sources._clip_source import CONTEXT, ClipSource
from dataengine.sources.ego4d import labels as ego4d_labels
from dataengine.sources.ego4d import tables
from dataengine.sources.ego4d.tables import Action, Passes, Video

TOPS = ("v2", "v1", ".")
MEDIA = ("video_540ss", "full_scale")
HELD_OUT = ("val", "test", "multi")
LEFT_HALF = (0.0, 0.0, 0.5, 1.0)
REGROUPED = "grp-"
EXPECTED = "the output folder of the `ego4d` downloader: ego4d.json, v2/annotations and v2/full_scale or v2/video_540ss"


@dataclass(frozen=True)
class Ego4d(ClipSource):
    """A part is a video."""

    root: str
    """Output folder of the downloader."""
    _: KW_ONLY
    frame_size: int = 256
    fit: Fit = "squash"
    frame_hz: float = 10.0
    context_s: Annotated[float, CONTEXT] = 2.0
    labels: Annotated[
        Literal["narrations", "fho", "both"], "Narrated instants, intervals of hand-object interaction, or both."
    ] = "narrations"
    keep_benchmarks: Annotated[bool, "Keep videos in val or test of a benchmark of Ego4D; they count as val."] = False

    name: ClassVar[str] = "ego4d"
    layout: ClassVar[str] = "mp4 and JSON"
    licence: ClassVar[str] = "Ego4D licence, no redistribution"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan video by video as the narrations list them; a video's labels are decoded one video at a time."""
        place = files.folder(self.root, EXPECTED)
        known = tables.listing(_file(place, "ego4d.json", ".", *TOPS))
        about = {video.video_uid: video for video in known.videos}
        groups = _groups(known.videos, known.concurrent_video_sets)
        actions = self._interactions(place)
        media = {name: _folder(place, name) for name in MEDIA}
        seen = set()
        for uid, passes in self._narrations(place):
            seen.add(uid)
            found = list(ego4d_labels.of_narrations(uid, passes)) if isinstance(passes, Passes) else []
            if isinstance(passes, str):
                found.append(
                    SkippedLabel(
                        record=f"{uid}/narrations", reason="narrations are damaged", detail=passes, is_bad=True
                    )
                )
            found += ego4d_labels.of_interactions(uid, actions.get(uid, ()))
            yield self._plan(place, media, uid, about.get(uid), groups, found)
        for uid in sorted(actions.keys() - seen):
            found = list(ego4d_labels.of_interactions(uid, actions[uid]))
            yield self._plan(place, media, uid, about.get(uid), groups, found)

    def _narrations(self, place: Path) -> Iterator[tuple[str, Passes | str]]:
        if self.labels == "fho":
            return iter(())
        folders = [f"{top}/annotations" for top in TOPS]
        return tables.narrations(_file(place, ("narration.json", "narrations.json"), *folders))

    def _interactions(self, place: Path) -> dict[str, list[Action]]:
        if self.labels == "narrations":
            return {}
        path = _file(place, "fho_main.json", *(f"{top}/annotations" for top in TOPS))
        return {
            video.video_uid: [
                a for interval in video.annotated_intervals or [] for a in interval.narrated_actions or []
            ]
            for video in tables.interactions(path)
        }

    def _plan(
        self,
        place: Path,
        media: dict[str, str],
        uid: str,
        video: Video | None,
        groups: dict[str, str],
        found: list[ClipPlan | SkippedLabel],
    ) -> VideoPlan:
        clips = tuple(label for label in found if isinstance(label, ClipPlan))
        skipped = tuple(label for label in found if isinstance(label, SkippedLabel))
        held_out = video is not None and bool({video.split_em, video.split_av, video.split_fho} & {*HELD_OUT})
        why = ""
        if uid.startswith(REGROUPED):
            why = "regrouped copy of other videos"
        elif video is None:
            why = "not listed in ego4d.json"
        elif held_out and not self.keep_benchmarks:
            why = "held out by a benchmark of Ego4D"
        if why:
            clips, skipped = (), (SkippedLabel(record=uid, reason=why, detail=f"{len(found)} labels"),)
        spans = (video.redacted_intervals or []) if video else []
        return VideoPlan(
            name=uid,
            path=_path(place, media, uid),
            clips=clips,
            skipped=skipped,
            group=groups.get(uid, uid),
            split="val" if held_out else "train",
            region=LEFT_HALF if video and video.is_stereo else None,
            hidden_s=merged(
                (s.start_sec, s.end_sec) for s in spans if s.start_sec is not None and s.end_sec is not None
            ),
        )


def _file(place: Path, names: str | tuple[str, ...], *folders: str) -> Path:
    wanted = (names,) if isinstance(names, str) else names
    for folder in folders:
        for name in wanted:
            if (place / folder / name).is_file():
                files.inside_or_stop(place, str((place / folder / name).relative_to(place)))
                return place / folder / name
    raise SourceError(f"{place}: found no {wanted[0]}, expected {EXPECTED}")


def _folder(place: Path, name: str) -> str:
    return next((f"{top}/{name}" for top in TOPS if (place / top / name).is_dir()), f"{TOPS[0]}/{name}")


def _path(place: Path, media: dict[str, str], uid: str) -> str:
    names = [f"{media[name]}/{uid}.mp4" for name in MEDIA]
    return next((name for name in names if (place / name).is_file()), names[-1])


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
