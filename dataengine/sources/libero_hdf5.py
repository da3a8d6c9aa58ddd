"""LIBERO as its authors ship it: one HDF5 file a task, a simulated Franka Panda, 20 Hz (Liu et al. 2023, 2306.03310).

data/demo_<i>/actions             (t, 7)  -1..1: x y z of 0.05 m, axis times angle of 0.5 rad; gripper -1 opens
data/demo_<i>/obs/ee_states       (t, 6)  x y z in metres, axis times angle in radians
data/demo_<i>/obs/gripper_states  (t, 2)  finger positions, 0..0.04 and -0.04..0 m
data/demo_<i>/obs/agentview_rgb, eye_in_hand_rgb  (t, height, width, 3) upside down -> primary, wrist
data/demo_<i>/states              (t, s)  time, positions, velocities of the simulation before each action
attribute problem_info of `data`, else the name of the file -> instruction

Numbers become what `openx/libero` makes of them, and pictures are turned by 180 degrees as in that edition, so that a
policy may learn from either. LIBERO's own script stores with action i what was seen after it; files that OpenVLA's
script made anew store what was seen before. Joints and simulated positions tell which: in the former, what was seen is
paired with the action that followed, and the first action, which nothing was seen before, is left out.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.camera_names import camera_notes
from dataengine.episode import Episode, Kind, Part, Reject
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, hdf5, jpeg
from dataengine.framing import Fit
from dataengine.raw import fields_of
from dataengine.sources._parts import episode_or_reject, rejected, vector
from dataengine.sources.openx.libero import Libero, motion
from dataengine.texts import whole_episode

CAMERAS = {"primary": "agentview_rgb", "wrist": "eye_in_hand_rgb"}
NUMBERS = {"actions": 7, "obs/ee_states": 6, "obs/gripper_states": 2, "obs/joint_states": 7}
STEP_NS = 50_000_000
STEADY_RAD = 1e-4
"""Joints that move less in a step tell nothing about when they were seen."""
EXPECTED = "a folder with <task>_demo.hdf5 files, as LIBERO ships them"


@dataclass(frozen=True)
class LiberoHdf5:
    """A file is a part, a demonstration an episode."""

    root: str
    _: KW_ONLY
    frame_size: int = 256
    frame_hz: float = 10.0
    """Of no effect: robot episodes keep every step."""
    fit: Fit = "squash"

    name: ClassVar[str] = "libero_hdf5"
    kind: ClassVar[Kind] = "robot"
    embodiment: ClassVar[str] = Libero.embodiment
    other_embodiments: ClassVar[tuple[str, ...]] = ()
    control_hz: ClassVar[float] = Libero.control_hz
    layout: ClassVar[str] = "HDF5, a file for each task"
    licence: ClassVar[str] = "CC BY 4.0"

    def parts(self) -> list[Part]:
        """List the files without opening one."""
        folder = files.folder(self.root, EXPECTED)
        paths = sorted(path for path in folder.rglob("*.hdf5") if path.is_file())
        if not paths:
            raise SourceError(f"{folder}: found no .hdf5 file, expected {EXPECTED}")
        return [_part(self.name, folder, path) for path in paths]

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Yield the demonstrations of a file, in the order of their numbers."""
        path = files.inside(Path(self.root) / part.name, Path(self.root))
        try:
            demos = hdf5.members(path, "data")
            about = hdf5.attributes(path, ("problem_info", "macros_image_convention"), group="data")
            if not demos:
                raise RecordError(f"{path.name}: found no group data/demo_<i>, expected {EXPECTED}")
        except RecordError as error:
            yield rejected(part, "", error, str(path))
            return
        text = _instruction(about.get("problem_info"), path)
        upside_down = about.get("macros_image_convention", "opengl") != "opencv"
        for demo in demos:
            record = f"{part.name}/{demo}"
            yield episode_or_reject(part, record, str(path), self._episode, path, record, text, upside_down=upside_down)

    def _episode(self, path: Path, record: str, text: str, *, upside_down: bool) -> Episode:
        at = f"data/{record.rpartition('/')[2]}"
        pictures = {slot: f"{at}/obs/{key}" for slot, key in CAMERAS.items()}
        required = [f"{at}/{key}" for key in NUMBERS] + [pictures["primary"]]
        raw = hdf5.read(path, required, [pictures["wrist"], f"{at}/states"])
        numbers = {key: _checked(raw[f"{at}/{key}"], key, dim) for key, dim in NUMBERS.items()}
        count = len(numbers["actions"])
        if any(
            len(values) != count for values in (*numbers.values(), *(raw[p] for p in pictures.values() if p in raw))
        ):
            raise RecordError(f"{at}: its arrays have different numbers of steps, actions {count}")
        after = _seen_after(numbers["obs/joint_states"], raw.get(f"{at}/states"))
        seen, done = (slice(0, count - 1), slice(1, count)) if after else (slice(count), slice(count))
        state = np.concatenate([numbers["obs/ee_states"], numbers["obs/gripper_states"]], axis=1)[seen]
        if not len(state):
            raise RecordError(f"{at} has {count} steps, expected at least {2 if after else 1}")
        moved = motion(state, numbers["actions"][done])
        assert moved.state is not None, "LIBERO tells the state"
        cameras = {
            slot: jpeg.fit(
                [*map(jpeg.encode, _turned(raw[key][seen], key, upside_down))], self.frame_size, how=self.fit
            )
            for slot, key in pictures.items()
            if key in raw
        }
        return Episode(
            dataset=self.name,
            source_record=record,
            source_uri=str(path),
            embodiment=self.embodiment,
            kind=self.kind,
            control_hz=self.control_hz,
            texts=whole_episode([text], len(state)),
            time_ns=np.arange(len(state)) * STEP_NS,
            cameras=cameras,
            state=vector(moved.state, "state"),
            action=vector(moved.action, "action"),
            **fields_of("raw_state", moved.raw_state),
            **fields_of("raw_action", moved.raw_action),
            state_encoding=moved.state_encoding,
            action_encoding=moved.action_encoding,
            licence=self.licence,
            notes={
                **camera_notes(CAMERAS, cameras),
                "observations": "after the action" if after else "before the action",
            },
        )


def _part(name: str, folder: Path, path: Path) -> Part:
    stat = path.stat()
    return Part(
        dataset=name,
        name=str(path.relative_to(folder)),
        uri=str(path),
        num_bytes=stat.st_size,
        fingerprint=f"{stat.st_size}-{stat.st_mtime_ns}",
    )


def _instruction(problem: str | list[str] | None, path: Path) -> str:
    """Read what is asked for out of the task's description, else out of the file's name."""
    if isinstance(problem, str):
        try:
            said = json.loads(problem).get("language_instruction", "")
        except (ValueError, AttributeError):
            said = ""
        if isinstance(said, list):  # the words, or the letters
            said = ("" if all(len(str(one)) == 1 for one in said) else " ").join(map(str, said))
        if isinstance(said, str) and said.strip():
            return said.strip()
    name = path.stem.removesuffix("_demo")
    return re.sub(r"^[A-Z_]+SCENE\d+_", "", name).replace("_", " ")


def _checked(values: NDArray, key: str, dim: int) -> NDArray[np.float64]:
    """Take numbers (t, dim); raise RecordError for another shape."""
    if values.ndim != 2 or values.shape[1] != dim:
        raise RecordError(f"{key} has shape {values.shape}, expected (t, {dim})")
    return np.asarray(values, np.float64)


def _seen_after(joints: NDArray[np.float64], physics: NDArray | None) -> bool:
    """Tell whether joints (t, 7) were seen after the action of their row, by what the simulation was before it."""
    if physics is None or physics.ndim != 2 or physics.shape[0] != len(joints) or physics.shape[1] < 8:
        return False
    simulated = np.asarray(physics[:, 1:8], np.float64)
    before = np.abs(joints[:-1] - simulated[:-1]).max(axis=1, initial=0.0)
    after = np.abs(joints[:-1] - simulated[1:]).max(axis=1, initial=0.0)
    moving = np.abs(np.diff(simulated, axis=0)).max(axis=1, initial=0.0) > STEADY_RAD
    return bool(moving.any() and np.median(after[moving]) < np.median(before[moving]))


def _turned(pictures: NDArray, key: str, upside_down: bool) -> NDArray[np.uint8]:
    """Turn pictures (t, height, width, 3) as the other edition has them."""
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise RecordError(
            f"{key} has type {pictures.dtype} and shape {pictures.shape}, expected uint8 (t, height, width, 3)"
        )
    return pictures[:, ::-1, ::-1] if upside_down else pictures[:, :, ::-1]
