"""EgoPAT3D: hands that reach for things and move them in 15 scenes of a home, seen by a helmet's Azure Kinect, 30 fps.

[Dataset/]1/bathroomCabinet_1/rgb_video.mp4                          3840x2160; scene number, scene and recording
[Dataset/]1/bathroomCabinet_1/hand_frames/clip_ranges.txt            lines `<clip>. <first frame>, <last frame>`
[Dataset/]1/bathroomCabinet_1/hand_frames/hand_landmarks.txt         hands, see `hands.py`

frame / 30                     -> label range; the last frame belongs to it
bathroomCabinet                -> text `reach for and move an object in the bathroom cabinet`: the dataset has none
scene                          -> what must not be divided

Left out: clips of over 5,400 frames (three minutes; so do others who read it). A 4K video is decoded once whatever is
cut of it, but that takes most of the time.

Doubtful: that the last frame is meant to belong to a clip was not read anywhere. No licence of the data was found.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files
from dataengine.hands import Track
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.egopat3d import hands

FRAME_HZ = 30.0
LONGEST = 5400
MAX_BYTES = 2**20
LANDMARKS = "hand_frames/hand_landmarks.txt"
RANGES = "hand_frames/clip_ranges.txt"
LINE = re.compile(r"\s*(\d{1,9})\s*[.:,]\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")
ON = {
    "bathroomCounter": "on the bathroom counter",
    "desk": "on the desk",
    "kitchenCounter": "on the kitchen counter",
    "nightstand": "on the nightstand",
    "pantryShelf": "on the pantry shelf",
    "pantryshelf": "on the pantry shelf",
    "stoveTop": "on the stove top",
    "stovetop": "on the stove top",
    "windowsillAC": "on the window sill",
    "woodenTable": "on the wooden table",
    "smallBins": "in the small bins",
    "smallbins": "in the small bins",
}
"""Scenes whose phrase is not `in the <words of the name>`."""
EXPECTED = "a folder with Dataset/<number>/<scene>_<recording>/rgb_video.mp4 and hand_frames/clip_ranges.txt"


@dataclass(frozen=True)
class Egopat3d(ClipSource):
    """A part is a recording."""

    name: ClassVar[str] = "egopat3d"
    layout: ClassVar[str] = "mp4 and text"
    licence: ClassVar[str] = "EgoPAT3D, terms unknown"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan recording by recording; only its list of clips is read."""
        root = files.folder(self.root, EXPECTED)
        top = root / "Dataset" if (root / "Dataset").is_dir() else root
        recordings = [path for path in top.glob("*/*_*") if path.is_dir()]
        if not recordings:
            raise SourceError(f"{root}: found no recording, expected {EXPECTED}")
        for folder in sorted(recordings, key=lambda path: (path.parent.name.zfill(3), path.name)):
            yield _plan(root, folder)

    def hands(self, plan: VideoPlan) -> Track | None:
        """Read the landmarks beside a recording's clips."""
        path = Path(self.root)
        return hands.read((path / plan.path).parent / LANDMARKS, path, FRAME_HZ)


def _plan(path: Path, folder: Path) -> VideoPlan:
    name = f"{folder.parent.name}/{folder.name}"
    scene = folder.name.rpartition("_")[0]
    try:
        text = files.read_bytes(files.inside(folder / RANGES, path), MAX_BYTES).decode("utf-8-sig", "replace")
        labels = [_label(name, number, line, scene) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    except RecordError as error:
        labels = [SkippedLabel(record=name, reason="list of clips cannot be read", detail=str(error), is_bad=True)]
    return VideoPlan(
        name=name,
        path=str((folder / "rgb_video.mp4").relative_to(path)),
        group=scene,
    ).labelled(labels)


def _label(name: str, number: int, line: str, scene: str) -> ClipPlan | SkippedLabel:
    match = LINE.fullmatch(line)
    if match is None:
        detail = f"{line.strip()[:60]!r}, expected `<clip>. <first frame>, <last frame>`"
        return SkippedLabel(record=f"{name}/line {number}", reason="line is damaged", detail=detail, is_bad=True)
    clip, first, last = (int(word) for word in match.groups())
    if last - first + 1 > LONGEST:
        detail = f"{last - first + 1} frames, at most {LONGEST} are kept"
        return SkippedLabel(record=f"{name}/{clip}", reason="too long for one action", detail=detail)
    where = ON.get(scene) or f"in the {' '.join(re.findall(r'[A-Z]?[a-z]+|[A-Z]+', scene)).lower()}"
    return ClipPlan(
        record=f"{name}/{clip}",
        label_start_s=first / FRAME_HZ,
        label_end_s=(last + 1) / FRAME_HZ,
        texts=(f"reach for and move an object {where}",),
        text_source="template",
        notes={"verb": "reach"},
    )
