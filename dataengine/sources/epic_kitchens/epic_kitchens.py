"""EPIC-KITCHENS-100: 100 hours of kitchens from head-mounted cameras, 37 people, 77,000 narrated actions.

[EPIC-KITCHENS/]P01/videos/P01_01.MP4                    full HD mostly, 29.97 to 90 fps; also below `videos/` alone
EPIC_100_train.csv, EPIC_100_validation.csv              of the repository epic-kitchens-100-annotations, in the root,
                                                         in `annotations/` or in a clone of it

start_timestamp, stop_timestamp   HH:MM:SS.cc            -> label range
narration                         `put down plate`       -> text, as spoken
verb, noun                                               -> notes
P01/hand-objects/P01_01.pkl                              -> hands, see `hands.py`
participant_id                                           -> what must not be divided
file that the row is in                                  -> split: train or val; no video is in both

start_frame and stop_frame are on a clock of 60 frames in a second (videos of 2018) or 50 (those of 2020), whatever the
rate of the video: they are never read. Rows of the test set carry no text and are not planned.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import RecordError, SourceError
from dataengine.formats import csv_file, files
from dataengine.formats.video import header
from dataengine.hands import Track
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.epic_kitchens import hands

SPLITS = {"train": "EPIC_100_train.csv", "val": "EPIC_100_validation.csv"}
FOLDERS = (".", "annotations", "epic-kitchens-100-annotations", "EPIC-KITCHENS")
COLUMNS = ("narration_id", "participant_id", "video_id", "start_timestamp", "stop_timestamp", "narration")
EXPECTED = "a folder with EPIC_100_train.csv and EPIC-KITCHENS/P01/videos/P01_01.MP4"


@dataclass(frozen=True)
class EpicKitchens(ClipSource):
    """A part is a video."""

    name: ClassVar[str] = "epic_kitchens"
    layout: ClassVar[str] = "mp4 and CSV"
    licence: ClassVar[str] = "CC BY-NC 4.0"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan video by video, those of the training split first."""
        folder = files.folder(self.root, EXPECTED)
        tables = {split: path for split, name in SPLITS.items() if (path := _table(folder, name))}
        if not tables:
            raise SourceError(
                f"{folder}: found no {SPLITS['train']} and no {SPLITS['val']}, expected {EXPECTED}; "
                "clone epic-kitchens-100-annotations into it"
            )
        for split, table in tables.items():
            labels: dict[tuple[str, str], list[ClipPlan | SkippedLabel]] = {}
            for number, row in csv_file.named(table, COLUMNS):
                key = row.get("participant_id", ""), row.get("video_id", "")
                labels.setdefault(key, []).append(_label(f"{table.name} line {number}", row))
            for (participant, video), members in labels.items():
                yield VideoPlan(
                    name=video,
                    path=_path(folder, participant, video),
                    group=participant,
                    split=split,
                ).labelled(members)

    def hands(self, plan: VideoPlan) -> Track | None:
        """Read the detections of a video, where they were downloaded."""
        below = [f"{top}{plan.group}/hand-objects" for top in ("", "EPIC-KITCHENS/")]
        folders = [*below, f"hand-objects/{plan.group}", "hand-objects"]
        paths = (Path(self.root) / folder / f"{plan.name}.pkl" for folder in folders)
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return None
        return hands.read(files.inside(path, Path(self.root)), plan.name, header.probe(self.media(plan)).end_s)


def _table(root: Path, name: str) -> Path | None:
    paths = (root / folder / name for folder in FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _label(where: str, row: dict[str, str]) -> ClipPlan | SkippedLabel:
    try:
        start_s, end_s = (csv_file.clock_seconds(row, name) for name in ("start_timestamp", "stop_timestamp"))
    except RecordError as error:
        record = row.get("narration_id", "") or where
        return SkippedLabel(record=record, reason="row is damaged", detail=f"{where}: {error}", is_bad=True)
    narration = row.get("narration", "").strip()
    return ClipPlan(
        record=row["narration_id"] or where,
        label_start_s=start_s,
        label_end_s=end_s,
        texts=(narration,) if narration else (),
        notes={name: row[name] for name in ("verb", "noun") if row.get(name)},
    )


def _path(path: Path, participant: str, video: str) -> str:
    """Find a video where the downloader puts it, or all of them in one folder; its suffix may be small."""
    below = [f"{top}{participant}/videos/{video}" for top in ("", "EPIC-KITCHENS/")] + [f"videos/{video}"]
    names = [f"{stem}{suffix}" for stem in below for suffix in (".MP4", ".mp4")]
    return next((name for name in names if files.size(path / name) is not None), names[0])
