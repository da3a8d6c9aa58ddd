"""State against action: what contradicts is found at any rate, what only looks odd is left alone."""

import numpy as np
import pytest

from dataengine.conventions import euler_to_matrix
from dataengine.curation.stages.drop_mismatch import DropMismatch
from tests.support.recordings import recording, replaced
from tests.support.rows import rows_of_episodes


def numbers(episode):
    return {name: float(values[0]) for name, values in DropMismatch().measure(rows_of_episodes(episode)).items()}


def verdict(episode):
    return DropMismatch().reject(numbers(episode))


def with_action(episode, action):
    return replaced(episode, "changed", action=np.ascontiguousarray(action, dtype=np.float32))


def flipped(episode):
    action = episode.action.copy()
    action[:, 6::7] = 1 - action[:, 6::7]
    return with_action(episode, action)


@pytest.mark.parametrize("body", ["widowx", "ur5", "g1"])
@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_gripper_is_found_and_a_right_one_is_not(body, seed):
    episode = recording(f"try {seed}", body=body, seed=seed)
    assert verdict(episode) is None
    assert "is its sign flipped" in verdict(flipped(episode))


def test_a_command_that_never_changes_still_tells():
    episode = recording("press", body="ur5", seed=1)
    state, action = episode.state.copy(), episode.action.copy()
    state[:, 6], action[:, 6] = np.linspace(1, 0.3, len(state)), 0.0
    closing = replaced(episode, "closing", state=state, action=action)
    assert verdict(closing) is None
    assert "sign flipped" in verdict(flipped(closing))


def test_a_gripper_that_never_moves_says_nothing_whatever_it_is_told():
    episode = recording("push", body="ur5", seed=2)
    state = episode.state.copy()
    state[:, 6] = 0.4
    still = replaced(episode, "still", state=state)
    assert np.isnan(numbers(still)["gripper_follow"])
    assert verdict(flipped(still)) is None


def test_a_measured_opening_that_repeats_the_command_is_no_contradiction():
    episode = recording("copy", body="ur5", seed=3)
    for opening in (np.arange(len(episode.state)) > 40, 0.5 - 0.5 * np.cos(np.linspace(0, 9, len(episode.state)))):
        state, action = episode.state.copy(), episode.action.copy()
        state[:, 6] = action[:, 6] = opening
        assert verdict(replaced(episode, "copy", state=state, action=action)) is None
    assert "sign flipped" in verdict(flipped(replaced(episode, "copy", state=state, action=action)))


def test_a_slow_gripper_is_no_contradiction():
    episode = recording("slow", body="ur5", seed=4)
    state, action = episode.state.copy(), episode.action.copy()
    command = (np.arange(len(state)) // 30) % 2
    opening = [0.5]
    for target in command[:-1]:
        opening.append(np.clip(opening[-1] + 0.02 * np.sign(target - opening[-1]), 0, 1))
    state[:, 6], action[:, 6] = opening, command
    assert verdict(replaced(episode, "slow", state=state, action=action)) is None


def test_relabelled_actions_agree():
    episode = recording("relabelled", body="widowx", seed=5)
    action = np.zeros_like(episode.action)
    action[:-1, :6] = np.diff(episode.state[:, :6], axis=0)
    action[:-1, 6] = episode.state[1:, 6]
    action[-1, 6] = action[-2, 6]
    assert numbers(with_action(episode, action))["delta_follow"] == pytest.approx(1, abs=1e-3)
    assert verdict(with_action(episode, action)) is None


@pytest.mark.parametrize("gain", [0.01, 1.0, 50.0])
def test_deltas_of_any_scale_agree(gain):
    episode = recording("scaled", body="widowx", seed=6)
    action = episode.action.copy()
    action[:, :6] *= gain
    measured_values = numbers(with_action(episode, action))
    assert measured_values["delta_follow"] > 0.8
    assert measured_values["delta_gain"] == pytest.approx(numbers(episode)["delta_gain"] / gain, rel=1e-3)


def test_deltas_in_the_frame_of_the_hand_agree():
    episode = recording("hand", body="widowx", seed=7)
    action = episode.action.copy()
    action[:, :3] = np.einsum("nij,ni->nj", euler_to_matrix(episode.state[:, 3:6]), action[:, :3])
    assert verdict(with_action(episode, action)) is None
    assert numbers(with_action(episode, action))["delta_follow"] > 0.8


def test_a_state_two_steps_late_agrees():
    episode = recording("late", body="widowx", seed=8)
    state = np.concatenate([episode.state[:1].repeat(2, axis=0), episode.state[:-2]])
    assert verdict(replaced(episode, "late", state=state)) is None


def test_wrong_encodings_and_commands_that_say_nothing_are_found():
    delta, pose = recording("delta", body="widowx", seed=9), recording("pose", body="ur5", seed=9)
    assert "is the encoding eef_pose" in verdict(replaced(pose, "p", action_encoding="eef_delta"))
    assert "come to its targets" in verdict(replaced(delta, "d", action_encoding="eef_pose"))
    nowhere = np.zeros_like(delta.action)
    nowhere[:, 6] = delta.action[:, 6]
    assert "where its deltas point" in verdict(with_action(delta, nowhere))


def test_joints_human_clips_and_robots_without_a_state_say_nothing():
    joints = recording("joints", body="panda_joint", seed=10)
    without = replaced(joints, "without", state=None)
    for episode in (joints, without):
        assert all(np.isnan(value) for value in numbers(episode).values())
        assert verdict(episode) is None


def test_the_arm_that_agrees_least_decides():
    episode = recording("two", body="g1", seed=11)
    action = episode.action.copy()
    action[:, 13] = 1 - action[:, 13]
    assert "sign flipped" in verdict(with_action(episode, action))


def test_many_episodes_measured_at_once_are_measured_as_one_by_one():
    bodies = ["widowx", "ur5", "widowx", "g1", "panda_joint", "widowx"]
    episodes = [recording(f"{i}", body=body, seed=i, seconds=3.0 + i) for i, body in enumerate(bodies)]
    together = DropMismatch().measure(rows_of_episodes(*episodes))
    for i, episode in enumerate(episodes):
        for name, value in numbers(episode).items():
            assert together[name][i] == pytest.approx(value, nan_ok=True, abs=1e-9)
