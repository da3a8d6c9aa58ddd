"""What a LeRobot dataset calls its robot, cameras and values: as publishers do where all episodes agree, else as we do.

robot_type   as the publisher calls the robot, else the embodiment
cameras      `observation.<...>` as it was, another name below `observation.images.`, else the slot there
values       as the publisher calls them, else by the layout: `x`, `delta_x`, `left_joint_3`, `gripper`, `state_4`
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataengine.camera_names import camera_key, short_name
from dataengine.notes import ROBOT_TYPE, parsed
from dataengine.schema import CANONICAL
from dataengine.vector_layout import VectorLayout, note_key

IMAGES = "observation.images."
_FEATURE = re.compile(r"observation\.(?!state$)[\w-]+(\.[\w-]+)*")
"""Key of a camera that LeRobot datasets may have as it is."""


@dataclass(frozen=True)
class Names:
    """What publishers call things; empty where nobody says, or not all say the same."""

    robot_type: str
    cameras: Mapping[str, str]
    """Slot to feature."""
    values: Mapping[str, tuple[str, ...]]
    """Canonical vector to the names of its values."""

    @classmethod
    def of(cls, notes: str | None, slots: Iterable[str], vectors: Mapping[str, VectorLayout]) -> "Names":
        """Read what the notes of an episode (JSON) say."""
        said = parsed(notes)
        return cls(
            robot_type=said.get(ROBOT_TYPE, ""),
            cameras={slot: _feature(camera_key(slot, said)) for slot in slots},
            values={name: vectors[name].names if said.get(note_key(name, "names")) else () for name in CANONICAL},
        )

    def agreed(self, other: "Names") -> "Names":
        """Keep what both say."""
        if self == other:
            return self
        return Names(
            robot_type=self.robot_type if self.robot_type == other.robot_type else "",
            cameras={slot: key if key == other.cameras[slot] else "" for slot, key in self.cameras.items()},
            values={name: said if said == other.values[name] else () for name, said in self.values.items()},
        )

    @property
    def camera_features(self) -> dict[str, str]:
        """Give each slot's camera a feature of its own."""
        ours = {slot: f"{IMAGES}{slot}" for slot in self.cameras}
        theirs = {slot: key or ours[slot] for slot, key in self.cameras.items()}
        return theirs if len(set(theirs.values())) == len(theirs) else ours

    def value_names(self, name: str, layout: VectorLayout) -> list[str]:
        """Give each value of a canonical vector a name of its own."""
        said = self.values[name]
        names = list(said) if all(said) and said else _by_layout(name, layout)
        return names if len(set(names)) == layout.dim else [f"{name}_{i}" for i in range(layout.dim)]


def _feature(key: str) -> str:
    """Spell a publisher's camera as a feature."""
    if _FEATURE.fullmatch(key):
        return key
    plain = re.sub(r"[^\w-]+", "_", short_name(key)).strip("_")
    return f"{IMAGES}{plain}" if plain else ""


def _by_layout(name: str, layout: VectorLayout) -> list[str]:
    names = [word.replace(" ", "_") or f"{name}_{i}" for i, word in enumerate(layout.names)]
    if layout.encoding == "eef_delta":
        moves = {*layout.position, *layout.rotation}
        names = [f"delta_{word}" if i in moves and not word.startswith("d") else word for i, word in enumerate(names)]
    if layout.encoding == "joint_velocity":
        names = [word.replace("joint_", "joint_velocity_") for word in names]
    return names
