"""What publishers call the cameras that lie in slots.

A source says it in a note for each slot: `camera_primary` is `observation.images.front`. Notes of LeRobot's reader from
before say it of all slots in one, `cameras`: `primary=observation.images.front wrist=observation.images.hand`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from dataengine.episode import CAMERA_SLOTS

_ONE_OF: Final = "|".join(CAMERA_SLOTS)
_TOGETHER: Final = re.compile(rf"(?:^| )({_ONE_OF})=(.*?)(?= (?:{_ONE_OF})=|$)")
_FOLDER: Final = re.compile(r"^(?:steps/)?observations?[./](?:images?[./])?")
"""What publishers' keys begin with, and people do not say."""


def camera_note(slot: str) -> str:
    """Name the note in which a source says what its publisher calls a camera."""
    return f"camera_{slot}"


CAMERA_NOTES: Final = frozenset(("cameras", *map(camera_note, CAMERA_SLOTS)))
"""Names of all of them."""


def camera_notes(names: Mapping[str, str], slots: Iterable[str]) -> dict[str, str]:
    """Say in notes what the cameras in some slots are called."""
    return {camera_note(slot): names[slot] for slot in slots}


def camera_key(slot: str, notes: Mapping[str, str]) -> str:
    """Give a camera's name as its publisher spells it; empty where nobody says."""
    return notes.get(camera_note(slot)) or dict(_TOGETHER.findall(notes.get("cameras", ""))).get(slot, "")


def camera_name(slot: str, notes: Mapping[str, str]) -> str:
    """Name a camera as people call it, `front`; by its slot where nobody says."""
    return short_name(camera_key(slot, notes)) or slot


def camera_title(slot: str, notes: Mapping[str, str]) -> str:
    """Name a camera, and its slot where that is another word: `front (primary)`."""
    name = camera_name(slot, notes)
    return slot if name == slot else f"{name} ({slot})"


def short_name(key: str) -> str:
    """Leave out what all keys of a publisher begin with."""
    return _FOLDER.sub("", key) or key
