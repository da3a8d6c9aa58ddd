"""What a probe is to read: canonical actions, or those of villa-X's section 4.1, where a rotation is a quaternion."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dataengine.conventions import euler_to_matrix, matrix_to_quaternion
from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.vector_layout import Arm, VectorLayout
from pipelines.analysis.pairs import Floats, Picks


def hand_lacks(corpus: Corpus, picks: Picks) -> str:
    """Say why the actions of an embodiment have no quaternion; empty where they do."""
    info = next((info for info, _ in picks.by_episode()), None)
    layout = corpus.episode(info.episode_id).layout("action") if info else None
    if layout is None or _hands(layout):
        return ""
    return "its actions tell no position and rotation of a hand, of which a quaternion could be made"


def quaternion_actions(action: NDArray, normalized: Floats, layout: VectorLayout) -> Floats:
    """Make of actions (t, a) and the same normalised: position, quaternion xyzw, gripper, (t, 8) for each hand.

    Quaternions lie between -1 and 1 as they are, and are not scaled further: of most turns in a step little would be
    left but noise.
    """
    columns = list[NDArray]()
    for hand in _hands(layout):
        turned = matrix_to_quaternion(euler_to_matrix(action[:, hand.rotation]))
        columns += [normalized[:, hand.position], turned]
        columns += [] if hand.gripper is None else [normalized[:, [hand.gripper]]]
    if not columns:
        raise DataEngineError("actions tell no position and rotation of a hand, of which a quaternion could be made")
    return np.concatenate(columns, axis=1).astype(np.float32)


def quaternion_groups(layout: VectorLayout) -> Mapping[str, tuple[int, ...]]:
    """Give indices of what `quaternion_actions` makes, by kind of value."""
    groups: dict[str, Sequence[int]] = {"xyz": [], "quaternion": [], "gripper": []}
    at = 0
    for hand in _hands(layout):
        groups["xyz"] = [*groups["xyz"], *range(at, at + 3)]
        groups["quaternion"] = [*groups["quaternion"], *range(at + 3, at + 7)]
        at += 7
        if hand.gripper is not None:
            groups["gripper"] = [*groups["gripper"], at]
            at += 1
    return {name: tuple(indices) for name, indices in groups.items() if indices}


def _hands(layout: VectorLayout) -> list[Arm]:
    return [arm for arm in layout.arms if len(arm.position) == 3 and len(arm.rotation) == 3]
