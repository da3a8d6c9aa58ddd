"""RH20T's human half: people do the robots' tasks before the same cameras, ~10 Hz on an irregular clock.

[RH20T_cfg3/]task_0001_user_0016_scene_0001_cfg_0003_human/    `_human` behind the name of the robot's scene
    metadata.json                                              start_time, end_time (ms), where they are there
    cam_<serial>/[color/]color.mp4, timestamps.npy             frame i was taken at entry i, ms since 1970
task_description.json                                          beside the scenes or above them

start_time to end_time      -> label range, seconds since the first frame; all of it where they are not there
task_description_english    -> text; where it speaks of a gripper or claw, a hand does it here (note `text_changed`)
scene, user                 -> licence and split as those of the robots; a user must not be divided

One standing camera of each recording is read: the others see the same. The container's rate means nothing. Where the
clock has a gap of over two seconds the recording is rejected.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files
from dataengine.formats.video import video
from dataengine.formats.video.clip_range import instants_s
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.rh20t import cameras, scenes, times
from dataengine.sources.rh20t.scenes import Scene

EXPECTED = "a folder with task_description.json and task_*_user_*_scene_*_cfg_*_human folders"
GRIPPER = re.compile(r"\b(?:(?:robot|robotic|mechanical)\s+)?(?:gripper|claws?)\b", re.IGNORECASE)
GAP_S = 2.0


@dataclass(frozen=True)
class Rh20tHuman(ClipSource):
    """A part is a task before the cameras of one configuration."""

    name: ClassVar[str] = "rh20t_human"
    layout: ClassVar[str] = "RH20T, extracted (JSON, mp4, pickled npy)"
    licence: ClassVar[str] = "CC BY-SA 4.0 (scenes 1 to 5), CC BY-NC 4.0 (6 to 10)"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan recording by recording, those of a configuration and task together; no video is opened."""
        root = files.folder(self.root, EXPECTED)
        all_scenes = scenes.find(root, humans=True)
        if not all_scenes:
            raise SourceError(f"{root}: found no recording of a person, expected {EXPECTED}; check the path")
        holders = sorted({folder for scene in all_scenes for folder in scene.folders})
        path = scenes.descriptions_file(root, holders)
        if path is None:
            raise SourceError(f"{root}: found no {scenes.DESCRIPTIONS}, expected {EXPECTED}; download it to there")
        texts = scenes.descriptions(path)
        for scene in sorted(all_scenes, key=lambda scene: (scene.numbers[3], scene.numbers[0], scene.name)):
            yield _plan(root, scene, texts)

    def part_of(self, plan: VideoPlan) -> str:
        """Name configuration and task, as the parts of robots do."""
        return plan.options["part"]

    def duration_s(self, plan: VideoPlan) -> float:
        """Look how long the recording is, by its own clock."""
        stamps_s = self._stamps_s(plan)
        return float(stamps_s[-1] + np.median(np.diff(stamps_s))) if len(stamps_s) > 1 else 0.0

    def cut(
        self, plan: VideoPlan, ranges: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[int, video.Clip | RecordError]]:
        """Decode every frame, and take those that are nearest in time by the recording's own clock."""
        stamps_s = self._stamps_s(plan)
        decoded = video.decode(self.media(plan), self.frame_size, how=self.fit).frames
        if len(decoded.jpegs) != len(stamps_s):
            raise RecordError(f"color.mp4 has {len(decoded.jpegs)} frames, timestamps.npy {len(stamps_s)} times")
        apart_s = np.diff(stamps_s)
        if len(apart_s) and apart_s.max() > GAP_S:
            at = int(apart_s.argmax())
            raise RecordError(f"shows nothing between {stamps_s[at]:.2f} s and {stamps_s[at + 1]:.2f} s")
        rate_hz = min(self.frame_hz, 1 / float(np.median(apart_s)) if len(apart_s) else self.frame_hz)
        for i, (start_s, end_s) in enumerate(ranges):
            wanted_s = instants_s(start_s, end_s, rate_hz)
            wanted_s = wanted_s[wanted_s <= stamps_s[-1] + 0.5 / rate_hz]
            if len(wanted_s) < 2:
                yield i, RecordError(f"{start_s:.2f} to {end_s:.2f} s: fewer than two frames")
                continue
            rows = np.abs(stamps_s[None] - wanted_s[:, None]).argmin(axis=1)
            yield i, video.Clip(cameras.taken(decoded, rows), rate_hz, wanted_s - wanted_s[0], float(wanted_s[0]))

    def completed(self, plan: VideoPlan, duration_s: float) -> VideoPlan:
        """Count the person's start and end from the first frame."""
        first_ms = int(cameras.stamps_ms(_scene(Path(self.root), plan), plan.options["serial"])[0])
        start_s, end_s = (
            (float(plan.options[name]) - first_ms) / 1000 if name in plan.options else otherwise
            for name, otherwise in (("start_time", 0.0), ("end_time", math.inf))
        )
        if end_s <= max(start_s, 0.0):
            raise RecordError(
                f"metadata.json: ends {end_s:.3f} s after the first frame, starts {start_s:.3f} s after it"
            )
        return replace(
            plan, clips=tuple(replace(clip, label_start_s=start_s, label_end_s=end_s) for clip in plan.clips)
        )

    def _stamps_s(self, plan: VideoPlan) -> np.ndarray:
        """Read when each frame was taken, seconds since the first."""
        scene = _scene(Path(self.root), plan)
        stamps_ms = cameras.stamps_ms(scene, plan.options["serial"])
        return (stamps_ms - stamps_ms[0]) / 1000


def _plan(root: Path, scene: Scene, texts: dict[str, Any]) -> VideoPlan:
    task, user, number, cfg = scene.numbers
    serial = next((s for s in _standing(cfg, scene) if scene.file(*scenes.video_names(s))), "")
    path = scene.file(*scenes.video_names(serial)) if serial else None
    options = {
        "part": f"cfg_{cfg:04}/task_{task:04}",
        "scene": scene.name,
        "places": "\n".join(str(folder.relative_to(root)) for folder in scene.folders),
        "serial": serial,
    }
    clips: list[ClipPlan] = []
    skipped: list[SkippedLabel] = []
    try:
        if not serial:
            raise RecordError("no standing camera has a color.mp4")
        options |= _bounds(scene)
        clips.append(_clip(scene, texts, task))
    except RecordError as error:
        skipped.append(SkippedLabel(record=scene.name, reason="recording is damaged", detail=str(error), is_bad=True))
    return VideoPlan(
        name=scene.name,
        path=str((path or Path(scene.uri)).relative_to(root)),
        clips=tuple(clips),
        skipped=tuple(skipped),
        group=f"user_{user:04}",
        split=scenes.split(number),
        licence=scenes.licence(number),
        notes={"camera": serial, "view": cameras.view(cfg, serial)} if clips else {},
        options=options,
    )


def _standing(cfg: int, scene: Scene) -> list[str]:
    """List the cameras that stand, the best first; of a configuration that is not known all count as such."""
    serials = scene.serials()
    return cameras.ordered(cfg, serials)[0] if cfg in cameras.STANDING else serials


def _bounds(scene: Scene) -> dict[str, str]:
    """Read when the person starts and ends, where the recording says so."""
    if scene.file("metadata.json") is None:
        return {}
    metadata = scene.metadata()
    bounds = {}
    for name in ("start_time", "end_time"):
        value = metadata.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) > times.MOST_MS:
                raise RecordError(f"metadata.json: {name} is no time, expected milliseconds since 1970")
            times.check(value, f"metadata.json: {name}")
            bounds[name] = f"{value:.0f}"
    return bounds


def _clip(scene: Scene, texts: dict[str, Any], task: int) -> ClipPlan:
    said, notes = scenes.texts(texts, task)
    changed = [GRIPPER.sub("hand", text) for text in said]
    if changed != said:
        notes = {**notes, "text_changed": f"the publisher's is: {said[0]}"}
    return ClipPlan(record=scene.name, label_start_s=0.0, label_end_s=math.inf, texts=tuple(changed), notes=notes)


def _scene(root: Path, plan: VideoPlan) -> Scene:
    folders = tuple(root / folder for folder in plan.options["places"].split("\n"))
    return Scene(plan.options["scene"], root, folders)
