"""EgoDex: 829 hours of hands at 194 tasks on tables, seen by an Apple Vision Pro that tracks them; 30 Hz.

part1/<task>/<i>.mp4, part1/<task>/<i>.hdf5      also part2 to part5, `test` and `extra`; 1920x1080
attribute llm_description, or llm_description2   -> text of the whole episode, by a language model
session_name                                     -> what must not be divided
folder `test`                                    -> split val
transforms, confidences                          -> hands, see `hands.py`

A reversible task has two texts: which_llm_description tells which of them the episode shows. Text and direction come
from noisy notes and may be wrong. The publisher drew its test episodes one by one out of sessions that it trains on:
whoever wants none of a session on both sides leaves `test` out. The licence forbids to pass on what is made of it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from dataengine.clips.plan import ClipPlan, VideoPlan
from dataengine.errors import SourceError
from dataengine.formats import files, hdf5
from dataengine.formats.video import header
from dataengine.hands import Track
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.egodex import hands

PARTS = ("part*", "test", "extra")
SAID = ("llm_description", "llm_description2", "which_llm_description", "llm_type")
ABOUT = ("session_name", "llm_verbs", "environment")
TOGETHER = 100
"""Episodes of a task that are one part."""
EXPECTED = "a folder with part1/<task>/<i>.mp4 and <i>.hdf5, or one of the parts"


@dataclass(frozen=True)
class Egodex(ClipSource):
    """A part is up to a hundred episodes of a task."""

    name: ClassVar[str] = "egodex"
    layout: ClassVar[str] = "HDF5 and mp4"
    licence: ClassVar[str] = "CC BY-NC-ND 4.0"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan episode by episode; no HDF5 is opened, for there are 338,000."""
        folder = files.folder(self.root, EXPECTED)
        tops = sorted({path for pattern in PARTS for path in folder.glob(pattern) if path.is_dir()}) or [folder]
        any_there = False
        for top in tops:
            for task in sorted(path for path in top.iterdir() if path.is_dir()):
                stems = {
                    path.stem for path in task.iterdir() if path.suffix in (".mp4", ".hdf5") and path.stem.isdigit()
                }
                for stem in sorted(stems, key=int):
                    any_there = True
                    yield _plan(folder, top, task, stem)
        if not any_there:
            raise SourceError(f"{folder}: found no episode, expected {EXPECTED}")

    def part_of(self, plan: VideoPlan) -> str:
        """Put the episodes of a task together, a hundred at a time."""
        task, _, number = plan.name.rpartition("/")
        return f"{task}/{int(number) // TOGETHER * TOGETHER}"

    def completed(self, plan: VideoPlan, duration_s: float) -> VideoPlan:
        """Read text and session out of the HDF5 beside the video."""
        about = hdf5.attributes(self._beside(plan), (*SAID, *ABOUT))
        which = "llm_description"
        if about.get("llm_type") == "reversible" and str(about.get("which_llm_description", "1")) != "1":
            which = "llm_description2"
        text = str(about.get(which, ""))
        verbs = about.get("llm_verbs", [])
        notes = {"verb": verbs[0] if isinstance(verbs, list) and verbs else str(verbs or "")}
        if "environment" in about:
            notes["environment"] = str(about["environment"])
        clips = (replace(clip, texts=(text,) if text else (), text_source="llm") for clip in plan.clips)
        return replace(
            plan,
            clips=tuple(clips),
            group=str(about.get("session_name", "")) or plan.name,
            notes={key: value for key, value in notes.items() if value},
        )

    def hands(self, plan: VideoPlan) -> Track:
        """Read the joints out of the same file."""
        return hands.read(self._beside(plan), header.probe(self.media(plan)).num_frames)

    def _beside(self, plan: VideoPlan) -> Path:
        return files.inside((Path(self.root) / plan.path).with_suffix(".hdf5"), Path(self.root))


def _plan(path: Path, top: Path, task: Path, stem: str) -> VideoPlan:
    part = top.name if top != path else path.resolve().name
    name = f"{part}/{task.name}/{stem}"
    return VideoPlan(
        name=name,
        path=str((task / f"{stem}.mp4").relative_to(path)),
        clips=(ClipPlan(record=name, label_start_s=0.0, label_end_s=math.inf),),
        split="val" if part == "test" else "train",
    )
