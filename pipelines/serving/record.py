"""Writes what robots saw and did as a LeRobot dataset (v2.1, pictures as JPEG in the rows): `villa ingest lerobot`.

A row is one observation that the policy answered, with what was executed until the next one. Where that is more than
one action, changes are added up and the last of other values counts, at a rate that is lower by as much.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataengine.camera_names import camera_note
from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from dataengine.formats.lerobot.lerobot import EXPORT, INFO
from dataengine.formats.resize import resize
from dataengine.vector_layout import UNKNOWN, join_names, note_key
from dataengine.whole_file import whole_file, write_whole
from pipelines.serving.observation import Request
from pipelines.serving.service import Session
from pipelines.serving.wire import WireError

MAX_ROWS: Final = 10_000
"""Of an episode, which is kept in memory until it ends; a longer one becomes several."""
SUCCESS: Final = "next.success"
"""LeRobot's name for whether the attempt succeeded with the step's action."""
CAMERAS: Final[Mapping[str, str]] = {"primary": "observation.images.primary", "wrist": "observation.images.wrist"}


@dataclass
class _Rows:
    """The episode that a session is in."""

    state: list[NDArray[np.float32]] = field(default_factory=list)
    action: list[NDArray[np.float32]] = field(default_factory=list)
    instruction: list[str] = field(default_factory=list)
    jpegs: dict[str, list[bytes]] = field(default_factory=dict)
    success: bool | None = None
    """Of its end; None where nobody says."""


class LerobotRecorder:
    """One dataset of one robot; sessions may be written at once."""

    def __init__(self, out: Path, metadata: Mapping[str, Any], *, goes_on_behind: int | None = None) -> None:
        """`goes_on_behind` so many episodes of a dataset that is there; None for a new one."""
        if not metadata["embodiment"]:
            raise DataEngineError("a dataset is of one robot: name the one that is recorded with --embodiment")
        if goes_on_behind is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataEngineError(f"{out}: is there already, expected a new or empty folder to record to")
        self._steps, self._moves = int(metadata["action_horizon"]), metadata["action_moves"]
        if self._steps > 1 and self._moves is None:
            raise DataEngineError(
                "which action numbers are changes is not known, so several in a row cannot be recorded as one; "
                "--action-steps 1 records each"
            )
        out.mkdir(parents=True, exist_ok=True)
        self._out, self._about = out, metadata
        self._has_outcomes = bool(metadata.get("has_outcomes"))
        self._open: dict[int, _Rows] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        """Cameras of the first observation, which all later ones have; height and width of its pictures, as theirs."""
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        if goes_on_behind:
            self._read(goes_on_behind)

    def _read(self, num_episodes: int) -> None:
        """Go on behind the first episodes of a dataset; what it has of later ones is written over."""
        try:
            lines = {
                name: (self._out / f"meta/{name}.jsonl").read_text(encoding="utf-8") for name in ("tasks", "episodes")
            }
            tasks, episodes = ([json.loads(line) for line in text.splitlines()] for text in lines.values())
            features = json.loads((self._out / INFO).read_text(encoding="utf-8"))["features"]
            self._tasks = {str(one["task"]): int(one["task_index"]) for one in tasks}
            self._episodes = episodes[:num_episodes]
            shapes = {slot: features[key]["shape"] for slot, key in CAMERAS.items() if key in features}
            self._sizes = {slot: (int(height), int(width)) for slot, (height, width, _) in shapes.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataEngineError(
                f"{self._out}: what lists its episodes is damaged ({type(error).__name__}: {error}); record to a new "
                f"folder"
            ) from None
        if len(self._episodes) < num_episodes:
            raise DataEngineError(
                f"{self._out}: lists {len(self._episodes)} episodes, expected {num_episodes} or more; record to a new "
                f"folder"
            )

    def add(self, session: Session, request: Request, actions: NDArray[np.float32]) -> None:
        """Keep an observation and the actions (k, a) that are executed until the next one."""
        pictures = {"primary": request.image, **({} if request.wrist is None else {"wrist": request.wrist})}
        with self._lock:
            sizes = self._sizes = self._sizes or {slot: one.shape[:2] for slot, one in pictures.items()}
            if sizes.keys() != pictures.keys():
                raise WireError(
                    f"this server records, and a dataset's rows have the same cameras: those before have "
                    f"{', '.join(sizes)}, found {', '.join(pictures)}"
                )
            rows = self._open.setdefault(session.number, _Rows())
        for slot, picture in pictures.items():
            rows.jpegs.setdefault(slot, []).append(jpeg.encode(resize(picture, *sizes[slot])))
        rows.state.append(request.state)
        rows.action.append(self._joined(actions))
        rows.instruction.append(request.instruction)
        if len(rows.action) >= MAX_ROWS:
            self.end(session)

    def _joined(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Say several actions in a row as one."""
        joined = actions[-1].copy()
        moves = list(self._moves or ())
        joined[moves] = actions[:, moves].sum(axis=0)
        return joined

    def end(self, session: Session, *, success: bool | None = None) -> None:
        """Write the session's episode, where it has one; `success` where the metadata say that outcomes are known."""
        with self._lock:
            rows = self._open.pop(session.number, None)
            if rows is not None:
                rows.success = success
                self._write(rows)

    def _write(self, rows: _Rows) -> None:
        """Write an episode, then what lists it; info.json last."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        number, length = len(self._episodes), len(rows.action)
        first = sum(one["length"] for one in self._episodes)
        tasks = [self._tasks.setdefault(text, len(self._tasks)) for text in rows.instruction]
        columns = {
            **({"observation.state": _vectors(rows.state)} if len(rows.state[0]) else {}),
            "action": _vectors(rows.action),
            **{CAMERAS[slot]: pa.array([{"bytes": one} for one in jpegs]) for slot, jpegs in rows.jpegs.items()},
            **({SUCCESS: pa.array([False] * (length - 1) + [rows.success])} if self._has_outcomes else {}),
            "timestamp": pa.array((np.arange(length) / self._rate_hz).astype(np.float32)),
            "frame_index": pa.array(np.arange(length)),
            "episode_index": pa.array(np.full(length, number)),
            "index": pa.array(np.arange(first, first + length)),
            "task_index": pa.array(np.array(tasks)),
        }
        path = self._out / f"data/chunk-{number // 1000:03d}/episode_{number:06d}.parquet"
        with whole_file(path) as partial:
            pq.write_table(pa.table(columns), partial)
        said = list(dict.fromkeys(rows.instruction))
        self._episodes.append({"episode_index": number, "tasks": said, "length": length})
        self._write_lines("meta/tasks.jsonl", [{"task_index": i, "task": text} for text, i in self._tasks.items()])
        self._write_lines("meta/episodes.jsonl", self._episodes)
        write_whole(self._out / EXPORT, json.dumps(self._export(), indent=2))
        write_whole(self._out / INFO, json.dumps(self._info(), indent=2))

    @property
    def _rate_hz(self) -> float:
        return float(self._about["rate_hz"]) / self._steps

    def _write_lines(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        write_whole(self._out / name, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))

    def _export(self) -> dict[str, str]:
        """Say what the format has no word for, as our own exports do: encodings, units, grippers."""
        facts = {"embodiment": self._about["embodiment"], "kind": "robot"}
        for column in ("state", "action"):
            facts[f"{column}_encoding"] = self._about[f"{column}_encoding"] or "mixed"
            facts[note_key(column, "units")] = ",".join(self._about[f"{column}_units"]) or UNKNOWN
            facts[note_key(column)] = ",".join(map(str, self._about[f"{column}_grippers"]))
            if names := self._about[f"{column}_names"]:
                facts[note_key(column, "names")] = join_names(names)
        return facts | {camera_note(slot): CAMERAS[slot] for slot in self._sizes}

    def _info(self) -> dict[str, Any]:
        vectors = {"observation.state": "state", "action": "action"}
        features: dict[str, Any] = {
            key: _feature("float32", self._about[f"{column}_dim"], self._about[f"{column}_names"] or None)
            for key, column in vectors.items()
            if self._about[f"{column}_dim"]
        }
        for slot, size in self._sizes.items():
            features[CAMERAS[slot]] = _feature("image", [*size, 3], ["height", "width", "channels"])
        features |= {SUCCESS: _feature("bool", 1, None)} if self._has_outcomes else {}
        features["timestamp"] = _feature("float32", 1, None)
        features |= {
            name: _feature("int64", 1, None) for name in ("frame_index", "episode_index", "index", "task_index")
        }
        return {
            "codebase_version": "v2.1",
            "robot_type": self._about["embodiment"],
            "total_episodes": len(self._episodes),
            "total_frames": sum(one["length"] for one in self._episodes),
            "total_tasks": len(self._tasks),
            "total_videos": 0,
            "total_chunks": 1 + (len(self._episodes) - 1) // 1000,
            "chunks_size": 1000,
            "fps": self._rate_hz,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "video_path": None,
            "features": features,
        }


def _feature(dtype: str, shape: int | Sequence[int], names: Sequence[str] | None) -> dict[str, Any]:
    sizes = [shape] if isinstance(shape, int) else list(shape)
    return {"dtype": dtype, "shape": sizes, "names": None if names is None else list(names)}


def _vectors(vectors: Sequence[NDArray[np.float32]]) -> Any:
    import pyarrow as pa

    return pa.array([one.tolist() for one in vectors], pa.list_(pa.float32(), len(vectors[0])))
