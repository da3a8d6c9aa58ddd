"""AgiBot World (Alpha and Beta), extracted: a G1 with two 7-joint arms, head, waist and base, 30 Hz.

task_info/task_<task>.json                                  list of episodes with task, scene and labelled segments
observations/<task>/[<from>-<to>/]<episode>/videos/<camera>_color.mp4                             AV1, 640x480
proprio_stats/[<from>-<to>/]<task>/<episode>/proprio_stats.h5                           see `_agibot_proprio.py`

head        -> primary      hand_right, or hand_right_fisheye of hands -> wrist      hand_left (_fisheye) -> wrist_2
task_name   -> instruction; segments and scene -> notes

Videos and proprioception start together. Up to 2 frames may lack at the end of any of them: all are cut to the
shortest. A larger difference, a missing or empty video, a missing h5 or entry of task_info rejects the episode.
An episode that task_info names and nobody downloaded is no loss and is not reported.
"""

import json
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

from dataengine.episode import CameraFrames, Episode, Kind, Part, Reject
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, video
from dataengine.sources import _agibot_proprio
from dataengine.sources._parts import grouped, rejected, vector

FOLDERS = ("task_info", "observations", "proprio_stats")
EXPECTED = "a folder with task_info, observations and proprio_stats"
CAMERAS = {"primary": "head", "wrist": "hand_right", "wrist_2": "hand_left"}
HAND_CAMERAS = {"primary": "head", "wrist": "hand_right_fisheye", "wrist_2": "hand_left_fisheye"}
STEM = "_color.mp4"
MAX_LACKING = 2
"""Frames that may lack at an end; the publisher's videos and proprioception differ that much now and then."""
H5 = "proprio_stats.h5"


@dataclass(frozen=True)
class Agibot:
    """Two-armed household and shop tasks; a part is a run of episodes of one task."""

    root: str
    """The folder that holds task_info, observations and proprio_stats."""
    _: KW_ONLY
    frame_size: int = 256
    frame_hz: float = 10.0
    """Of no effect: robot episodes keep every step."""

    name: ClassVar[str] = "agibot"
    kind: ClassVar[Kind] = "robot"
    embodiment: ClassVar[str] = "agibot_g1"
    other_embodiments: ClassVar[tuple[str, ...]] = ("agibot_g1_dexhand",)
    control_hz: ClassVar[float] = 30.0
    layout: ClassVar[str] = "AgiBot World, extracted (JSON, AV1 mp4, HDF5)"
    licence: ClassVar[str] = "CC BY-NC-SA 4.0"

    def parts(self) -> list[Part]:
        """Group the episodes of each task by size; no video and no h5 is opened."""
        found: list[Part] = []
        place = self._place()
        proprio = _proprio_folders(place)
        for task in _numbered(place / "observations", *proprio):
            videos = _episode_folders(place / "observations" / task)
            stats = _episode_folders(*(folder / task for folder in proprio))
            try:
                entries = _task_info(place, task)
            except RecordError:
                entries = {}  # `read` rejects the parts of this task with the reason
            episodes = sorted({*videos, *stats}, key=int)
            sizes = ((episode, _size(_files(videos.get(episode), stats.get(episode)))) for episode in episodes)
            for batch, num_bytes in grouped(sizes):
                paths = [path for e in batch for path in _files(videos.get(e), stats.get(e))]
                labels = (json.dumps(entries.get(episode), sort_keys=True) for episode in batch)
                found.append(
                    Part(
                        dataset=self.name,
                        name=f"{task}/{batch[0]}",
                        uri=str(place / "observations" / task),
                        num_bytes=num_bytes,
                        fingerprint=files.fingerprint_of_sizes(paths, *labels),
                        options={"task": task, "episodes": " ".join(batch)},
                    )
                )
        if not found:
            raise SourceError(f"{place}: found no observations/<task>/<episode>; {_hint(place)}")
        return found

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Yield the part's episodes in order of their ids."""
        place, task = self._place(), part.options["task"]
        try:
            entries = _task_info(place, task)
        except RecordError as error:
            yield rejected(part, "", error)
            return
        videos = _episode_folders(place / "observations" / task)
        stats = _episode_folders(*(folder / task for folder in _proprio_folders(place)))
        for episode in part.options["episodes"].split():
            record = f"{task}/{episode}"
            try:
                if episode not in entries:
                    raise RecordError(f"task_info/task_{task}.json has no entry for episode {episode}")
                if episode not in stats:
                    raise RecordError(f"no proprio_stats/{record}/{H5}")
                if episode not in videos:
                    raise RecordError(f"no observations/{record}/videos")
                yield self._episode(record, entries[episode], videos[episode] / "videos", stats[episode] / H5)
            except RecordError as error:
                yield rejected(part, record, error, uri=str(videos.get(episode, part.uri)))

    def _episode(self, record: str, entry: dict[str, Any], videos: Path, stats: Path) -> Episode:
        proprio = _agibot_proprio.read(stats, 1e9 / self.control_hz)
        cameras = HAND_CAMERAS if proprio.has_hands else CAMERAS
        frames = {slot: video.decode(videos / f"{c}{STEM}", self.frame_size).frames for slot, c in cameras.items()}
        counts = {"state": len(proprio.state)} | {cameras[slot]: len(f.jpegs) for slot, f in frames.items()}
        num_steps, longest = min(counts.values()), max(counts.values())
        if longest - num_steps > MAX_LACKING:
            lengths = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise RecordError(f"lengths differ by more than {MAX_LACKING}: {lengths}")
        trimmed = {"trimmed": str(longest - num_steps)} if longest > num_steps else {}
        task_name = str(entry.get("task_name") or "").strip()
        return Episode(
            dataset=self.name,
            source_record=record,
            source_uri=str(videos.parent),
            embodiment=self.other_embodiments[0] if proprio.has_hands else self.embodiment,
            kind=self.kind,
            control_hz=self.control_hz,
            instruction=[task_name] if task_name else [],
            time_ns=proprio.time_ns[:num_steps],
            cameras={slot: _cut(f, num_steps) for slot, f in frames.items()},
            state_encoding="eef_pose",
            action_encoding="eef_pose",
            licence=self.licence,
            notes={**proprio.notes, **trimmed, **_text_notes(entry, num_steps)},
            state=vector(proprio.state[:num_steps], "state"),
            action=vector(proprio.action[:num_steps], "action"),
            raw_state=vector(proprio.raw_state[:num_steps], "raw_state"),
            raw_action=vector(proprio.raw_action[:num_steps], "raw_action"),
        )

    def _place(self) -> Path:
        """Return the root, or say in one line what it is instead."""
        place = files.folder(self.root, EXPECTED)
        lacking = [name for name in FOLDERS if not (place / name).is_dir()]
        if not lacking:
            return place
        for above in (place.parent, place.parent.parent):
            if all((above / name).is_dir() for name in FOLDERS):
                raise SourceError(f"{place}: too low; pass {above}")
        deeper = [path for path in sorted(place.iterdir()) if all((path / name).is_dir() for name in FOLDERS)]
        if deeper:
            raise SourceError(f"{place}: one level too high; pass {deeper[0]}")
        raise SourceError(f"{place}: found no {' and no '.join(lacking)}, expected {EXPECTED}; {_hint(place)}")


def _hint(place: Path) -> str:
    archive = next(place.glob("**/*.tar"), None)
    return f"extract {archive.relative_to(place)} and its like" if archive else "download them"


def _numbered(*folders: Path) -> list[str]:
    """Names of sub-folders that are plain numbers, in order: task and episode ids."""
    names = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.name.isdecimal()}
    return sorted(names, key=int)


def _ranges(folder: Path) -> list[Path]:
    """Return the folder and its `<from>-<to>` levels, which archives leave when each is extracted to its own place."""
    if not folder.is_dir():
        return []
    return [
        folder,
        *sorted(path for path in folder.iterdir() if path.name.replace("-", "", 1).isdecimal() and "-" in path.name),
    ]


def _proprio_folders(place: Path) -> list[Path]:
    return _ranges(place / "proprio_stats")


def _episode_folders(*task_folders: Path) -> dict[str, Path]:
    """Episode id to folder; of an id that lies twice the first counts."""
    found: dict[str, Path] = {}
    for task_folder in task_folders:
        for folder in _ranges(task_folder):
            for path in folder.iterdir():
                if path.name.isdecimal():
                    found.setdefault(path.name, path)
    return found


def _files(videos: Path | None, stats: Path | None) -> list[Path]:
    """List the files of an episode that are read, there or not."""
    names = dict.fromkeys((*CAMERAS.values(), *HAND_CAMERAS.values()))
    found = [videos / "videos" / f"{camera}{STEM}" for camera in names] if videos else []
    return [path for path in found if path.is_file()] + ([stats / H5] if stats else [])


def _size(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def _task_info(place: Path, task: str) -> dict[str, dict[str, Any]]:
    """Episode id to its entry; raise RecordError when the file of this task is missing or damaged."""
    path = place / "task_info" / f"task_{task}.json"
    if not path.is_file():
        raise RecordError(f"task_info/{path.name} is missing; download it")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"task_info/{path.name}: not JSON ({error}); copy it again") from error
    if not isinstance(entries, list):
        raise RecordError(f"task_info/{path.name}: found {type(entries).__name__}, expected a list of episodes")
    return {str(entry["episode_id"]): entry for entry in entries if isinstance(entry, dict) and "episode_id" in entry}


def _text_notes(entry: dict[str, Any], num_steps: int) -> dict[str, str]:
    """Scene and labelled segments as JSON; segments are half open and clipped to the episode."""
    label_info = entry.get("label_info")
    actions = label_info.get("action_config") if isinstance(label_info, dict) else None
    segments = []
    for action in actions if isinstance(actions, list) else []:
        try:
            start, end = (min(max(int(action[key]), 0), num_steps) for key in ("start_frame", "end_frame"))
            text = str(action["action_text"]).strip()
        except (KeyError, TypeError, ValueError):
            continue
        if text and start < end:
            segments.append({"start": start, "end": end, "text": text, "skill": str(action.get("skill", ""))})
    notes = {"segments": json.dumps(segments)} if segments else {}
    scene = str(entry.get("init_scene_text") or "").strip()
    return {**notes, **({"scene": scene} if scene else {})}


def _cut(frames: CameraFrames, num_steps: int) -> CameraFrames:
    return CameraFrames(
        jpegs=frames.jpegs[:num_steps],
        height=frames.height,
        width=frames.width,
        native_height=frames.native_height,
        native_width=frames.native_width,
    )
