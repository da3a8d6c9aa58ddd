"""A first mapping for `openx/auto`, guessed from features.json; what cannot be guessed is left to the user.

Units, rates and the sense of a gripper are not in features.json, and a wrong guess would be a wrong corpus: only what
names, sizes and the publisher's own words say is filled in, and each line shows them.
"""

import re
from math import prod
from typing import NamedTuple, get_args

from dataengine.episode import Encoding
from dataengine.formats import features, rlds
from dataengine.sources.openx._mapping import CONVERSIONS, FILL_IN

TEXT_WORDS = ("instruction", "language", "task", "goal", "caption", "text")
STANDARD = re.compile(r"(^|/)(reward|discount|is_first|is_last|is_terminal)$")
NO_VECTOR = re.compile(r"embedding|(^|/)timestamp\w*$")
WIDEST = 64
"""Wider vectors are embeddings or point clouds, not what a robot feels."""
ABOUT = 100
"""Letters of the publisher's description that are shown."""


class StepFeature(NamedTuple):
    """A feature below `steps`."""

    key: str
    leaf: features.Leaf

    @property
    def width(self) -> int:
        """Numbers of a step."""
        return prod(size or 0 for size in self.leaf.shape)

    @property
    def text(self) -> str:
        """Name and description, to look for hints in."""
        return f"{self.key} {self.leaf.about}".lower()

    @property
    def shown(self) -> str:
        """What features.json says, for a comment."""
        size = self.leaf.pixels if self.leaf.kind == "image" else self.leaf.shape
        shape = "x".join("?" if side is None else str(side) for side in size)
        about = " ".join(self.leaf.about.split())[:ABOUT]
        return " ".join(word for word in (self.leaf.dtype, shape, f'"{about}"' if about else "") if word)


def propose(root: str) -> str:
    """Write the YAML; raise SourceError when `root` is no TFDS folder."""
    schema, name = rlds.schema(root), rlds.name(root)
    steps = [
        StepFeature(key.removeprefix("steps/"), leaf)
        for key, leaf, levels in features.leaves(schema)
        if key.startswith("steps/") and len(levels) == 1 and not STANDARD.search(key)
    ]
    beside = [
        StepFeature(key, leaf)
        for key, leaf, levels in features.leaves(schema)
        if not levels and not key.startswith("steps/")
    ]
    text_features = [  # one at a step or beside them, or a list of several
        (key.startswith("steps/"), StepFeature(key.removeprefix("steps/"), leaf))
        for key, leaf, levels in features.leaves(schema)
        if leaf.kind == "text" and len(levels) <= 1 + key.startswith("steps/")
    ]
    texts = [f for at_steps, f in text_features if at_steps and any(word in f.text for word in TEXT_WORDS)]
    spoken = texts or [
        f for at_steps, f in text_features if not at_steps and any(word in f.key for word in TEXT_WORDS[:3])
    ]
    numbers = [f for f in steps if f.leaf.kind == "number" and not NO_VECTOR.search(f.key) and 0 < f.width <= WIDEST]
    states = [f for f in numbers if f.key.startswith("observation/")]
    actions = [f for f in numbers if f.key.startswith("action")]
    lines = [
        f"# Proposed for openx/auto from the features.json of '{name}'. Each {FILL_IN} is yours to replace, and the",
        "# rest yours to check against what the publisher says. Then:",
        f"#   villa ingest openx/auto {root} --mapping THIS_FILE --corpus URI",
        f"name: {_plain(name)}  # the dataset becomes openx/{_plain(name)}",
        f"embodiment: {FILL_IN}  # embodiment and layout; a plain name (franka, widowx) is for poses and deltas of 7",
        f"control_hz: {FILL_IN}  # steps in a second",
        "licence: see publisher",
        *_cameras(steps),
        f"instruction: [{', '.join(f.key for f in spoken)}]",
        *_vector("state", states),
        *_vector("action", actions),
        "first_step: 0  # steps to leave out at the start of every episode",
        "# success: {key: episode_metadata/success, at_least: 1}  # leaves out failures; of a text: contains: word",
    ]
    said = " ".join(lines)
    if unused := [
        f"{f.key} ({f.shown})"
        for f in dict.fromkeys((*steps, *beside, *(f for _, f in text_features)))
        if f.key not in said
    ]:
        lines += ["# Not used:", *(f"#   {line}" for line in unused)]
    return "\n".join([*lines, *_legend()]) + "\n"


def _cameras(steps: list[StepFeature]) -> list[str]:
    """Give the slots to colour images, by what their names say and else the largest first."""
    images = [
        f
        for f in steps
        if f.leaf.kind == "image"
        and f.key.startswith("observation/")
        and f.leaf.dtype == "uint8"
        and f.leaf.pixels[-1:] != (1,)
        and "depth" not in f.key
    ]
    on_hand = [f for f in images if re.search(r"wrist|hand|gripper|finger", f.text)]
    fixed = sorted((f for f in images if f not in on_hand), key=lambda f: -prod(side or 0 for side in f.leaf.pixels))
    slots = dict(zip(("primary", "secondary"), fixed, strict=False))
    slots |= dict(zip(("wrist", "wrist_2"), on_hand, strict=False))
    lines = [f"  {slot}: {f.key}  # {f.shown}" for slot, f in slots.items()]
    head = "cameras:  # where red and blue are swapped: {key: observation/image, bgr: true}"
    return [head, *(lines or [f"  primary: {FILL_IN}  # found no colour image below observation"])]


def _vector(name: str, candidates: list[StepFeature]) -> list[str]:
    """Guess which features make up the state or the action, and where their rotation and gripper are."""
    if not candidates:
        return [] if name == "state" else [f"action_encoding: {FILL_IN}", f"action: {FILL_IN}  # found no key 'action'"]
    chosen = _parts(candidates) or [max(candidates, key=_likely)]
    main = chosen[0]
    gripper = next((f for f in candidates if "gripper" in f.key and f.width == 1 and f not in chosen), None)
    items, is_pose = [], len(chosen) > 1
    if is_pose:
        items = [
            _item(f, ":", "gripper" if f.width == 1 and i else _rotation(f) if i else "") for i, f in enumerate(chosen)
        ]
    else:
        items, is_pose, has_gripper = _split(main, gripper is not None)
        if not has_gripper and gripper is not None:
            items.append(_item(gripper, ":", "gripper"))
    encodings = ", ".join(word for word in get_args(Encoding) if word not in ("none", "mixed"))
    lines = [f"{name}_encoding: {_encoding(name, main, is_pose)}  # one of {encodings}", f"{name}:", *items]
    raw = ", ".join(f.key for f in candidates)
    return [*lines, f"raw_{name}: [{raw}]  # kept beside it, untouched"]


def _parts(candidates: list[StepFeature]) -> list[StepFeature]:
    """Find translation, rotation and gripper where they are features of their own."""
    position = next(
        (
            f
            for f in candidates
            if f.width == 3 and re.search(r"world_vector|position|translation|xyz|(^|[/_])pos$", f.key)
        ),
        None,
    )
    turn = next((f for f in candidates if f.width in (3, 4) and re.search(r"rot|euler|orientation|quat", f.key)), None)
    grip = next((f for f in candidates if f.width == 1 and "gripper" in f.key), None)
    return [f for f in (position, turn, grip) if f is not None] if position and turn else []


def _likely(f: StepFeature) -> tuple[bool, bool, bool, int]:
    """Rank features as the one that holds the whole vector."""
    last = f.key.rpartition("/")[2]
    pose = re.search(r"pose|eef|tcp|cartesian|end_effector", last) is not None
    return last in ("state", "proprio", "action"), pose, "joint" in last, f.width


def _split(f: StepFeature, gripper_beside: bool) -> tuple[list[str], bool, bool]:
    """Divide one vector into position, rotation and gripper; tell also if it is a pose and has a gripper."""
    joints = "joint" in f.text and not re.search(r"eef|end.?effector|cartesian|euler|quat", f.text)
    if joints and f.width in (7, 8) and "gripper" in f.text:
        return [_item(f, f":{f.width - 1}", ""), _item(f, str(f.width - 1), "gripper")], False, True
    if joints or f.width not in (6, 7, 8):
        return [_item(f, ":", "")], False, False
    end = 7 if f.width == 8 or (f.width == 7 and (gripper_beside or "quat" in f.text)) else 6
    items = [_item(f, "0:3", ""), _item(f, f"3:{end}", _rotation(f) if end == 6 else "quaternion")]
    return [*items, *([_item(f, str(end), "gripper")] if f.width > end else [])], True, f.width > end


def _rotation(f: StepFeature) -> str:
    return "quaternion" if f.width == 4 else "rotation"


def _item(f: StepFeature, columns: str, part: str) -> str:
    """Write one item; a rotation's order and a gripper's sense are never in features.json."""
    convert, hint = {
        "": ("none", ""),
        "rotation": (FILL_IN, "; euler (roll pitch yaw), euler_zyx ..., axis_angle"),
        "quaternion": (FILL_IN, "; quaternion_xyzw or quaternion_wxyz"),
        "gripper": (FILL_IN, "; a gripper rule"),
    }[part]
    return f'  - {{key: {f.key}, columns: "{columns}", convert: {convert}}}  # {f.shown}{hint}'


def _encoding(name: str, f: StepFeature, is_pose: bool) -> str:
    """Guess an encoding from words that leave no doubt; loaders in the field read poses as deltas."""
    if "velocit" in f.text:
        return "eef_velocity" if is_pose else FILL_IN
    if name == "action":
        return "eef_delta" if is_pose and "delta" in f.text else FILL_IN
    if is_pose:
        return "eef_pose" if re.search(r"eef|ee_|effector|pose|cartesian|tcp", f.text) else FILL_IN
    return "joint_position" if "joint" in f.text else FILL_IN


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _legend() -> list[str]:
    """List the conversions, so that nobody has to look them up."""
    lines = [f"#   {name}: {way.about}" for name, way in CONVERSIONS.items() if not name.startswith("euler_")]
    axes = (
        "#   euler_zyx: about fixed axes in this order; euler_ZYX: about axes that turn along; any other order likewise"
    )
    return [
        "# What `convert` may be (`scale: 0.001` multiplies before it; the canonical gripper is 0 closed to 1 open):",
        *lines[:4],
        axes,
        *lines[4:],
        "# `names: [shoulder, elbow]` beside it says what the values that come out are called.",
    ]
