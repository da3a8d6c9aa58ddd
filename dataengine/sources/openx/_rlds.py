"""What Open X-Embodiment sources share: a shard is a part, a record an episode; a subclass says what numbers mean."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from math import prod
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from dataengine import conventions
from dataengine.camera_names import camera_notes
from dataengine.digest import stable_id
from dataengine.episode import CameraFrames, Encoding, Episode, Kind, Part, Reject
from dataengine.errors import FilteredRecordError, NoCameraError, RecordError, SourceError
from dataengine.formats import features, files, jpeg, remote, rlds
from dataengine.framing import Fit
from dataengine.notes import outcome_notes
from dataengine.raw import Raw, fields_of, untouched
from dataengine.sources._parts import episode_or_reject, rejected, vector
from dataengine.sources.openx._texts import Said, texts_of
from dataengine.storage import is_uri
from dataengine.vector_layout import layout_of, note_key, unscaled

Steps = Mapping[str, Any]
"""The `steps` of one episode: arrays over t, encoded images, texts."""

MATRIX_SLACK = 1e-3
"""How far 0 0 0 1 of a homogeneous matrix may be off after its journey through float32 and a controller."""

NO_CAMERAS: Mapping[str, str] = {
    "float32": "tfds writes its four bytes as four channels",
    "no pictures": "features.json declares something else",
}
"""What features.json may declare in place of colours, and why it is none. Depth of 16 bits tells itself."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What a robot felt and did, over the t steps that are kept."""

    state: NDArray | None
    """(t, s) canonical; None where the publisher recorded none."""
    action: NDArray
    """(t, a) canonical."""
    raw_state: Raw | None
    raw_action: Raw
    state_encoding: Encoding = "eef_pose"
    action_encoding: Encoding = "eef_delta"
    first_step: int = 0
    """Step of the record that row 0 is; images follow it."""
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RldsSource(ABC):
    """A TFDS directory; a subclass names its keys and converts its numbers."""

    root: str
    """The folder `<name>/<version>` that holds dataset_info.json."""
    _: KW_ONLY
    frame_size: int = 256
    fit: Fit = "squash"
    frame_hz: float = 10.0
    """Of no effect: robot episodes keep every step."""

    name: ClassVar[str]
    kind: ClassVar[Kind] = "robot"
    embodiment: ClassVar[str]
    """Body, state and action in one name: a plain robot name means `eef_pose` and `eef_delta` of 7 numbers, in metres
    and radians; what differs is a suffix. `_unscaled`: nobody published the scale of the motion."""
    other_embodiments: ClassVar[tuple[str, ...]] = ()
    control_hz: ClassVar[float]
    layout: ClassVar[str] = "RLDS (TFDS TFRecord shards)"
    licence: ClassVar[str]
    cameras: ClassVar[Mapping[str, str]]
    """Camera slot to key below `steps/observation`."""
    keys: ClassVar[Mapping[str, int]]
    """Keys below `steps` that `convert` reads, beside the cameras, and how many numbers a step holds of each; the
    first of them tells the number of steps."""
    episode_keys: ClassVar[tuple[str, ...]] = ()
    """Keys beside `steps` that `leave_out`, `succeeded` and `body` read."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Which of the keys and cameras' keys an edition of the dataset may lack altogether."""
    bgr: ClassVar[frozenset[str]] = frozenset()
    """Camera slots whose red and blue the publisher swapped."""
    instruction_key: ClassVar[str] = "language_instruction"
    """Key below `steps`."""
    episode_instruction_key: ClassVar[str] = ""
    """Key beside `steps` that says what the whole episode was about, where steps tell what they are part of."""
    doubt: ClassVar[str] = ""
    """What the publisher leaves open and this source had to choose; noted in every episode, for reports to count."""

    unknown_units: ClassVar[tuple[str, ...]] = ()
    """Which of `state` and `action` have numbers in a unit that nobody published; grippers are converted all the same.
    The action of an `_unscaled` body need not be named."""

    @abstractmethod
    def convert(self, steps: Steps) -> Motion:
        """Turn the publisher's numbers into canonical ones."""

    def raw(self, steps: Steps, start: str) -> Raw:
        """Put side by side, untouched, what those of `keys` hold whose names start so: (t, n)."""
        return untouched(*(lookup(steps, key) for key in self.keys if key.startswith(start)))

    def leave_out(self, record: Mapping[str, Any]) -> str | None:
        """Say why a rule of the dataset leaves an episode out, or return None to keep it."""
        return None

    def succeeded(self, record: Mapping[str, Any]) -> bool | None:
        """Tell whether the publisher marks an attempt as a success; None where nobody says."""
        return None

    def body(self, record: Mapping[str, Any]) -> str:
        """Name the embodiment of an episode: one of `embodiment` and `other_embodiments`."""
        return self.embodiment

    def instructions(self, steps: Steps) -> Said:
        """Tell what was said at each step."""
        return cast(Said, lookup(steps, self.instruction_key))

    def spoken(self, record: Mapping[str, Any]) -> tuple[list[Any], list[Said]]:
        """Tell what was said of the episode as a whole, and at each step."""
        key = self.episode_instruction_key
        return [lookup(record, key)] if key else [], [self.instructions(record["steps"])]

    def parts(self) -> list[Part]:
        """List the shards; raise SourceError when the folder holds another dataset."""
        self._schema()
        shards = rlds.shards(self.root)
        if not any(shard.num_bytes for shard in shards):
            raise SourceError(f"{self.root}: found none of the {len(shards)} shards of {rlds.INFO}; download them")
        return [
            Part(
                dataset=self.name,
                name=shard.name,
                uri=shard.uri,
                num_bytes=shard.num_bytes,
                fingerprint=_fingerprint(shard),
                options={"split": shard.split, "num_records": str(shard.num_records)},
            )
            for shard in shards
        ]

    def fingerprint(self, part: Part) -> str:
        """Look at a part's shard as it is now."""
        shards = (shard for shard in rlds.shards(self.root) if shard.uri == part.uri)
        return next(map(_fingerprint, shards), "missing")

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Yield the shard's episodes in the order of its records."""
        if remote.entry(part.uri) is None:
            yield rejected(part, "", RecordError("the shard is missing; download it"))
            return
        if not is_uri(part.uri):
            try:
                files.inside(Path(part.uri), Path(self.root))
            except RecordError as error:
                yield rejected(part, "", error)
                return
        schema = self._schema()
        pictures = _pictures(schema)
        for index, record in rlds.read_shard(part.uri, schema, int(part.options["num_records"])):
            if isinstance(record, RecordError):
                yield rejected(part, str(index), record)
                continue
            yield episode_or_reject(part, str(index), "", self._episode, part, index, record, pictures)

    def _schema(self) -> features.FeaturesDict:
        """Read features.json and check that the keys this source needs are there: names of folders drift."""
        schema = rlds.schema(self.root)
        known = {key: leaf for key, leaf, _ in features.leaves(schema)}
        below_steps = [*self.keys, self.instruction_key, *(f"observation/{key}" for key in self.cameras.values())]
        what = f"{self.root}: holds '{rlds.name(self.root)}'"
        required = [f"steps/{key}" for key in below_steps if key and key not in self.optional]
        beside = [key for key in (*self.episode_keys, self.episode_instruction_key) if key]
        missing = [key for key in (*required, *beside) if key not in known]
        if missing:
            lacking = f"which lacks {', '.join(missing[:4])} of {self.name}"
            raise SourceError(f"{what}, {lacking}; `villa sources` lists what can be read")
        for key, width in self.keys.items():
            if f"steps/{key}" not in known:
                continue
            shape = known[f"steps/{key}"].shape
            if None in shape or prod(size or 0 for size in shape) != width:
                raise SourceError(f"{what}, whose steps/{key} has shape {shape}; {self.name} has {width} numbers there")
        return schema

    def _episode(self, part: Part, index: int, record: Mapping[str, Any], pictures: Mapping[str, str]) -> Episode:
        steps = record["steps"]
        if not len(lookup(steps, next(iter(self.keys)))):
            raise RecordError("the episode has no steps")
        if (reason := self.leave_out(record)) is not None:
            raise FilteredRecordError(reason)
        motion = self.convert(steps)
        num_steps = len(motion.action)
        if not num_steps:
            raise RecordError(f"{len(lookup(steps, next(iter(self.keys))))} steps are too few for the conversion")
        kept = range(motion.first_step, motion.first_step + num_steps)
        said, lost = texts_of(*self.spoken(record), kept)
        frames, left_out = self._frames(steps["observation"], slice(kept.start, kept.stop), pictures)
        return Episode(
            dataset=self.name,
            source_record=f"{part.name}/{index}",
            source_uri=part.uri,
            embodiment=self.body(record),
            kind=self.kind,
            control_hz=self.control_hz,
            texts=said,
            time_ns=np.round(np.arange(num_steps) * 1e9 / self.control_hz).astype(np.int64),
            cameras=frames,
            state_encoding=motion.state_encoding,
            action_encoding=motion.action_encoding,
            split=part.options["split"],
            licence=self.licence,
            notes={
                **({"doubt": self.doubt} if self.doubt else {}),
                **outcome_notes(self.succeeded(record)),
                **motion.notes,
                **self._units(motion),
                **camera_notes({slot: f"observation/{key}" for slot, key in self.cameras.items()}, frames),
                **lost,
                **left_out,
            },
            state=None if motion.state is None else vector(motion.state, "state"),
            action=vector(motion.action, "action"),
            **fields_of("raw_state", motion.raw_state),
            **fields_of("raw_action", motion.raw_action),
        )

    def _units(self, motion: Motion) -> dict[str, str]:
        """Note the vectors whose unit is not known."""
        notes = {}
        for column in self.unknown_units:
            values, encoding = getattr(motion, column), getattr(motion, f"{column}_encoding")
            if values is not None:
                layout = layout_of(column, encoding, values.shape[1], motion.notes)
                notes[note_key(column, "units")] = ",".join(unscaled(layout).units)
        return notes

    def _frames(
        self, observation: Steps, keep: slice, pictures: Mapping[str, str]
    ) -> tuple[dict[str, CameraFrames], dict[str, str]]:
        """Fit the images of every camera that this episode has; note those that are no cameras, beside the main one.

        `pictures` tells what features.json says of images, by their keys.
        """
        frames, left_out = {}, []
        for slot, key in self.cameras.items():
            try:
                images = lookup(observation, key)[keep]
            except RecordError:
                images = []
            try:
                if (dtype := pictures.get(f"steps/observation/{key}", "no pictures")) in NO_CAMERAS and len(images):
                    raise NoCameraError(f"holds {dtype}, no colours: {NO_CAMERAS[dtype]}")
                if self.is_absent(slot, images):
                    continue
                frames[slot] = jpeg.fit(images, self.frame_size, how=self.fit, bgr=slot in self.bgr)
            except RecordError as error:
                if slot == "primary" or not isinstance(error, NoCameraError):
                    raise RecordError(f"steps/observation/{key}: {error}") from error
                left_out.append(f"{slot}: steps/observation/{key}: {error}")
        return frames, {"cameras_left_out": "; ".join(left_out)} if left_out else {}

    def is_absent(self, slot: str, images: Sequence[bytes]) -> bool:
        """Say whether a camera was not there; publishers pad it with empty strings."""
        return slot != "primary" and not any(images)


def _pictures(schema: features.FeaturesDict) -> dict[str, str]:
    """Tell the dtype of the pictures of each image, by its key."""
    return {key: leaf.dtype for key, leaf, _ in features.leaves(schema) if leaf.kind == "image"}


def _fingerprint(shard: rlds.Shard) -> str:
    """Hash both ends of a file; of one in an object store, where that is two requests, its size and time."""
    if is_uri(shard.uri):
        return stable_id(str(shard.num_bytes), str(shard.modified_ns)) if shard.num_bytes else "missing"
    return files.fingerprint(Path(shard.uri))


def lookup(steps: Steps, key: str) -> Any:
    """Walk `observation/state` down the nested dicts, whose names may hold slashes of their own."""
    if key in steps:
        return steps[key]
    for end in (i for i, letter in enumerate(key) if letter == "/"):
        if isinstance(inside := steps.get(key[:end]), Mapping):
            return lookup(inside, key[end + 1 :])
    raise RecordError(f"the record lacks {key}")


def columns(*arrays: NDArray) -> NDArray[np.float32]:
    """Put arrays of (t,) or (t, n) side by side."""
    return np.concatenate([a.reshape(len(a), prod(a.shape[1:])).astype(np.float32) for a in arrays], axis=1)


def pose_of_matrix(flat: NDArray) -> NDArray[np.float64]:
    """Turn (t, 16) homogeneous 4x4 matrices into (t, 6) x y z roll pitch yaw.

    Some libraries write them row by row, others column by column: 0 0 0 1 must be the last row, so it tells which.
    """
    matrix = np.asarray(flat, np.float64).reshape(-1, 4, 4)
    last = np.array([0.0, 0.0, 0.0, 1.0])
    by_row, by_column = (np.abs(m[:, 3] - last).max() < MATRIX_SLACK for m in (matrix, matrix.swapaxes(1, 2)))
    if not (by_row or by_column):
        raise RecordError(f"{matrix[0, 3].tolist()} ends a pose's matrix, expected 0 0 0 1")
    matrix = matrix if by_row else matrix.swapaxes(1, 2)
    return np.concatenate([matrix[:, :3, 3], conventions.matrix_to_euler(matrix[:, :3, :3])], axis=1)


def hold_gaps(flat: NDArray) -> tuple[NDArray, dict[str, str]]:
    """Let (t, n) rows that are all zero, where a recorder missed a pose, hold the last one known; note it if any."""
    known = np.any(flat != 0, axis=1)
    if known.all() or not known.any():
        return flat, {}
    last = np.maximum.accumulate(np.where(known, np.arange(len(flat)), 0))
    return flat[np.maximum(last, np.argmax(known))], {"missing_pose": "the last one is held"}
