"""Episodes out of a LeRobot dataset: rows and frames put together, and what was decided told in notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.camera_names import camera_notes
from dataengine.episode import CameraFrames, Episode, Kind
from dataengine.errors import NoCameraError, RecordError
from dataengine.formats import jpeg, json_file
from dataengine.formats.lerobot import lerobot
from dataengine.formats.lerobot.entries import EXPORTED_NOTES, EpisodeEntry
from dataengine.formats.lerobot.lerobot import Info
from dataengine.formats.lerobot.reel import Reel
from dataengine.formats.lerobot.rows import RowReader, images, integers, numbers, numbers_with_gaps
from dataengine.framing import Framing
from dataengine.notes import OUTCOME, ROBOT_TYPE, is_serious, outcome_notes
from dataengine.raw import EXACT, fields_of, untouched
from dataengine.sources._parts import vector
from dataengine.sources.lerobot import meaning
from dataengine.sources.lerobot.texts import TextColumns
from dataengine.vector_layout import UNKNOWN, note_key

TRUE_TIME = "source.time_ns"
SUCCESS = "next.success"
"""Column of LeRobot's own recordings in simulators: whether the attempt succeeded with the step's action."""
RAW = ("source.state", "source.action")
"""Columns in which our own exports keep what their source had published."""
BELOW = (("observation.", "observations.", "state.", "states."), ("action.", "actions."))
"""What names of columns start with that go into raw vectors, of states and of actions."""
EVEN_S = 1e-3
"""Timestamps this near to k / fps are that: they are float32, and ten hours long at most."""
TELL_S = 1e-3
"""A camera that is farther off is noted."""


FRAMES_MISSING = "a shared video has fewer frames than its episodes have rows: pictures behind a loss may be late"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What to take from a dataset, and how to call it."""

    dataset: str
    embodiment: str
    kind: Kind
    licence: str
    framing: Framing
    state: meaning.Vector
    action: meaning.Vector
    layout: Mapping[str, str]
    """What state and action are, as notes that `vector_layout` reads."""
    cameras: Mapping[str, str]
    """Slot to feature."""
    left_out: Sequence[str]
    """Cameras that no slot takes."""
    robot_type: str
    """As info.json calls the robot; empty where it does not."""


class LerobotReader:
    """Reads episode after episode; files that several share stay open in between."""

    def __init__(self, info: Info, reading: Reading) -> None:
        self.info, self.reading = info, reading
        self._texts = TextColumns.of(info)
        features = info.features
        self.raw_state = meaning.raw(features, reading.state, BELOW[0], RAW[0])
        self.raw_action = meaning.raw(features, reading.action, BELOW[1], RAW[1])
        self._vectors = (reading.state, reading.action, self.raw_state, self.raw_action)
        self._images = [key for key in reading.cameras.values() if features[key].dtype == "image"]
        needed = [column for each in self._vectors for column in each.columns]
        needed += [*self._texts.needed, *self._images, "timestamp", "frame_index", "index", TRUE_TIME]
        if SUCCESS in features and features[SUCCESS].dtype == "bool":
            needed.append(SUCCESS)
        self._beside = {key for each in (self.raw_state, self.raw_action) for key in each.columns}
        self._beside -= {key for each in (reading.state, reading.action) for key in each.columns}
        self._rows = RowReader(info, list(dict.fromkeys(needed)), {*self._beside, SUCCESS})
        self._reels = {slot: Reel(reading.framing.side, info.rate_hz, reading.framing.fit) for slot in reading.cameras}
        known = {*needed, *meaning.COUNTERS, *(f"{name}{end}" for name in RAW for end in ("", "_exact"))}
        left_out = [key for key, feature in features.items() if key not in known and not feature.is_camera]
        self._notes = _notes(reading, self.raw_state, self.raw_action, left_out)

    def close(self) -> None:
        """Let go of all files."""
        for reel in self._reels.values():
            reel.close()

    def episode(self, entry: EpisodeEntry) -> Episode:
        """Put an episode together; raise RecordError when anything of it lacks."""
        if entry.problem:
            raise RecordError(entry.problem)
        if not entry.length:
            raise RecordError("the episode has no frames")
        info, reading = self.info, self.reading
        table = self._rows.read(entry)
        time_s, time_ns, notes = self._times(table)
        columns, gaps = self._numbers(table)
        frames, frame_notes = self._frames(entry, table, time_s)
        notes |= frame_notes
        if any(len(shown.jpegs) < len(table) for shown in frames.values()):  # a video is one frame short
            table, time_ns = table.slice(0, len(table) - 1), time_ns[:-1]
            columns = {key: values[: len(table)] for key, values in columns.items()}
            frames = {slot: replace(shown, jpegs=shown.jpegs[: len(table)]) for slot, shown in frames.items()}
            notes["last_row_lost"] = "a video has one frame less than there are rows"
        said, text_notes = self._texts.read(entry, table, info.rate_hz)
        return Episode(
            dataset=reading.dataset,
            source_record=entry.record,
            source_uri=str(info.root / entry.data_file),
            embodiment=reading.embodiment,
            kind=reading.kind,
            control_hz=info.rate_hz,
            texts=said,
            time_ns=time_ns,
            cameras=frames,
            state_encoding=reading.state.encoding,
            action_encoding=reading.action.encoding,
            split=info.split(entry.index),
            licence=entry.licence if self._texts.is_export and entry.licence else reading.licence,
            notes={**self._exported_notes(entry), **_outcome(table), **self._notes, **gaps, **notes, **text_notes},
            state=_vector(reading.state, columns, "state"),
            action=_vector(reading.action, columns, "action"),
            **fields_of("raw_state", self.raw_state.untouched(columns)),
            **fields_of("raw_action", self.raw_action.untouched(columns)),
        )

    def _exported_notes(self, entry: EpisodeEntry) -> dict[str, str]:
        """Take the outcome, and what everybody must know, from the corpus that an episode was exported from."""
        if not self._texts.is_export or not entry.notes:
            return {}
        try:
            exported = json_file.as_object(json_file.loads(entry.notes))
        except json_file.JsonError as error:
            raise RecordError(f"{EXPORTED_NOTES}: {error}") from error
        return {
            key: text for key, text in exported.items() if (is_serious(key) or key == OUTCOME) and isinstance(text, str)
        }

    def _numbers(self, table: pa.Table) -> tuple[dict[str, NDArray], dict[str, str]]:
        """Read the columns of numbers, and note gaps of those that only raw vectors hold: they cost nothing else."""
        arrays: dict[str, NDArray] = {}
        gaps: dict[str, str] = {}
        for key in dict.fromkeys(key for each in self._vectors for key in each.columns):
            feature = self.info.features[key]
            if key not in self._beside:
                arrays[key] = numbers(table, feature)
                continue
            try:
                if key not in table.column_names:
                    raise RecordError(f"{key} is declared in info.json, but not in the data files")
                arrays[key] = numbers_with_gaps(table, feature)
                untouched(arrays[key])  # a number that no vector can hold costs the column, not the episode
            except RecordError as error:
                arrays[key], gaps[key] = np.full((len(table), feature.width), np.nan), str(error)
                continue
            if not np.isfinite(arrays[key]).all():
                gaps[key] = f"{key} is not finite at some steps"
                if feature.dtype.endswith("int64") and np.nanmax(np.abs(arrays[key]), initial=0) >= EXACT:
                    gaps[key] += ", and rounded at the others"  # with a null beside them they are float64
        notes = {}
        for name, made_of in (("raw_state", self.raw_state), ("raw_action", self.raw_action)):
            if mine := [gaps[key] for key in made_of.columns if key in gaps]:
                notes[f"{name}_missing"] = f"{'; '.join(mine)}; all else of the episode is kept"
        return arrays, notes

    def _times(self, table: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.int64], dict[str, str]]:
        """Tell when each frame is due in the videos (s) and when it was recorded (ns), both from the first."""
        even_s = np.arange(len(table)) / self.info.rate_hz
        time_s, notes = even_s, {}
        if "timestamp" in table.column_names:
            said_s = numbers(table, self.info.features["timestamp"])[:, 0].astype(np.float64)
            if not np.isfinite(said_s).all() or np.any(np.diff(said_s) <= 0):
                raise RecordError("timestamp does not rise from frame to frame")
            if np.abs(said_s - even_s).max() > EVEN_S:
                time_s, notes = said_s, {"time": "by timestamp, which is not k / fps"}
        time_ns = np.round((time_s - time_s[0]) * 1e9).astype(np.int64)
        if TRUE_TIME in table.column_names:
            time_ns = integers(table, TRUE_TIME)
        return time_s, time_ns, notes

    def _frames(
        self, entry: EpisodeEntry, table: pa.Table, time_s: NDArray[np.float64]
    ) -> tuple[dict[str, CameraFrames], dict[str, str]]:
        """Give every slot its frames, for all rows or all but the last, and notes on them."""
        frames: dict[str, CameraFrames] = {}
        notes: dict[str, str] = {}
        off_s, framing = 0.0, self.reading.framing
        for slot, key in self.reading.cameras.items():
            try:
                if key in self._images:
                    frames[slot] = jpeg.fit(images(self.info, table, key), framing.side, how=framing.fit)
                    continue
                span = entry.videos[key]
                shown = self._reels[slot].take(lerobot.safe_file(self.info, span.file), span, time_s)
            except NoCameraError as error:
                others = f"{notes['depth_left_out']}; " if "depth_left_out" in notes else ""
                notes["depth_left_out"] = f"{others}{key}: {error}"
                continue
            except RecordError as error:
                raise RecordError(f"{key}: {error}") from error
            frames[slot], off_s = shown.frames, max(off_s, shown.off_s)
            if shown.is_short:
                notes["frames_missing"] = FRAMES_MISSING
        if off_s > TELL_S:
            notes["video_off_ms"] = f"{off_s * 1e3:.0f}"
        return frames, notes


def _outcome(table: pa.Table) -> dict[str, str]:
    """Note whether the attempt succeeded at any step; nothing where nobody says."""
    if SUCCESS not in table.column_names or not pa.types.is_boolean(table[SUCCESS].type):
        return {}
    return outcome_notes(pc.any(table[SUCCESS]).as_py())


def _vector(made_of: meaning.Vector, columns: Mapping[str, NDArray], name: str) -> NDArray[np.float32] | None:
    values = made_of.values(columns)
    return None if values is None else vector(values, name)


def _notes(
    reading: Reading, raw_state: meaning.Vector, raw_action: meaning.Vector, left_out: Sequence[str]
) -> dict[str, str]:
    """Say what was decided for the dataset."""
    both = {"state": reading.state, "action": reading.action}
    doubts = [made_of.doubt for made_of in both.values() if made_of.doubt and made_of.slices]
    notes = {
        **camera_notes(reading.cameras, reading.cameras),
        ROBOT_TYPE: reading.robot_type,
        "cameras_left_out": " ".join(reading.left_out),
        "columns_left_out": " ".join(left_out),
        "state": str(reading.state),
        "action": str(reading.action),
        "raw_state": ",".join(map(str, raw_state.slices)),
        "raw_action": ",".join(map(str, raw_action.slices)),
        "doubt": "; ".join(doubts),
        **{f"{what}_missing": made_of.doubt for what, made_of in both.items() if not made_of.slices},
    }
    if reading.kind == "human":  # clips have neither
        notes |= {"state_missing": "", "action_missing": ""}
    unknown = [what for what in ("state", "action") if UNKNOWN in reading.layout.get(note_key(what, "units"), "")]
    if unknown:
        what = " and ".join(unknown)
        notes["units_unknown"] = f"{what}: nobody says the unit; villa curate says what it can check, and by what"
    return {key: text for key, text in notes.items() if text} | dict(reading.layout)
