"""SWIM (`cmu_franka_exploration_dataset_converted_externally_to_rlds` 0.1.0): a Franka in toy kitchens, 10 Hz.

action             (t, 8)  x y z, three angles, gripper, flag that ends the episode  -> action, without the flag
structured_action  (t, 8)  affordance and control, as in the paper                   -> raw_action

There is no proprioception. The catalog calls the action a position and an orientation; others who converted the data
measured motions, angles within 0.06 rad, and loaders read them so: so do we. Units, the order of the angles and which
end of the gripper is open are not published: 1 is taken. The camera is `highres_image`, 480x640, scaled; `image` is the
same at 64x64 and left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.raw import untouched
from dataengine.sources.openx._rlds import Motion, RldsSource, Steps, columns


@dataclass(frozen=True)
class CmuFrankaExplorationDatasetConvertedExternallyToRlds(RldsSource):
    """Exploration that a model of human videos proposed, one camera."""

    name: ClassVar[str] = "openx/cmu_franka_exploration_dataset_converted_externally_to_rlds"
    embodiment: ClassVar[str] = "franka_no_state_unscaled"
    control_hz: ClassVar[float] = 10.0
    licence: ClassVar[str] = "see publisher"
    cameras: ClassVar[Mapping[str, str]] = {"primary": "highres_image"}
    doubt: ClassVar[str] = "action read as a motion; units; sense of the gripper"
    keys: ClassVar[Mapping[str, int]] = {"action": 8, "structured_action": 8}

    def convert(self, steps: Steps) -> Motion:
        """Leave out the flag."""
        return Motion(
            state=None,
            action=columns(steps["action"][:, :7]),
            raw_state=None,
            raw_action=untouched(steps["action"], steps["structured_action"]),
            state_encoding="none",
        )
