from dataclasses import replace

import numpy as np
import pytest

from dataengine.episode import Text
from dataengine.texts import whole_episode
from dataengine.windows.episode_info import EpisodeInfo
from pipelines.analysis.groups import PairGroup
from pipelines.analysis.lam_report.measures import (
    code_counts,
    directions,
    distances,
    examples,
    jensen_shannon,
    mean_over,
    nearest,
    perplexity,
)
from pipelines.analysis.lam_report.nearest import compare
from pipelines.analysis.pairs import Picks


def test_counts_and_perplexity_are_those_of_each_slot():
    codes = np.array([[0, 2], [1, 2], [0, 2], [1, 2]])
    counts = code_counts(codes, 3)
    assert counts.tolist() == [[2, 2, 0], [0, 0, 4]]
    assert perplexity(counts) == pytest.approx([2.0, 1.0])


def test_the_distance_of_codes_is_0_for_equal_shares_and_1_for_no_common_code():
    one = np.array([[2, 2, 0], [1, 0, 3]])
    assert jensen_shannon(one, one * 5) == pytest.approx(0)
    assert jensen_shannon(np.array([[3, 0]]), np.array([[0, 9]])) == pytest.approx(1)


def test_the_distance_of_codes_is_the_root_of_the_mean_divergence_from_the_middle():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.0, 0.75])
    middle = (p + q) / 2

    def divergence(x):
        return sum(a * np.log2(a / m) for a, m in zip(x, middle, strict=True) if a > 0)

    expected = np.sqrt((divergence(p) + divergence(q)) / 2)
    assert jensen_shannon(np.array([[2, 2, 0]]), np.array([[1, 0, 3]])) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["euclid", "cosine"])
def test_distances_are_those_of_the_textbook(kind):
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(5, 8)).astype(np.float32), draw.normal(size=(7, 8)).astype(np.float32)
    measured = distances(a, b, kind)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            cosine = 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            assert measured[i, j] == pytest.approx(np.linalg.norm(x - y) if kind == "euclid" else cosine, abs=1e-5)


def test_of_equally_near_candidates_all_count_and_forbidden_ones_never():
    far = np.array([[1.0, 1.0, 0.0, 5.0], [2.0, 3.0, 4.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    allowed = np.array([[True, True, False, True], [True, True, True, True], [False] * 4])
    marked = nearest(far, allowed)
    assert marked.tolist() == [[True, True, False, False], [False, False, False, True], [False] * 4]
    values = np.array([[0.0, 1.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.2], [7.0] * 4])
    assert mean_over(values, marked) == pytest.approx((0.5 + 0.2) / 2)
    assert mean_over(values, np.zeros_like(marked)) is None


def test_a_hand_that_hardly_moves_has_no_direction():
    motion = np.array([[3.0, 4.0], [0.0, 1.0], [0.1, 0.0], [0.0, 0.0]])
    assert directions(motion) == pytest.approx(np.array([[0.6, 0.8], [0, 1], [0, 0], [0, 0]]))
    assert not directions(np.zeros((3, 2))).any()


def test_examples_stand_for_one_cluster_each_the_largest_first():
    draw = np.random.default_rng(1)
    sizes = (5, 20, 9)
    rows = np.concatenate([draw.normal(size=(n, 4)) * 0.1 + 10 * i for i, n in enumerate(sizes)])
    cluster = np.repeat(range(3), sizes)
    assert cluster[examples(rows, 3)].tolist() == [1, 2, 0]
    assert len(examples(np.ones((6, 2)), 4)) == 1  # all alike: nothing more to show
    assert len(examples(np.ones((0, 2)), 4)) == 0


def group(name, latent, motion, codes=None, per_episode=10):
    n = len(latent)
    episodes = tuple(
        EpisodeInfo(
            row=0,
            episode_id=f"{name}{i}",
            dataset=name,
            dataset_id=1,
            embodiment=name,
            embodiment_id=1,
            kind="robot",
            control_hz=10.0,
            num_steps=per_episode + 1,
            texts=whole_episode([f"task {i % 2}"], per_episode + 1),
        )
        for i in range(n // per_episode)
    )
    return PairGroup(
        title=name,
        dataset=name,
        embodiment=name,
        kind="robot",
        saw=True,
        held_out=True,
        picks=Picks(
            embodiment=name,
            stride=1,
            episodes=episodes,
            episode=np.arange(n) // per_episode,
            row=np.arange(n) % per_episode,
        ),
        latent=np.asarray(latent, np.float32)[:, None],
        codes=np.zeros((n, 1), np.int64) if codes is None else codes,
        motion=motion,
    )


def test_another_task_is_what_is_said_of_the_pairs_frames_not_of_its_episode():
    made = group("a", np.eye(20), np.ones((20, 3)), (np.arange(20) % 10 // 5)[:, None])
    parts = (Text(0, 5, ("reach",)), Text(5, 11, ("lift",)))
    episodes = tuple(replace(e, texts=parts) for e in made.picks.episodes)
    made = replace(made, picks=replace(made.picks, episodes=episodes))
    assert compare(made, made, "euclid").equal_codes_random == 0.5
    assert compare(made, made, "euclid", other_tasks=True).equal_codes_random == 0


def test_latents_that_hold_the_motion_find_hands_that_go_the_same_way_and_noise_does_not():
    draw = np.random.default_rng(0)
    ways = [draw.normal(size=(200, 3)).astype(np.float32) for _ in range(2)]
    knows = [group(name, way, way) for name, way in zip("ab", ways, strict=True)]
    noise = [group(name, draw.normal(size=(200, 3)), way) for name, way in zip("ab", ways, strict=True)]
    assert compare(*knows, "cosine").direction > 0.95
    assert compare(*knows, "euclid").direction > 0.85
    assert abs(compare(*noise, "euclid").direction) < 0.2
    assert abs(compare(*knows, "euclid").direction_random) < 0.1


def test_only_pairs_that_move_ask_and_a_resting_neighbour_agrees_with_nothing():
    way = np.zeros((20, 3), np.float32)
    way[:10, 0] = 1.0  # the first episode moves, the second rests
    still = group("a", np.ones((20, 1)), way)
    moves = group("b", np.ones((20, 1)), np.tile(np.float32([1, 0, 0]), (20, 1)))
    comparison = compare(still, moves, "euclid")
    assert (comparison.pairs, comparison.direction) == (10, 1.0)
    assert compare(moves, still, "euclid").direction == 0.5


def test_a_pair_is_never_compared_with_its_own_episode_nor_with_its_task_when_asked():
    draw = np.random.default_rng(0)
    way = draw.normal(size=(40, 3)).astype(np.float32)
    codes = (np.arange(40) // 10)[:, None]  # the code names the episode; episodes 0 and 2 share a task, 1 and 3
    one = group("a", way, way, codes)
    assert compare(one, one, "euclid").equal_codes == 0
    tasks = group("a", way, way, codes % 2)
    assert compare(tasks, tasks, "euclid").equal_codes_random == pytest.approx(1 / 3, abs=1e-4)
    assert compare(tasks, tasks, "euclid", other_tasks=True).equal_codes_random == 0


def test_hands_of_two_arms_and_of_one_have_no_direction_in_common():
    draw = np.random.default_rng(0)
    one, two = (group(n, draw.normal(size=(20, 4)), draw.normal(size=(20, d))) for n, d in (("a", 3), ("b", 6)))
    comparison = compare(one, two, "euclid")
    assert comparison.direction is None
    assert comparison.pairs == 20
