"""RH20T: contact-rich tasks by four arms in seven configurations, 10 Hz, up to ten cameras; the robots' half.

task_description.json                                                 {"task_0001": {"task_description_english": ...}}
[RH20T_cfg3/][action/]task_0001_user_0016_scene_0001_cfg_0003/        see `scenes.py` for archives side by side
    metadata.json                                                     finish_time (ms), rating 0 to 9
    cam_<serial>/[color/]color.mp4, timestamps.npy                    up to 1280x720; see `cameras.py`
    transformed/{tcp_base,gripper,joint}.npy                          see `numbers.py`

tcp_base [x y z, quaternion wxyz], m     -> state[:, :6]; the next step's -> action[:, :6], absolute
gripper_info[0], mm, 0 to 110            -> state[:, 6]; the next step's gripper_command[0] -> action[:, 6]
tcp_base, gripper_info[0], joint         -> raw_state (22, 14 or 15 wide; 8 without joint.npy)
gripper_command[0]                       -> raw_action

Cameras run unsynchronised. The standing camera that is `primary` gives the clock; of the robot and of every other
camera the entry nearest in time counts, within 100 ms, as in the public RLDS converter. A step for which one is farther
away is dropped. What would cost more than a fifth of the steps is left out: a camera for the next of its kind, joints
from `raw_state`; poses and widths cost the episode. A camera whose video is damaged is rejected by itself.

Frames after finish_time are no part of the task and are cut. Scene 10 is `val`, as in the loader of the publisher's
group. Left out: depth (lossy video, no unit), audio, force and torque, tactile; people are the source `rh20t_human`.

Doubtful: one width of 110 mm counts as open for all grippers, though some open to 80 or 85 mm only, so that equal
numbers are equal widths.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, ClassVar

from dataengine.episode import Episode, Kind, Part, Reject
from dataengine.errors import FilteredRecordError, RecordError, SourceError
from dataengine.formats import files
from dataengine.framing import Fit, Framing
from dataengine.raw import fields_of, untouched
from dataengine.sources._parts import episode_or_reject, rejected, vector
from dataengine.sources.rh20t import cameras, numbers, scenes, times
from dataengine.sources.rh20t.scenes import Scene
from dataengine.sources.rh20t.steps import settle
from dataengine.texts import whole_episode

EXPECTED = "a folder with task_description.json and task_*_user_*_scene_*_cfg_* folders"
ROBOTS = {1: "flexiv", 2: "flexiv", 3: "ur5", 4: "ur5", 5: "franka", 6: "kuka_iiwa", 7: "kuka_iiwa"}
EMBODIMENTS = {cfg: f"{robot}_eef_target" for cfg, robot in ROBOTS.items()}
RATINGS = {0: "emergency stop", 1: "failed"}
LARGEST = 1e20
"""A number of metadata.json beyond this is none."""


@dataclass(frozen=True)
class Rh20t:
    """A part is a task as one configuration did it, so that its name stays when more is downloaded."""

    root: str
    """The folder of one configuration, or one above several of them or of their archives."""
    _: KW_ONLY
    frame_size: int = 256
    fit: Fit = "squash"
    frame_hz: float = 10.0
    """Of no effect: robot episodes keep every step."""
    min_rating: Annotated[int, "Least rating to keep: 0 emergency stop, 1 failed, 2 to 9 better; unrated is kept."] = 2

    name: ClassVar[str] = "rh20t"
    kind: ClassVar[Kind] = "robot"
    embodiment: ClassVar[str] = EMBODIMENTS[1]
    other_embodiments: ClassVar[tuple[str, ...]] = (EMBODIMENTS[3], EMBODIMENTS[5], EMBODIMENTS[6])
    control_hz: ClassVar[float] = 10.0
    """Nominal; an episode says its own."""
    layout: ClassVar[str] = "RH20T, extracted (JSON, mp4, pickled npy)"
    licence: ClassVar[str] = "CC BY-SA 4.0 (scenes 1 to 5), CC BY-NC 4.0 (6 to 10)"

    def parts(self) -> list[Part]:
        """Group the scenes by configuration and task; no video and no npy is opened."""
        root = self._folder()
        all_scenes = scenes.find(root)
        if not all_scenes:
            raise SourceError(f"{root}: found no scene of a robot, expected {EXPECTED}; {_hint(root)}")
        holders = sorted({folder for scene in all_scenes for folder in scene.folders})
        texts_file = scenes.descriptions_file(root, holders)
        if texts_file is None:
            raise SourceError(f"{root}: found no {scenes.DESCRIPTIONS}, expected {EXPECTED}; download it to there")
        texts = scenes.descriptions(texts_file)
        parts = []
        for (cfg, task), group in groupby(sorted(all_scenes, key=_cfg_and_task), _cfg_and_task):
            members = list(group)
            sizes = {scene.name: scene.sizes() for scene in members}
            options = {
                "scenes": "\n".join(sizes),
                "places": "\n".join(sorted({str(p.relative_to(root)) for scene in members for p in scene.folders})),
                "descriptions": str(texts_file.relative_to(root)),
            }
            parts.append(
                Part(
                    dataset=self.name,
                    name=f"cfg_{cfg:04}/task_{task:04}",
                    uri=str(members[0].folders[0]),
                    num_bytes=sum(_bytes_to_read(cfg, files_) for files_ in sizes.values()),
                    fingerprint=_fingerprint(texts, task, sizes),
                    options=options,
                )
            )
        return parts

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Yield the part's scenes in order of their names."""
        texts = scenes.descriptions(Path(self.root) / part.options["descriptions"])
        for scene in self._scenes(part):
            name = scene.name
            damaged: list[tuple[str, RecordError]] = []
            outcome = episode_or_reject(part, name, scene.uri, self._episode, scene, texts, damaged)
            for serial, error in damaged:
                yield rejected(part, f"{name}/{scenes.CAMERA}{serial}", error, uri=scene.uri)
            yield outcome

    def fingerprint(self, part: Part) -> str:
        """Look at the files of a part's scenes, and at its text, as they are now."""
        texts = scenes.descriptions(Path(self.root) / part.options["descriptions"])
        members = list(self._scenes(part))
        return _fingerprint(texts, members[0].numbers[0], {scene.name: scene.sizes() for scene in members})

    def _scenes(self, part: Part) -> Iterator[Scene]:
        """List a part's scenes, in order of their names."""
        path = Path(self.root)
        folders = [path / folder for folder in part.options["places"].split("\n")]
        for name in part.options["scenes"].split("\n"):
            yield Scene(name, path, tuple(folder for folder in folders if (folder / name).is_dir()) or (folders[0],))

    def _episode(self, scene: Scene, texts: dict[str, Any], damaged: list[tuple[str, RecordError]]) -> Episode:
        task, _, number, cfg = scene.numbers
        if cfg not in ROBOTS:
            raise RecordError(f"cfg_{cfg:04} is none of the seven configurations")
        metadata = scene.metadata()
        rating = _number(metadata, "rating")
        if rating is not None and rating < self.min_rating:
            meaning = f" ({RATINGS[int(rating)]})" if rating in RATINGS else ""
            raise FilteredRecordError(f"rating {rating:g}{meaning}, min_rating is {self.min_rating}")
        finish_ms = _number(metadata, "finish_time")
        if finish_ms is not None:
            times.check(finish_ms, "metadata.json: finish_time")
        robot = numbers.read(scene)
        steps = settle(scene, cfg, robot, finish_ms, Framing(self.frame_size, self.fit), damaged)
        pose = robot.pose.at(steps.stamps_ms)
        width_mm = robot.width_mm.at(steps.stamps_ms)
        state, action, notes = numbers.canonical(pose, width_mm)
        raw_state = [pose, width_mm[:, :1], *([steps.joints.at(steps.stamps_ms)] if steps.joints else [])]
        said, text_notes = scenes.texts(texts, task)
        return Episode(
            dataset=self.name,
            source_record=scene.name,
            source_uri=scene.uri,
            embodiment=EMBODIMENTS[cfg],
            kind=self.kind,
            control_hz=steps.rate_hz,
            texts=whole_episode(said, len(steps.stamps_ms)),
            time_ns=(steps.stamps_ms - steps.stamps_ms[0]) * 1_000_000,
            cameras=steps.cameras,
            state=vector(state, "state"),
            action=vector(action, "action"),
            **fields_of("raw_state", untouched(*raw_state)),
            **fields_of("raw_action", width_mm[:, 1:]),
            state_encoding="eef_pose",
            action_encoding="eef_pose",
            split=scenes.split(number),
            licence=scenes.licence(number),
            notes={
                "action_source": "next_state",
                "rating": "none" if rating is None else f"{rating:g}",
                **notes,
                **steps.notes,
                **text_notes,
            },
        )

    def _folder(self) -> Path:
        """Return the root, or say in one line what it is instead."""
        folder = files.folder(self.root, EXPECTED)
        above = next((path for path in (folder, *folder.parents) if scenes.NAME.fullmatch(path.name)), None)
        if above:
            raise SourceError(f"{folder}: too low; pass {above.parent}")
        return folder


def _fingerprint(texts: Mapping[str, Any], task: int, sizes: Mapping[str, Mapping[str, int]]) -> str:
    text = json.dumps(texts.get(f"task_{task:04}"), sort_keys=True)
    marks = (f"{name}/{path} {size}" for name, by_path in sizes.items() for path, size in by_path.items())
    return files.fingerprint_of_sizes([], text, *marks)


def _cfg_and_task(scene: Scene) -> tuple[int, int]:
    task, _, _, cfg = scene.numbers
    return cfg, task


def _bytes_to_read(cfg: int, sizes: Mapping[str, int]) -> int:
    """Sum the bytes of all small files and of the videos that are decoded when all is sound."""
    videos = {path.split("/")[0].removeprefix(scenes.CAMERA): path for path in sizes if path.endswith("color.mp4")}
    chosen = cameras.expected(cfg, list(videos)) if cfg in ROBOTS else list(videos)
    small = sum(num_bytes for path, num_bytes in sizes.items() if not path.endswith(".mp4"))
    return small + sum(sizes[videos[serial]] for serial in chosen)


def _number(metadata: Mapping[str, Any], key: str) -> float | None:
    value = metadata.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:  # nor NaN
        raise RecordError(f"metadata.json: {key} is {str(value)[:40]!r}, expected a number")
    return value


def _hint(folder: Path) -> str:
    archive = next((path for path in sorted(folder.glob("*")) if path.name.endswith((".tar", ".gz", ".zip"))), None)
    return f"extract {archive.name} and its like" if archive else "check the path"
