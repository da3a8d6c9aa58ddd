"""What a policy expects of a robot and what a simulator offers, derived on both sides; whatever differs is refused.

The policy's side is what its checkpoint (or its server's metadata) says of the robot in a dataset. The simulator's side
follows from the source that reads its recordings, which turns numbers of the simulator into canonical ones, and from
the simulator itself at a start. What neither says, such as a picture upside down, is for `villa eval calibrate`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine import catalog
from dataengine.errors import DataEngineError
from dataengine.sources.openx._rlds import RldsSource
from dataengine.vector_layout import FACTORS, VectorLayout, layout_of
from dataengine.windows.stats import EmbodimentStatistics, Statistics
from pipelines.evaluation.calibrate.config import RATE_TOLERANCE
from pipelines.evaluation.config import Mismatched
from pipelines.evaluation.simulators._base import Observation, Simulator, action_dim
from pipelines.training.act.stated import stated

SPEED = 1.5
"""A policy whose common actions are so much larger than what the simulator can do has another scale."""
CRAWL = 0.01
"""So has one whose common actions are so small a share of it."""
LEAST_WIDTH = 0.2
"""Metres, radians: so far may a start lie outside of a range that is narrower, of data that hardly vary."""


@dataclass(frozen=True)
class Vector:
    """A state or an action."""

    dim: int
    encoding: str = ""
    units: tuple[str, ...] = ()
    grippers: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    """(d,) the 1 % quantile in training."""
    high: tuple[float, ...] = ()

    @classmethod
    def of_statistics(cls, one: Statistics) -> "Vector":
        """Take it from what a policy was normalised by."""
        low, high = (tuple(map(float, quantile)) for quantile in (one.q01, one.q99))
        return cls(one.dim, one.encoding, tuple(one.units), tuple(one.grippers), low, high)

    @classmethod
    def of_metadata(cls, facts: Mapping[str, Any], column: str) -> "Vector":
        """Take it from what a server says."""
        texts, indices = facts.get(f"{column}_units") or (), facts.get(f"{column}_grippers") or ()
        low, high = (tuple(map(float, facts.get(f"{column}_{end}") or ())) for end in ("low", "high"))
        encoding = str(facts.get(f"{column}_encoding") or "")
        return cls(int(facts.get(f"{column}_dim") or 0), encoding, tuple(texts), tuple(indices), low, high)


@dataclass(frozen=True)
class Expectation:
    """What a policy was trained on."""

    policy: str
    dataset: str
    rate_hz: float
    state: Vector
    action: Vector
    cameras: frozenset[str] | None
    """Slots that it reads and saw in this dataset; None where its checkpoint is older than that note."""


@dataclass(frozen=True)
class Mismatch:
    """Something that differs, and what to do about it."""

    kind: Mismatched
    said: str


def expected_by(policy: str, embodiment: str, dataset: str) -> Expectation:
    """Read what a checkpoint expects of a robot in a dataset."""
    path, about = stated(policy)
    numbers = about.get("statistics")
    one = numbers.get(embodiment) if isinstance(numbers, dict) else None
    if not isinstance(one, dict):
        raise DataEngineError(
            f"{path}: its checkpoint has no statistics of '{embodiment}', without which its actions have no scale; "
            f"copy it again"
        )
    known = EmbodimentStatistics.from_json(one)
    known = known.by_dataset.get(dataset, known)
    body = about["bodies"][embodiment]
    apart = body.get("datasets", {}).get(dataset, {})
    facts = {**body, **apart} if isinstance(apart, dict) else body
    rate_hz, cameras = facts.get("control_hz"), facts.get("cameras")
    if not isinstance(rate_hz, int | float):
        raise DataEngineError(f"{path}: its checkpoint does not say the control rate of '{embodiment}'; copy it again")
    return Expectation(
        policy,
        dataset,
        float(rate_hz),
        Vector.of_statistics(known.state),
        Vector.of_statistics(known.action),
        None if cameras is None else frozenset(cameras) & _read(about),
    )


def expected_by_server(url: str, metadata: Mapping[str, Any], embodiment: str) -> Expectation:
    """Read what a server says that its policy expects of a robot."""
    robots = metadata.get("embodiments")
    facts = robots.get(embodiment) if isinstance(robots, Mapping) else None
    if not isinstance(facts, Mapping):
        known = ", ".join(robots) if isinstance(robots, Mapping) else "none that it names"
        raise DataEngineError(f"{url}: serves {known}, expected '{embodiment}'; serve a policy that knows this robot")
    slots = {"image": "primary"}
    cameras = frozenset(slots.get(name, name) for name in metadata.get("cameras") or ())
    return Expectation(
        url,
        str(facts.get("dataset") or ""),
        float(facts.get("rate_hz") or 0),
        Vector.of_metadata(facts, "state"),
        Vector.of_metadata(facts, "action"),
        cameras or None,
    )


def _read(about: Mapping[str, Any]) -> frozenset[str]:
    """Name the cameras that a model reads."""
    model = about["config"]
    return frozenset(["primary", *(["wrist"] if model.get("wrist") else []), *(model.get("more_cameras") or ())])


def offered_by(simulator: type[Simulator]) -> tuple[Vector | None, Vector | None]:
    """Derive what a simulator's states and actions are from the source that reads its recordings.

    Vectors of sources that depend on a mapping or on files are not known; the simulator may say their encodings.
    """
    try:
        source = catalog.source(simulator.source)
    except (DataEngineError, ValueError):
        source = None
    if isinstance(source, type) and issubclass(source, RldsSource) and getattr(source, "keys", None):
        motion = source("").convert(_nothing(source.keys))
        sides = (("state", motion.state, motion.state_encoding), ("action", motion.action, motion.action_encoding))
        return tuple(  # type: ignore[return-value]
            None if values is None else _vector(layout_of(column, encoding, values.shape[1], motion.notes))
            for column, values, encoding in sides
        )
    encodings = [getattr(simulator, f"{column}_encoding", "") for column in ("state", "action")]
    state, action = (Vector(0, encoding) if encoding else None for encoding in encodings)
    return state, action


def _vector(layout: VectorLayout) -> Vector:
    return Vector(layout.dim, layout.encoding, layout.units, layout.grippers)


def _nothing(keys: Mapping[str, int]) -> dict[str, Any]:
    """Make a step of zeros in the publisher's own layout."""
    steps: dict[str, Any] = {}
    for key, width in keys.items():
        *folders, leaf = key.split("/")
        inside = steps
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[leaf] = np.zeros((1, width), np.float32)
    return steps


def stated_mismatches(expected: Expectation, simulator: type[Simulator]) -> Iterator[Mismatch]:
    """Compare what both sides say, before anything is played."""
    rate_hz = simulator.control_hz
    if expected.rate_hz and abs(expected.rate_hz / rate_hz - 1) > RATE_TOLERANCE:
        yield Mismatch(
            "rate",
            f"{expected.dataset or 'the policy'} has {expected.rate_hz:g} actions in a second, {simulator.name} "
            f"{rate_hz:g}: a chunk takes another time here; --acts-as names a dataset of this rate",
        )
    for column, mine, other in zip(
        ("state", "action"), (expected.state, expected.action), offered_by(simulator), strict=True
    ):
        if other is not None and mine.dim:
            yield from _vectors(column, mine, other, simulator)


def _vectors(column: str, mine: Vector, other: Vector, simulator: type[Simulator]) -> Iterator[Mismatch]:
    """Compare a state or an action as the policy knows it with the simulator's."""
    advice = "train on its recordings, or name a dataset that is like them by --acts-as"
    if mine.encoding and mine.encoding != other.encoding:
        yield Mismatch(
            "encoding",
            f"the policy's {column} is {mine.encoding}, also in its statistics; that of {simulator.name} is "
            f"{other.encoding}: {advice}",
        )
        return
    if other.dim and mine.dim != other.dim:
        yield Mismatch(
            "size", f"the policy's {column} has {mine.dim} numbers, that of {simulator.name} {other.dim}: {advice}"
        )
        return
    if mine.units and other.units:
        differ = [i for i, (a, b) in enumerate(zip(mine.units, other.units, strict=True)) if _differ(a, b)]
        if differ:
            i = differ[0]
            yield Mismatch(
                "units",
                f"value {i} of the policy's {column} is in {mine.units[i]}, that of {simulator.name} in "
                f"{other.units[i]}: {advice}",
            )
    usual = VectorLayout.of(other.encoding, mine.dim).grippers  # where a simulator says no more than its encoding
    grippers = other.grippers if other.dim else usual
    if mine.encoding and mine.grippers != grippers:
        yield Mismatch(
            "gripper",
            f"the policy's {column} has grippers at {_said(mine.grippers)}, that of {simulator.name} at "
            f"{_said(grippers)}: {advice}",
        )


def _differ(a: str, b: str) -> bool:
    return a in FACTORS and b in FACTORS and a != b


def _said(indices: Sequence[int]) -> str:
    return ", ".join(map(str, indices)) or "none"


@dataclass(frozen=True)
class Start:
    """What a simulator shows at a start."""

    seen: Observation
    reach: NDArray[np.float32]
    """(a,) canonical: what its largest raw action comes to."""


def start_of(simulator: Simulator, seed: int) -> Start:
    """Begin an episode and look."""
    simulator.reset(seed)
    ones = np.ones(action_dim(simulator), np.float32)
    return Start(simulator.observe(), simulator.to_canonical(ones))


def seen_mismatches(expected: Expectation, name: str, begun: Sequence[Start]) -> Iterator[Mismatch]:
    """Compare with what the simulator of this name shows at some starts, and with what it can do."""
    starts = [one.seen for one in begun]
    shown = {"primary": starts[0].image, "wrist": starts[0].wrist, "wrist_2": starts[0].wrist_2}
    has = {slot for slot, picture in shown.items() if picture is not None}
    if expected.cameras is not None and (missing := sorted(expected.cameras - has)):
        yield Mismatch(
            "camera",
            f"the policy reads camera {', '.join(missing)}, {name} has {', '.join(sorted(has))}: train without it, "
            f"or on recordings of {name}",
        )
    dim = expected.state.dim
    if dim and starts[0].state.shape != (dim,):
        yield Mismatch(
            "size",
            f"the policy's state has {dim} numbers, that of {name} {len(starts[0].state)}: train on its recordings",
        )
    elif dim:
        yield from _out_of_range(expected, np.stack([one.state for one in starts]), name)
    yield from _out_of_scale(expected, name, begun[0].reach)


def _out_of_range(expected: Expectation, states: NDArray[np.float32], name: str) -> Iterator[Mismatch]:
    """Find a value that starts far outside of where training had it: another unit, frame or robot."""
    low, high = np.array(expected.state.low), np.array(expected.state.high)
    if len(low) != states.shape[1]:
        return
    width = np.maximum(high - low, LEAST_WIDTH)
    middle = np.median(states, axis=0)
    far = np.maximum(low - middle, middle - high) / width
    if far.max() > 1.0:
        i = int(far.argmax())
        yield Mismatch(
            "range",
            f"value {i} of the state starts at {middle[i]:.3g} in {name}, in training it lay between {low[i]:.3g} and "
            f"{high[i]:.3g}: another unit, frame or encoding; --acts-as names another dataset",
        )


def _out_of_scale(expected: Expectation, name: str, reach: NDArray[np.float32]) -> Iterator[Mismatch]:
    """Find motions that are commonly larger than the simulator's largest, or next to none."""
    action = expected.action
    if action.encoding not in ("eef_delta", "") or not action.low:
        return
    layout = VectorLayout.of("eef_delta", action.dim)
    if not layout.position or len(reach) != action.dim:
        return
    at = list(layout.position)
    most = float(np.abs(reach[at]).max())
    common = float(np.maximum(np.abs(action.low), np.abs(action.high))[at].max())
    if most > 0 and not CRAWL <= common / most <= SPEED:
        yield Mismatch(
            "range",
            f"the policy's common motions reach {common:.3g} a step, the largest of {name} "
            f"{most:.3g} m: statistics of another scale or encoding; --acts-as names another dataset",
        )


def refuse(mismatches: Sequence[Mismatch], accepted: Sequence[str], policy: str) -> None:
    """Raise DataEngineError, in one line, for what differs and was not accepted."""
    rest = [one for one in mismatches if one.kind not in accepted]
    if rest:
        kinds = ",".join(dict.fromkeys(one.kind for one in rest))
        raise DataEngineError(
            f"{policy} and the simulator do not fit: {'; '.join(one.said for one in rest)}; "
            f"--accept '[{kinds}]' insists"
        )
