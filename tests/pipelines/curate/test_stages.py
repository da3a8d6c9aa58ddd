import dataclasses

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.curation.film import Film
from dataengine.curation.stage import MeasuresPictures, Surveys
from dataengine.curation.stages.drop_black_frames import DropBlackFrames
from dataengine.curation.stages.drop_frozen_camera import DropFrozenCamera
from dataengine.curation.stages.drop_irregular_clock import DropIrregularClock
from dataengine.curation.stages.drop_jumps import DropJumps
from dataengine.curation.stages.drop_no_instruction import DropNoInstruction
from dataengine.curation.stages.drop_short import DropShort
from dataengine.curation.stages.drop_still import DropStill
from dataengine.episode import CameraFrames, Episode
from dataengine.texts import whole_episode
from pipelines.curate.measure import schema_of
from pipelines.curate.recipe import load_recipe
from pipelines.recipes import recipes
from tests.support.rows import rows_of_episodes

HZ = 20.0


def make_episode(state=None, pictures=None, num_steps=40, kind="robot", encoding="eef_pose", control_hz=HZ):
    steps = num_steps if state is None else len(state)
    cameras = {}
    if pictures is not None:
        jpegs = [simplejpeg.encode_jpeg(np.ascontiguousarray(p), quality=92) for p in pictures]
        height, width = pictures[0].shape[:2]
        cameras["primary"] = CameraFrames(
            jpegs=jpegs, height=height, width=width, native_height=height, native_width=width
        )
    num_steps = steps if pictures is None else len(pictures)
    return Episode(
        dataset="made",
        source_record="0",
        source_uri="memory",
        embodiment="arm",
        kind=kind,
        control_hz=control_hz,
        texts=whole_episode(["do it"], num_steps),
        time_ns=(np.arange(num_steps) * 1e9 / control_hz).astype(np.int64),
        cameras=cameras,
        state=None if state is None else state.astype(np.float32),
        state_encoding="none" if state is None else encoding,
    )


def walk(num_steps=60, step_m=0.004, arms=1):
    state = np.zeros((num_steps, 7 * arms))
    state[:, 0] = np.arange(num_steps) * step_m
    return state


def measured(stage, episode):
    if isinstance(stage, MeasuresPictures):
        numbers = stage.look(Film.of(episode))
    else:
        numbers = {name: values[0] for name, values in stage.measure(rows_of_episodes(episode)).items()}
    assert tuple(numbers) == stage.columns
    assert all(isinstance(value, float) for value in numbers.values())
    return numbers


def verdict(stage, episode):
    return stage.reject(measured(stage, episode))


def noise(num, seed=0, height=64, width=96):
    return np.random.default_rng(seed).integers(0, 256, (num, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("steps", "hz", "reason"), [(3, 3, "3 steps"), (5, 20, "0.25 s"), (4, 3, None), (10, 20, None)]
)
def test_an_episode_must_have_steps_and_seconds(steps, hz, reason):
    rejection = verdict(DropShort(), make_episode(num_steps=steps, control_hz=hz))
    assert rejection is None if reason is None else reason in rejection


@pytest.mark.parametrize(("reach_m", "kept"), [(0.02, True), (0.005, False)])
@pytest.mark.parametrize("arms", [1, 2])
def test_a_hand_must_leave_its_place(reach_m, kept, arms):
    state = walk(50, reach_m / 49, arms)
    assert (verdict(DropStill(), make_episode(state)) is None) == kept


def test_noise_is_no_motion_however_long_it_lasts():
    state = np.random.default_rng(0).normal(size=(2000, 7)) * 0.001
    assert "hands stayed within" in verdict(DropStill(), make_episode(state))


def test_a_gripper_that_closes_is_motion():
    state = np.zeros((40, 7))
    state[20:, 6] = 1
    assert verdict(DropStill(), make_episode(state)) is None


def test_states_that_are_no_hand_positions_pass_the_motion_rules():
    for episode in (make_episode(np.zeros((40, 8)), encoding="joint_position"), make_episode()):
        for stage in (DropStill(), DropJumps()):
            assert verdict(stage, episode) is None


def test_one_leap_among_small_steps_is_a_jump():
    state = walk()
    assert verdict(DropJumps(), make_episode(state)) is None
    state[30:, 1] += 0.5
    assert "a hand jumped at 10.0 m/s" in verdict(DropJumps(), make_episode(state))


def test_a_fast_arm_on_a_coarse_clock_is_no_jump():
    assert verdict(DropJumps(), make_episode(walk(step_m=0.3))) is None  # 6 m/s, but evenly
    state = walk(step_m=0.001)
    state[30:, 1] += 0.05  # 50 times the usual step, but an arm's speed
    assert verdict(DropJumps(), make_episode(state)) is None


def test_a_jump_of_the_second_arm_counts():
    state = walk(arms=2)
    state[30, 8] = 2.0
    assert verdict(DropJumps(), make_episode(state)) is not None


def test_a_camera_that_stopped_is_found_through_sensor_noise():
    still = np.repeat(noise(1), 30, axis=0) // 2 + 60
    flicker = np.random.default_rng(1).integers(-3, 4, still.shape)
    assert "camera changes by" in verdict(DropFrozenCamera(), make_episode(pictures=still))
    assert "camera changes by" in verdict(DropFrozenCamera(), make_episode(pictures=(still + flicker).astype(np.uint8)))


def test_a_small_thing_that_moves_is_enough_for_a_camera():
    pictures = np.full((30, 128, 128, 3), 90, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        picture[60:66, 3 * i : 3 * i + 6] = 160
    assert verdict(DropFrozenCamera(), make_episode(pictures=pictures)) is None


@pytest.mark.parametrize(("num_black", "kept"), [(0, True), (5, True), (15, False), (30, False)])
def test_too_many_black_pictures_are_found(num_black, kept):
    pictures = noise(30) // 4 + 40
    pictures[:num_black] = 5
    assert (verdict(DropBlackFrames(), make_episode(pictures=pictures, kind="human")) is None) == kept


def test_a_dark_scene_with_a_lamp_is_not_black():
    pictures = np.full((10, 64, 64, 3), 4, dtype=np.uint8)
    pictures[:, :12, :12] = 200
    assert verdict(DropBlackFrames(), make_episode(pictures=pictures)) is None


def test_an_episode_without_a_camera_passes_the_camera_rules():
    for stage in (DropFrozenCamera(), DropBlackFrames()):
        numbers = measured(stage, make_episode())
        assert all(np.isnan(value) for value in numbers.values())
        assert stage.reject(numbers) is None


def clocked(periods, control_hz=10.0):
    """An episode whose steps last so many periods."""
    time_ns = np.concatenate([[0], np.cumsum(periods)]) * 1e9 / control_hz
    return dataclasses.replace(
        make_episode(num_steps=len(time_ns), control_hz=control_hz), time_ns=time_ns.astype(np.int64)
    )


@pytest.mark.parametrize(
    ("periods", "reason"),
    [
        (np.ones(40), None),
        (np.random.default_rng(0).normal(1, 0.15, 400), None),
        ([2 / 3, 4 / 3] * 20, None),  # 10 frames a second picked from 15
        ([5 / 6, 5 / 6, 5 / 6, 5 / 6, 5 / 3] * 8, None),  # the same from 12
        ([*np.ones(30), 12.0, *np.ones(30)], None),
        ([*np.ones(30), 45.0, *np.ones(30)], "its clock stops for 4.40 s"),
        (np.full(40, 0.5), "its mean step is 50% off its rate"),
        (np.full(40, 5.0), "its mean step is 400% off its rate"),
        ([0.0, 0.0, 3.0] * 20, "of its steps are off by over half a period"),
        ([], None),
    ],
)
def test_a_clock_must_tick_at_its_rate(periods, reason):
    rejection = verdict(DropIrregularClock(), clocked(periods))
    assert rejection is None if reason is None else reason in rejection


@pytest.mark.parametrize(
    ("kind", "texts", "kept"),
    [
        ("robot", ["pick it up"], True),
        ("robot", [], False),
        ("robot", ["", " "], False),
        ("robot", ["", "go"], True),
        ("human", [], True),
    ],
)
def test_a_robot_needs_words_where_they_are_asked_for(kind, texts, kept):
    episode = make_episode(kind=kind)
    episode = dataclasses.replace(episode, texts=whole_episode(texts, episode.num_steps))
    assert (verdict(DropNoInstruction(), episode) is None) == kept
    assert verdict(DropNoInstruction(min_robot_words=0), episode) is None


def test_every_stage_has_its_own_columns_and_says_what_its_thresholds_bound():
    stages = {name: catalog.stage(name) for name in catalog.stage_names()}
    columns = [column for stage in stages.values() for column in schema_of(stage())]
    assert len(columns) == len(set(columns))
    for stage in stages.values():
        thresholds = {f.name for f in dataclasses.fields(stage)}
        assert set(stage.limits) <= thresholds
        assert set(stage.limits.values()) <= set(stage.columns) or isinstance(stage(), Surveys)


def test_the_default_recipe_spells_out_the_thresholds_of_its_stages():
    for rule, stage in load_recipe("default").items():
        assert stage == type(stage)(), f"{rule}: the recipe and the stage disagree"


@pytest.mark.parametrize("name", recipes.names("curate"))
def test_every_recipe_loads(name):
    assert load_recipe(name)


def test_what_the_default_recipe_asks_for_the_strict_one_asks_for_too():
    assert set(load_recipe("default")) <= set(load_recipe("strict"))


def with_wrist(wrist, main=None):
    episode = make_episode(pictures=noise(30) if main is None else main)
    other = make_episode(pictures=wrist).cameras["primary"]
    return dataclasses.replace(episode, cameras={**episode.cameras, "wrist": other})


@pytest.mark.parametrize(
    ("stage", "strict", "wrist", "says"),
    [
        (DropFrozenCamera(), DropFrozenCamera(min_change_others=1.5), np.zeros, "camera wrist changes by 0.00"),
        (DropBlackFrames(), DropBlackFrames(max_black_share_others=0.2), np.zeros, "of camera wrist are black"),
        (DropFrozenCamera(), DropFrozenCamera(min_change_others=1.5), np.ones, "camera wrist changes by 0.00"),
    ],
)
def test_a_dead_camera_beside_the_main_one_goes_where_a_recipe_asks_for_it(stage, strict, wrist, says):
    dead = with_wrist(90 * wrist((30, 64, 96, 3), np.uint8))
    assert verdict(stage, dead) is None
    assert says in verdict(strict, dead)
    assert verdict(strict, with_wrist(noise(30, seed=1))) is None


def test_a_lone_camera_at_the_wrist_is_the_main_one():
    pictures = np.full((30, 64, 96, 3), 90, np.uint8)
    episode = make_episode(pictures=pictures)
    lone = dataclasses.replace(episode, cameras={"wrist": episode.cameras["primary"]})
    assert "camera changes by 0.00" in verdict(DropFrozenCamera(), lone)
