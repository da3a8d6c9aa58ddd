"""What a policy must be to act in LIBERO, taken from the source that reads LIBERO's recordings."""

from typing import Any

import numpy as np

from dataengine.sources.openx.libero import Libero


def expected() -> dict[str, Any]:
    """Say what the policy's metadata have to say of the robot."""
    nothing = {"observation": {"state": np.zeros((1, 8), np.float32)}, "action": np.zeros((1, 7), np.float32)}
    motion = Libero("").convert(nothing)
    assert motion.state is not None, "LIBERO tells the state"
    return {
        "rate_hz": Libero.control_hz,
        "state_dim": motion.state.shape[1],
        "action_dim": motion.action.shape[1],
        "state_encoding": motion.state_encoding,
        "action_encoding": motion.action_encoding,
    }
