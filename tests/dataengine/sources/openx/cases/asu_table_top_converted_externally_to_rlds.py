from tests.support.openx_case import Case
from tests.support.openx_values import ORANGE, UNIT, instructed, numbers, patch
from tests.support.openx_writer import Stored


def case() -> Case:
    joints, action = numbers(7), numbers(7)
    joints[:, 6] = UNIT
    tips = {name: numbers(6) for name in ("EE", "bottle", "milk")}
    seen = {"image": Stored(patch(ORANGE), "png"), "state": joints, "state_vel": numbers(7)}
    more = {"action_delta": numbers(7), "ground_truth_states": tips, "action_inst": "pick", "goal_object": "milk"}
    return Case(
        steps=instructed("do it", seen, action, **more),
        embodiment="ur5_joint_velocity",
        layout="eef_pose 7 joint_velocity 7",
        control_hz=12.5,
        cameras={"primary": ORANGE},
        state=(tips["EE"], joints[:, 6]),
        action=(action,),
        raw_state=("observation/state", "observation/state_vel", "ground_truth_states/EE"),
        raw_action=("action", "action_delta"),
    )
