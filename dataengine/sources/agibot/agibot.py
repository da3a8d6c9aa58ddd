"""AgiBot World (Alpha and Beta): a G1 with two 7-joint arms, head, waist and base, 30 Hz.

task_info/task_<task>.json                                  list of episodes with task, scene and labelled segments
observations/<task>/<from>-<to>.tar                                   or extracted: videos (AV1, 640x480) and depth
proprio_stats/<from>-<to>.tar                                         or extracted: see `proprio.py`

head        -> primary      hand_right, or hand_right_fisheye of hands -> wrist      hand_left (_fisheye) -> wrist_2
task_name and segments -> texts; scene and skills -> notes
Left out: the head's depth (16-bit PNG), the fisheyes of head and back, tactile videos, camera parameters.

Archives are read in place (`places.py`). Bodies are told apart by what their numbers hold: grippers, also
those with tactile sensors (a note says so), are `agibot_g1`; hands of six joints `agibot_g1_dexhand`.

With `unit=segment` each labelled segment is an episode `<task>/<episode>/<index of segment>` with its own text. Steps
without a label are in none of them, and their number is noted; an episode without any label is left out.

Videos and proprioception start together. Up to 2 frames may lack at the end of any of them: all are cut to the
shortest. A larger difference, a lack elsewhere (`videos.py`), a missing or empty video, a missing h5 or entry
of task_info, or two entries that differ, reject the episode. An episode is looked for on all three sides where an
archive's range, or an episode of the same part, says that it should be here; what task_info names and nobody downloaded
is no loss and is not reported. Of several copies the first good one is taken.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from dataengine.camera_names import camera_notes
from dataengine.episode import CameraFrames, Episode, Kind, Part, Reject
from dataengine.errors import FilteredRecordError, RecordError, SourceError
from dataengine.formats import files
from dataengine.formats.byte_range import Location, size_of
from dataengine.framing import Fit
from dataengine.raw import fields_of, raw_of
from dataengine.reading import reading
from dataengine.schema import CANONICAL, RAW
from dataengine.sources._parts import rejected, vector
from dataengine.sources.agibot import labels as agibot_labels
from dataengine.sources.agibot import locations as agibot_locations
from dataengine.sources.agibot import proprio as agibot_proprio
from dataengine.sources.agibot import videos as agibot_videos
from dataengine.sources.agibot.labels import Entry, Labels, LabelSegment
from dataengine.sources.agibot.locations import H5, STEM, Copy, EpisodeRange
from dataengine.sources.agibot.plan import PartContents, PartSpec, Plan
from dataengine.texts import whole_episode

FOLDERS = ("task_info", "observations", "proprio_stats")
EXPECTED = "a folder with task_info, observations and proprio_stats"
CAMERAS = {"primary": "head", "wrist": "hand_right", "wrist_2": "hand_left"}
HAND_CAMERAS = {"primary": "head", "wrist": "hand_right_fisheye", "wrist_2": "hand_left_fisheye"}
Given = TypeVar("Given")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Agibot:
    """Two-armed household and shop tasks; a part is the episodes of one task within 2,000 ids."""

    root: str
    """The folder that holds task_info, observations and proprio_stats."""
    _: KW_ONLY
    frame_size: int = 256
    fit: Fit = "squash"
    frame_hz: float = 10.0
    """Of no effect: robot episodes keep every step."""
    unit: Annotated[
        Literal["episode", "segment"], "What becomes an episode: a recording, or each of its labelled segments."
    ] = "episode"

    name: ClassVar[str] = "agibot"
    kind: ClassVar[Kind] = "robot"
    embodiment: ClassVar[str] = "agibot_g1"
    other_embodiments: ClassVar[tuple[str, ...]] = ("agibot_g1_dexhand",)
    control_hz: ClassVar[float] = 30.0
    layout: ClassVar[str] = "AgiBot World, tars or extracted (JSON, AV1 mp4, HDF5)"
    licence: ClassVar[str] = "CC BY-NC-SA 4.0"

    def parts(self) -> list[Part]:
        """Divide each task by episode ids; no archive, video or h5 is read, but the ends of archives."""
        try:
            folder = self._folder()
            numbers = _numbers(folder)
            tasks = agibot_locations.ids(folder / "observations")
            parts = [part for task in tasks for part in self._parts(str(task), numbers)]
        except OSError as error:
            raise SourceError(
                f"{error.filename or self.root}: cannot be read ({error.strerror}), expected {EXPECTED}; "
                "check who may read it"
            ) from error
        if not parts:
            what = "observations/<task>/<episode> and no observations/<task>/<from>-<to>.tar"
            raise SourceError(f"{folder}: found no {what}; {_hint(folder)}")
        return parts

    def fingerprint(self, part: Part) -> str:
        """Look at a part's files and archives as they are now."""
        listed = self._parts(part.options["task"], _numbers(self._folder()))
        return next((other.fingerprint for other in listed if other.name == part.name), "missing")

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Yield the part's episodes in order of their ids."""
        task = part.options["task"]
        try:
            entries = agibot_labels.read(Path(self.root), task)
        except RecordError as error:
            yield rejected(part, "", error)
            return
        near = PartContents.of(Path(self.root), part, entries)
        for span, fault in near.faults:
            yield rejected(part, f"{task}/{span.path.name}", RecordError(fault), uri=str(span.path))
        for episode in near.episodes:
            record = f"{task}/{episode}"
            try:
                with reading():
                    yield from self._episodes(part, record, episode, near)
            except RecordError as error:
                copies = near.videos.get(episode)
                yield rejected(part, record, error, uri=copies[0].uri if copies else part.uri)

    def _episodes(self, part: Part, record: str, episode: int, near: PartContents) -> Iterator[Episode | Reject]:
        """Yield a recording, or each of its segments; raise RecordError when it is bad or left out."""
        if reasons := near.missing(episode):
            raise RecordError("; ".join(reasons))
        videos, numbers = near.videos[episode], near.proprio.copies(episode)
        whole, labels = self._episode(record, near.entries[episode], videos, numbers)
        if self.unit == "episode":
            yield whole
            return
        for index, reason in labels.bad.items():
            yield rejected(part, f"{record}/{index}", RecordError(reason), uri=whole.source_uri)
        if not labels.segments:
            raise FilteredRecordError("no step has a label; --unit episode takes it whole")
        yield from (_segment(whole, labels, segment) for segment in labels.segments)

    def _parts(self, task: str, numbers: Mapping[EpisodeRange, str]) -> Iterator[Part]:
        folder = Path(self.root)
        folders = [folder / "proprio_stats", *(span.path for span in numbers if not span.is_archive)]
        try:
            entries = agibot_labels.read(folder, task)
        except RecordError:
            entries = {}  # `read` rejects the parts of this task with the reason
        plan = Plan.of(folder / "observations" / task, list(numbers), entries)
        archives = {span: _fingerprint(span) for span in plan.archives}
        shares = {span: (size_of(span.path) or 0) // max(1, sum(map(span.holds, entries))) for span in archives}
        for share in plan.shares():
            paths = [p for e in share.episodes for p in _files(plan.folders.get(e, ()), folders, f"{task}/{e}")]
            num_bytes = sum(path.stat().st_size for path in paths)
            num_bytes += sum(size for span, size in shares.items() for e in share.episodes if span.holds(e))
            near = [(span, mark) for span, mark in archives.items() if plan.division.touches(span, share)]
            near += [(span, mark) for span, mark in numbers.items() if any(map(span.holds, share.episodes))]
            yield Part(
                dataset=self.name,
                name=f"{task}/{share.first}",
                uri=str(folder / "observations" / task),
                num_bytes=num_bytes,
                fingerprint=files.fingerprint_of_sizes(paths, *_marks(share, task, entries, near, folders)),
                options={"task": task, **share.options(plan.spans, numbers)},
            )

    def _episode(
        self, record: str, entry: Entry, copies: Sequence[Copy], numbers: Sequence[Location]
    ) -> tuple[Episode, Labels]:
        notes: dict[str, str] = {}
        proprio = _first_good(numbers, self._proprio, "proprio_copy", notes)
        cameras = HAND_CAMERAS if proprio.has_hands else CAMERAS
        count = len(proprio.state)
        copy, frames = _first_good(copies, lambda copy: (copy, self._frames(copy, cameras, count)), "video_copy", notes)
        counts = [count, *(len(f.jpegs) for f in frames.values())]
        num_steps = min(counts)
        if max(counts) > num_steps:
            notes["trimmed"] = str(max(counts) - num_steps)
        if copy.is_tactile and not proprio.has_hands:
            notes["effector"] = "grippers with tactile sensors"
        labels = agibot_labels.labels(entry, num_steps)
        episode = Episode(
            dataset=self.name,
            source_record=record,
            source_uri=copy.uri,
            embodiment=self.other_embodiments[0] if proprio.has_hands else self.embodiment,
            kind=self.kind,
            control_hz=self.control_hz,
            texts=agibot_labels.texts(labels, num_steps),
            time_ns=proprio.time_ns[:num_steps],
            cameras={slot: replace(f, jpegs=f.jpegs[:num_steps]) for slot, f in frames.items()},
            state_encoding="eef_pose",
            action_encoding="eef_pose",
            licence=self.licence,
            notes={
                **proprio.notes,
                **notes,
                **agibot_labels.notes(labels),
                **camera_notes(cameras, frames),
            },
            state=vector(proprio.state[:num_steps], "state"),
            action=vector(proprio.action[:num_steps], "action"),
            **fields_of("raw_state", proprio.raw_state[:num_steps]),
            **fields_of("raw_action", proprio.raw_action[:num_steps]),
        )
        return episode, labels

    def _proprio(self, location: Location) -> agibot_proprio.Proprio:
        return agibot_proprio.read(agibot_locations.inside(location, Path(self.root)), 1e9 / self.control_hz)

    def _frames(self, copy: Copy, cameras: Mapping[str, str], num_states: int) -> dict[str, CameraFrames]:
        """Decode one copy; raise RecordError when it does not go with the numbers."""
        locations = {
            slot: agibot_locations.inside(copy.video(camera), Path(self.root)) for slot, camera in cameras.items()
        }
        return agibot_videos.read(locations, cameras, num_states, self.frame_size, self.fit)

    def _folder(self) -> Path:
        """Return the root, or say in one line what it is instead."""
        folder = files.folder(self.root, EXPECTED)
        lacking = [name for name in FOLDERS if not (folder / name).is_dir()]
        if not lacking:
            files.inside_or_stop(folder, *FOLDERS)
            return folder
        for above in (folder.parent, folder.parent.parent):
            if all((above / name).is_dir() for name in FOLDERS):
                raise SourceError(f"{folder}: too low; pass {above}")
        deeper = [path for path in sorted(folder.iterdir()) if all((path / name).is_dir() for name in FOLDERS)]
        if deeper:
            raise SourceError(f"{folder}: one level too high; pass {deeper[0]}")
        raise SourceError(f"{folder}: found no {' and no '.join(lacking)}, expected {EXPECTED}; {_hint(folder)}")


def _segment(whole: Episode, labels: Labels, segment: LabelSegment) -> Episode:
    """Cut a labelled segment out of its episode; its last action is still the one that was taken."""
    steps = slice(segment.start, segment.end)
    own = {
        "segment": f"steps {segment.start} to {segment.end} of {whole.num_steps}",
        "skill": segment.skill,
        "task_name": labels.task_name,
        "unlabelled_steps": f"{labels.num_unlabelled} of the recording's {whole.num_steps}",
    }
    kept = {key: value for key, value in whole.notes.items() if key not in ("segments", "segments_bad")}
    return replace(
        whole,
        source_record=f"{whole.source_record}/{segment.index}",
        texts=whole_episode([segment.text], segment.end - segment.start),
        time_ns=whole.time_ns[steps] - whole.time_ns[segment.start],
        cameras={slot: replace(frames, jpegs=frames.jpegs[steps]) for slot, frames in whole.cameras.items()},
        notes={**kept, **{key: value for key, value in own.items() if value}},
        **{name: getattr(whole, name)[steps] for name in CANONICAL},
        **{key: value for name in RAW for key, value in fields_of(name, raw_of(whole, name)[steps]).items()},
    )


def _first_good(copies: Sequence[Given], read: Callable[[Given], Value], note: str, notes: dict[str, str]) -> Value:
    """Read the first copy that can be read; note when it is not the first, raise its error when none can."""
    errors: list[RecordError] = []
    for copy in copies:
        try:
            with reading():
                value = read(copy)
        except RecordError as error:
            errors.append(error)
            continue
        if errors:
            notes[note] = f"{len(errors) + 1} of {len(copies)}; the first: {errors[0]}"
        return value
    others = f" (the first of {len(errors)} bad copies)" if len(errors) > 1 else ""
    raise RecordError(f"{errors[0]}{others}") from errors[0]


def _marks(
    share: PartSpec,
    task: str,
    entries: Mapping[int, Entry],
    near: Sequence[tuple[EpisodeRange, str]],
    proprio: Sequence[Path],
) -> list[str]:
    """Labels and archives that make a part's rows; without episodes whose numbers cannot be here yet.

    They will be in another part once an archive brings them.
    """
    archives = [span for span, _ in near if span.is_archive and span.path.parent in proprio]
    complete = [
        episode
        for episode in share.episodes
        if any(span.holds(episode) for span in archives)
        or any((folder / task / str(episode)).is_dir() for folder in proprio)
    ]
    labels = (json.dumps(entries.get(episode), sort_keys=True) for episode in complete)
    return [*labels, *(mark for span, mark in near if span.is_archive)]


def _files(videos: Sequence[Path], proprio: Sequence[Path], record: str) -> list[Path]:
    """List the files of an episode in folders that are read, there or not."""
    names = dict.fromkeys((*CAMERAS.values(), *HAND_CAMERAS.values()))
    paths = [folder / "videos" / f"{camera}{STEM}" for folder in videos for camera in names]
    numbers = [folder / record / H5 for folder in proprio]
    return [path for path in (*paths, *numbers) if path.is_file()]


def _numbers(path: Path) -> dict[EpisodeRange, str]:
    """List archives and folders of proprioception, archives with their fingerprint."""
    spans = agibot_locations.spans(path / "proprio_stats")
    return {span: _fingerprint(span) if span.is_archive else "" for span in spans}


def _fingerprint(span: EpisodeRange) -> str:
    try:
        return files.fingerprint(span.path)
    except OSError:  # `read` says why
        return "unreadable"


def _hint(path: Path) -> str:
    archive = next(path.glob("*.tar"), None)
    return f"extract {archive.relative_to(path)} and its like" if archive else "download them"
