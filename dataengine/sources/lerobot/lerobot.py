"""LeRobot datasets v2.0, v2.1 and v3.0 of any robot: parquet files and mp4, on a disk or in a hub cache.

state            observation.state (or `state`), or the columns of --state        -> state, as published
action           action (or `actions`), or the columns of --action                -> action, as published
  spread over    observation.state.left_arm, actions.effector.position ...        -> together, by `_lerobot_columns`
observation.*    every other column of numbers, behind the state                  -> raw_state; action.* -> raw_action
cameras          by their names, or --camera; four at most, depth is left out     -> primary, secondary, wrist, wrist_2
task_index, language_*, annotation.*  (`texts.py`)                       -> texts, at the frames that say them
timestamp        k / fps, or what it says instead; source.time_ns of our exports  -> time_ns

The format does not say what numbers mean, nor their units (so100 has degrees in v2, -100 to 100 in v3): nothing is
converted, and units are noted as unknown unless names end in one (`x_mm`). Encodings go by the names of the values
(`meaning.py`) and --state-encoding, --action-encoding; where names say nothing they are `mixed`, and the note
`doubt` says so. Datasets of `villa export lerobot` tell their encodings and units, the kind and the licence of their
episodes, and the notes that everybody must know. The embodiment is called after robot_type and its layout,
`so100_joint6`, because statistics are kept by embodiment; --embodiment gives it another name.
Episodes of which frames, rows or files lack are rejected. Files that no episode names are not read.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from dataengine.camera_names import camera_note
from dataengine.episode import CAMERA_SLOTS, Episode, Kind, Part, Reject, spelt
from dataengine.errors import SourceError
from dataengine.formats import files, json_file
from dataengine.formats.lerobot import lerobot
from dataengine.formats.lerobot.entries import EpisodeEntry, read_entries
from dataengine.formats.lerobot.lerobot import Info
from dataengine.framing import Fit, Framing
from dataengine.sources._parts import episode_or_reject, grouped
from dataengine.sources.lerobot import meaning
from dataengine.sources.lerobot.reader import LerobotReader, Reading
from dataengine.sources.lerobot.texts import TextColumns
from dataengine.vector_layout import What, join_names, note_key

AnyEncoding = Literal[
    "auto", "eef_pose", "eef_delta", "eef_velocity", "joint_position", "joint_delta", "joint_velocity", "mixed"
]
NAMED = "{robot}_{layout}"
_WHATS: tuple[What, ...] = ("grippers", "names", "units")
HEAD_BYTES = 2**16
LICENCE = re.compile(r"^license:\s*['\"]?([\w.+-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Lerobot:
    """One dataset of one robot; a part is a run of episodes."""

    root: str
    """The folder that holds `meta`, or a hub cache's `datasets--<org>--<name>`."""
    _: KW_ONLY
    frame_size: int = 256
    fit: Fit = "squash"
    frame_hz: float = 10.0
    """Of no effect: robot episodes keep every step."""
    dataset: Annotated[str, "Name in the corpus; {name} is that of the folder."] = "lerobot/{name}"
    embodiment: Annotated[str, "Name of the embodiment; {robot} is robot_type."] = NAMED
    state: Annotated[str, "Columns that are the state, `observation.state[0:7],observation.gripper`."] = ""
    action: Annotated[str, "Columns that are the action."] = ""
    state_encoding: Annotated[AnyEncoding, "What the state is, where its names do not say."] = "auto"
    action_encoding: Annotated[AnyEncoding, "What the action is, where its names do not say."] = "auto"
    camera: Annotated[str, "Cameras for slots, `primary=observation.images.top,wrist=...`."] = ""

    name: ClassVar[str] = "lerobot"
    kind: ClassVar[Kind] = "robot"
    other_embodiments: ClassVar[tuple[str, ...]] = ()
    control_hz: ClassVar[float] = 30.0
    """Of most of them; `fps` of info.json counts."""
    layout: ClassVar[str] = "LeRobot v2.0, v2.1, v3.0 (parquet, mp4)"
    licence: ClassVar[str] = "as its README says"

    def __post_init__(self) -> None:
        """Take from the dataset what other sources know by themselves; raise SourceError when it is none."""
        info = lerobot.read_info(lerobot.find_root(self.root))
        folder = _folder_name(info.root)
        robot = meaning.plain_name(info.robot_type)
        if robot in ("", "unknown"):
            robot = meaning.plain_name(folder)
        state, action = self._vectors(info)
        self._cameras(info)  # a wrong choice must stop the command, not cost every part
        names = {"name": folder, "robot": robot, "layout": meaning.layout(state, action)}
        said = lerobot.read_export(info.root)
        exported = said.get("embodiment", "")
        embodiment = exported if exported and self.embodiment == NAMED else self.embodiment
        about = {
            "name": _filled(self.dataset, names),
            "embodiment": _filled(embodiment, names),
            "kind": "human" if said.get("kind") == "human" else "robot",
            "control_hz": info.rate_hz,
            "layout": f"LeRobot {info.version}",
            "licence": _licence(info.root),
        }
        for key, value in about.items():
            object.__setattr__(self, key, value)  # a frozen dataclass has no other way

    def parts(self) -> list[Part]:
        """Group episodes by the bytes of their rows and frames; no data file and no video is opened."""
        info = lerobot.read_info(lerobot.find_root(self.root))
        entries = read_entries(info)
        marks = _shared_marks(info)
        parts = []
        for batch, num_bytes in grouped(enumerate(_sizes(info.root, entries))):
            members = entries[batch[0] : batch[-1] + 1]
            parts.append(
                Part(
                    dataset=self.name,
                    name=f"episodes/{members[0].record}",
                    uri=str(info.root),
                    num_bytes=num_bytes,
                    fingerprint=_fingerprint(info, marks, members),
                    options={"first": str(batch[0]), "stop": str(batch[-1] + 1)},
                )
            )
        if not parts:
            raise SourceError(f"{info.root}: lists no episodes; is its recording finished?")
        return parts

    def fingerprint(self, part: Part) -> str:
        """Look at a part's files and metadata as they are now."""
        info = lerobot.read_info(lerobot.find_root(self.root))
        members = read_entries(info)[int(part.options["first"]) : int(part.options["stop"])]
        return _fingerprint(info, _shared_marks(info), members)

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Yield the part's episodes in order of their numbers; a file that several share is decoded once."""
        info = lerobot.read_info(lerobot.find_root(self.root))
        state, action = self._vectors(info)
        slots, left_out = self._cameras(info)
        reading = Reading(
            dataset=self.name,
            embodiment=self.embodiment,
            kind=self.kind,
            licence=self.licence,
            framing=Framing(self.frame_size, self.fit),
            state=state,
            action=action,
            layout=self._layout(info, state, action),
            cameras=slots,
            left_out=left_out,
            robot_type=info.robot_type,
        )
        with closing(LerobotReader(info, reading)) as reader:
            for entry in read_entries(info)[int(part.options["first"]) : int(part.options["stop"])]:
                uri = str(info.root / entry.data_file) if entry.data_file else part.uri
                yield episode_or_reject(part, entry.record, uri, reader.episode, entry)

    def _cameras(self, info: Info) -> tuple[dict[str, str], list[str]]:
        """Choose the cameras of the slots, and list those left out."""
        said = lerobot.read_export(info.root)
        exported = {slot: key for slot in CAMERA_SLOTS if (key := said.get(camera_note(slot)))}
        return meaning.cameras(info.features, self.camera, str(info.root / lerobot.INFO), exported)

    def _vectors(self, info: Info) -> tuple[meaning.Vector, meaning.Vector]:
        """Choose state and action."""
        path, said = str(info.root / lerobot.INFO), dict[str, str](lerobot.read_export(info.root))
        for what, option, columns in (
            ("state", self.state_encoding, self.state),
            ("action", self.action_encoding, self.action),
        ):
            if option != "auto" or columns:  # what our export says is about its own columns
                said[f"{what}_encoding"] = option
        return (
            meaning.state(info.features, self.state, said.get("state_encoding", "auto"), path),
            meaning.action(info.features, self.action, said.get("action_encoding", "auto"), path),
        )

    def _layout(self, info: Info, state: meaning.Vector, action: meaning.Vector) -> dict[str, str]:
        """Say what the values are: what names tell, of units mostly nothing, or what our export says of its columns."""
        said, notes = lerobot.read_export(info.root), dict[str, str]()
        for column, vector, chosen in (("state", state, self.state), ("action", action, self.action)):
            keys = {what: note_key(column, what) for what in _WHATS}
            if vector.width:
                ours = bool(said) and not chosen  # names that are not the publisher's are those of the layout
                texts: dict[What, str | None] = {
                    "grippers": vector.grippers,
                    "names": None if ours else join_names(vector.value_names) or None,
                    "units": vector.units,
                }
                notes |= {keys[what]: text for what, text in texts.items() if text is not None}
                notes |= {key: said[key] for key in keys.values() if key in said and not chosen}
        return notes


def _shared_marks(info: Info) -> list[str]:
    """Give what all episodes hang on: what info.json declares, the tasks, and what is said beside them."""
    columns = TextColumns.of(info)
    declared = files.read_bytes(info.root / lerobot.INFO, json_file.MAX_BYTES).decode().replace("\r\n", "\n")
    return [declared, json.dumps(columns.tasks, sort_keys=True), *([columns.own] if columns.own else [])]


def _fingerprint(info: Info, marks: Sequence[str], members: Sequence[EpisodeEntry]) -> str:
    names = dict.fromkeys(name for entry in members for name in _files(entry))
    return files.fingerprint_of_sizes([info.root / name for name in names], *marks, *map(str, members))


def _files(entry: EpisodeEntry) -> list[str]:
    """List the files that an episode's rows and frames lie in, below the root."""
    return [name for name in (entry.data_file, *(span.file for span in entry.videos.values())) if name]


def _sizes(root: Path, entries: Sequence[EpisodeEntry]) -> Iterator[int]:
    """Share out the bytes of each file among the episodes in it by their lengths."""
    frames: Counter[str] = Counter()
    for entry in entries:
        frames.update(dict.fromkeys(_files(entry), entry.length))
    per_frame = {name: _size(root / name) / max(count, 1) for name, count in frames.items()}
    for entry in entries:
        yield round(sum(per_frame[name] * entry.length for name in _files(entry)))


def _size(path: Path) -> int:
    return files.size(path) or 0


def _folder_name(root: Path) -> str:
    """Name a dataset after its folder; in a hub cache after organisation and repository."""
    path = root.resolve()
    if path.parent.name == "snapshots":
        return spelt(path.parent.parent.name.removeprefix("datasets--").replace("--", "/"))
    return spelt(path.name)


def _licence(root: Path) -> str:
    """Read the licence off the head of the dataset's card."""
    card = root / "README.md"
    if not card.is_file():
        return "unknown"
    with card.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8", "replace").split("\n---", 1)[0]
    match = LICENCE.search(head)
    return match[1] if match else "unknown"


def _filled(template: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        template = template.replace(f"{{{name}}}", value)
    return template
