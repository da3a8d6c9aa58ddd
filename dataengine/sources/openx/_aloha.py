"""What ALOHA's recorder calls the values of its two arms: `JOINT_NAMES` of its `constants.py`, left arm first."""

JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
NAMES = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in JOINTS)
"""(14,) six joints and the gripper of the left arm, then of the right."""
