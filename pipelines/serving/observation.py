"""What a client sent, checked: a Request is whole and sound, or there is one line that says what is wrong.

Nested maps are named as openpi names flat ones: `{"images": {"wrist": ...}}` has `images/wrist`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.chunks import Executing
from pipelines.serving import wire
from pipelines.serving.wire import WireError

NAMES: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "image": (
        ("image",),
        ("observation/image",),
        ("observation/exterior_image_1_left",),
        ("images/primary",),
        ("images/agentview",),
    ),
    "wrist": (
        ("wrist",),
        ("observation/wrist_image",),
        ("observation/wrist_image_left",),
        ("images/wrist",),
    ),
    "state": (
        ("state",),
        ("observation/state",),
        ("states",),
        ("observation/joint_position", "observation/gripper_position"),
    ),
    "instruction": (("prompt",), ("instruction",), ("task_description",)),
    "embodiment": (("embodiment",),),
}
"""What clients of openpi (LIBERO, DROID) and vla-eval call the parts of an observation; the first that is there."""
MAX_LETTERS: Final = 10_000
"""Of an instruction."""
MAX_DEPTH: Final = 4


@dataclass(frozen=True, kw_only=True)
class Request:
    """One observation, ready for a policy: pictures are RGB uint8 (height, width, 3), the state canonical."""

    image: NDArray[np.uint8]
    wrist: NDArray[np.uint8] | None
    state: NDArray[np.float32]
    embodiment: str
    instruction: str
    continuation: Executing | None = None
    guided: bool = False
    """Whether the continuation has to be guided, since training did not prepare for its delay."""
    wants_plan: bool = False
    wants_frames: bool = False
    warning: str = ""
    """What a client should know of an observation that is answered all the same."""
    step: int = 0
    """Control steps that the episode has had, as far as the server knows."""


@dataclass(frozen=True)
class Reply:
    """What a policy says to one request."""

    actions: NDArray[np.float32]
    """(h, a) canonical, house units."""
    latents: NDArray[np.float32] | None = None
    """(n, k, d)"""
    frames: tuple[bytes, ...] = ()
    """JPEGs of what the plan leads to, in order."""
    delay: int | None = None
    """Steps of the chunk before that the actions continue (real-time chunking); None where they continue none."""

    def more(self, request: Request) -> dict[str, Any]:
        """Give what a client asked for beside actions, and what it should know, as plain values and bytes."""
        wanted: dict[str, Any] = {}
        if self.latents is not None and request.wants_plan:
            wanted["plan"] = {"data": self.latents.tobytes(), "dtype": "<f4", "shape": list(self.latents.shape)}
        if self.frames:
            wanted["frames"] = list(self.frames)
        if request.warning:
            wanted["warning"] = request.warning
        if self.delay is not None:
            wanted["rtc"] = {"inference_delay": self.delay}
        return wanted


@dataclass(frozen=True)
class Names:
    """Finds the parts of an observation by what clients call them."""

    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names that take the place of the usual ones."""

    def find(self, seen: Mapping[str, Any], part: str) -> Sequence[Any]:
        """Give the values of a part of an observation; none where it is absent."""
        for names in self._of(part):
            if all(name in seen for name in names):
                return [seen[name] for name in names]
        return ()

    def said(self, part: str) -> str:
        """List how a part may be called."""
        return " or ".join("+".join(f"'{name}'" for name in names) for names in self._of(part))

    def _of(self, part: str) -> Sequence[Sequence[str]]:
        return (self.keys[part],) if part in self.keys else NAMES[part]


def flat(seen: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """Name what lies in nested maps by the path to it."""
    return dict(_flat(seen, "", depth))


def _flat(seen: Mapping[Any, Any], above: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > MAX_DEPTH:
        raise WireError(f"observation is nested more than {MAX_DEPTH} deep")
    for key, value in seen.items():
        name = f"{above}{key!s}"
        if isinstance(value, Mapping) and name != "rtc":
            yield from _flat(value, f"{name}/", depth + 1)
        else:
            yield name, value


def image(seen: Mapping[str, Any], names: Names, part: str) -> NDArray[np.uint8] | None:
    """Give a camera's picture, None where it is absent."""
    pictures = names.find(seen, part)
    return wire.picture(pictures[0], part) if pictures else None


def state(seen: Mapping[str, Any], names: Names) -> NDArray[np.float32] | None:
    """Give the state (s,), parts of it joined; None where it is absent."""
    vectors = names.find(seen, "state")
    return np.concatenate([_numbers(one, "state", 1) for one in vectors]) if vectors else None


def instruction(seen: Mapping[str, Any], names: Names) -> str:
    """Give what the robot is asked to do."""
    texts = names.find(seen, "instruction")
    if not texts:
        raise WireError(f"observation has no instruction, expected text in {names.said('instruction')}")
    text = texts[0]
    if isinstance(text, list) and len(text) == 1:
        text = text[0]
    if not isinstance(text, str):
        raise WireError(f"instruction is a {type(text).__name__}, expected text")
    if not text.strip():
        raise WireError("instruction is empty, expected what the robot should do, such as 'close the window'")
    if len(text) > MAX_LETTERS:
        raise WireError(f"instruction has {len(text)} letters, expected at most {MAX_LETTERS}")
    return text


def continuation(seen: Mapping[str, Any], dim: int, horizon: int) -> Executing | None:
    """Give the rest of the chunk that is being executed, where a client says so: `rtc`."""
    rtc = seen.get("rtc")
    if rtc is None:
        return None
    if not isinstance(rtc, Mapping) or not {"inference_delay", "prev_actions"} <= rtc.keys():
        raise WireError("'rtc' is to be a map of 'inference_delay' and 'prev_actions'")
    delay, actions = rtc["inference_delay"], _numbers(rtc["prev_actions"], "rtc/prev_actions", 2)
    if type(delay) is not int or delay < 0:
        raise WireError(f"'rtc/inference_delay' is {delay!r:.40}, expected a whole number of steps from 0 on")
    if actions.shape[1] != dim:
        raise WireError(f"'rtc/prev_actions' has shape {actions.shape}, expected (steps, {dim})")
    if delay > min(len(actions), horizon):
        raise WireError(
            f"'rtc/inference_delay' is {delay} steps, 'rtc/prev_actions' has {len(actions)} and a chunk {horizon}: "
            f"the robot would run out of actions"
        )
    return Executing(delay, actions[:horizon])


def _numbers(value: Any, name: str, ndim: int) -> NDArray[np.float32]:
    """Take finite numbers; a single one is an array of one where an array of one axis is wanted."""
    if isinstance(value, wire.EncodedImage | str | bytes | Mapping) or value is None:
        raise WireError(f"'{name}' is a {type(value).__name__}, expected numbers")
    # Before numpy makes anything of a list: a long text beside many short ones would take gigabytes.
    if isinstance(value, list) and (other := _other_than_number(value)):
        raise WireError(f"'{name}' is a list that holds a {other}, expected numbers")
    try:
        values = np.asarray(value)
    except ValueError:
        raise WireError(f"'{name}' is a list of parts of several lengths, expected numbers") from None
    if values.dtype.kind not in wire.KINDS:
        raise WireError(f"'{name}' has type {values.dtype}, expected numbers")
    if ndim == 1 and values.ndim == 0:
        values = values[None]
    if values.ndim != ndim:
        raise WireError(f"'{name}' has shape {values.shape}, expected {ndim} axes")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise WireError(f"'{name}' is not finite at {where if ndim > 1 else where[0]}, expected numbers")
    return values


def _other_than_number(values: list[Any]) -> str:
    """Name the type of the first value in nested lists that is no number, empty where all are."""
    waiting = [values]
    while waiting:
        for one in waiting.pop():
            if isinstance(one, list):
                waiting.append(one)
            elif not isinstance(one, (int, float, np.ndarray)):
                return type(one).__name__
    return ""


def flag(seen: Mapping[str, Any], key: str) -> bool:
    """Tell whether a client sets a flag, such as `reset` or `plan`: true or 1, of numpy's types, too."""
    value = seen.get(key)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if value is None:
        return False
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise WireError(f"'{key}' is {value!r:.40}, expected true or false")
    return bool(value)
