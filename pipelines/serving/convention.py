"""What the numbers of a connection are: this project's canonical ones, or a benchmark's own, who converts nothing.

LIBERO's state is (8,): x y z in metres, axis times angle in radians, two finger positions in metres; its actions are
(h, 7): -1 to 1 of 0.05 m and of 0.5 rad about an axis, gripper -1 opens, +1 closes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from pipelines.serving.wire import WireError

Convention = Literal["canonical", "libero"]
LIBERO_DIM: Final = 8
CANONICAL_DIM: Final = 7
NEEDED: Final[Mapping[str, str]] = MappingProxyType({"state_encoding": "eef_pose", "action_encoding": "eef_delta"})
SERVER: Final = "villa-engine"
"""What a server calls itself where its numbers are canonical: clients of this project convert them."""


def require_convertible(convention: Convention, robots: Mapping[str, Mapping[str, Any]], policy: str) -> None:
    """Raise DataEngineError for a policy whose numbers LIBERO has no like of."""
    if convention == "canonical":
        return
    client_actions(convention, np.zeros((1, CANONICAL_DIM), np.float32))  # loads what the first client would wait for
    for name, facts in robots.items():
        differ = [
            f"{key} {facts[key] or 'unknown'}" for key, wanted in NEEDED.items() if facts[key] not in (wanted, "")
        ]
        differ += [f"{key} {facts[key]}" for key in ("state_dim", "action_dim") if facts[key] not in (CANONICAL_DIM, 0)]
        if differ:
            raise DataEngineError(
                f"{policy}: '{name}' has {', '.join(differ)}; --convention {convention} wants {CANONICAL_DIM} numbers, "
                f"eef_pose and eef_delta: --embodiment names another robot"
            )


def canonical_state(convention: Convention, state: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make of a client's state (s,) the canonical one; raise WireError where it has another size."""
    if convention == "canonical":
        return state
    if len(state) != LIBERO_DIM:
        raise WireError(
            f"state has {len(state)} values, expected {LIBERO_DIM} as LIBERO has: position, axis-angle, fingers"
        )
    from pipelines.evaluation.clients.libero import actors

    return actors.canonical_state(state)


def client_actions(convention: Convention, actions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make of canonical actions (h, a) those that a client executes."""
    if convention == "canonical":
        return actions
    from pipelines.evaluation.clients.libero import actors

    return actors.raw_action(np.asarray(actions, np.float64)).astype(np.float32)


def client_facts(convention: Convention, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Make of what is said of a robot's canonical numbers what is true of a client's."""
    if convention == "canonical":
        return dict(facts)
    unknown = ("names", "units", "moves", "low", "high")
    silent = {f"{column}_{what}" for column in ("state", "action") for what in unknown}
    said = {key: value for key, value in facts.items() if key not in silent}
    return said | {"state_dim": LIBERO_DIM, "state_encoding": "libero", "action_encoding": "libero"}
