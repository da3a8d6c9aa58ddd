"""Ego4D: 3,670 hours of daily life through head-mounted cameras of 931 people, narrated by two annotators.

ego4d.json, or v2/ego4d.json                              of the `ego4d` downloader
v2/annotations/narration.json                             also narrations.json
v2/annotations/fho_main.json                              for `--labels fho` and `both`
v2/annotations/fho_hands_{train,val}.json                 hands, see `hands.py`
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
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from dataengine.clips.plan import SkippedLabel, VideoPlan
from dataengine.formats import files
from dataengine.hands import Track
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.ego4d import labels as ego4d_labels
from dataengine.sources.ego4d import tables
from dataengine.sources.ego4d.media import EXPECTED, TOPS, Videos, find, hands_of
from dataengine.sources.ego4d.tables import Action, Passes


@dataclass(frozen=True)
class Ego4d(ClipSource):
    """A part is a video."""

    labels: Annotated[
        Literal["narrations", "fho", "both"], "Narrated instants, intervals of hand-object interaction, or both."
    ] = "narrations"
    keep_benchmarks: Annotated[bool, "Keep videos in val or test of a benchmark of Ego4D; they count as val."] = False

    name: ClassVar[str] = "ego4d"
    layout: ClassVar[str] = "mp4 and JSON"
    licence: ClassVar[str] = "Ego4D licence, no redistribution"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan video by video as the narrations list them; a video's labels are decoded one video at a time."""
        folder = files.folder(self.root, EXPECTED)
        known = Videos.of(folder, keep_benchmarks=self.keep_benchmarks)
        actions = self._interactions(folder)
        seen = set()
        for uid, passes in self._narrations(folder):
            seen.add(uid)
            labels = list(ego4d_labels.of_narrations(uid, passes)) if isinstance(passes, Passes) else []
            if isinstance(passes, str):
                labels.append(
                    SkippedLabel(
                        record=f"{uid}/narrations", reason="narrations are damaged", detail=passes, is_bad=True
                    )
                )
            yield known.plan(uid, [*labels, *ego4d_labels.of_interactions(uid, actions.get(uid, ()))])
        for uid in sorted(actions.keys() - seen):
            yield known.plan(uid, list(ego4d_labels.of_interactions(uid, actions[uid])))

    def hands(self, plan: VideoPlan) -> Track | None:
        """Give what annotators of Ego4D saw of the hands."""
        return hands_of(plan, self.media(plan))

    def _narrations(self, path: Path) -> Iterator[tuple[str, Passes | str]]:
        if self.labels == "fho":
            return iter(())
        folders = [f"{top}/annotations" for top in TOPS]
        return tables.narrations(find(path, ("narration.json", "narrations.json"), *folders))

    def _interactions(self, folder: Path) -> dict[str, list[Action]]:
        if self.labels == "narrations":
            return {}
        path = find(folder, "fho_main.json", *(f"{top}/annotations" for top in TOPS))
        return {
            video.video_uid: [
                a for interval in video.annotated_intervals or [] for a in interval.narrated_actions or []
            ]
            for video in tables.interactions(path)
        }
