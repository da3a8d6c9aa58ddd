from collections import Counter

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.texts import whole_episode
from dataengine.windows.episode_info import is_held_out
from dataengine.windows.mixture import Mixture, WindowSampler, key_of, permute
from dataengine.windows.window import WindowSpec, cut_window, steps_per_latent
from tests.support.readers import MadeReader, make_episode

PAIRS = WindowSpec(num_frames=2, interval_s=0.3)


def sampler(episodes: list, batch_size: int = 8, seed: int = 0, spec: WindowSpec = PAIRS, **weights: object):
    mixture = Mixture(**weights)
    return WindowSampler(episodes, spec, batch_size=batch_size, seed=seed, mixture=mixture)


@pytest.mark.parametrize(("control_hz", "steps"), [(3.0, 2), (5.0, 3), (20.0, 14), (10.0, 7), (1.0, 1)])
def test_seconds_become_control_steps_as_in_villa_x(control_hz: float, steps: int) -> None:
    assert steps_per_latent(control_hz, 0.7) == steps


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64, 1000])
def test_a_permutation_hits_every_index_once(size: int) -> None:
    one, two = (permute(np.arange(size), size, key_of(seed)) for seed in (1, 2))
    assert sorted(one) == sorted(two) == list(range(size))
    assert size < 10 or list(one) != list(two) != list(range(size))


def test_a_permutation_leaves_no_order_behind() -> None:
    shuffled = permute(np.arange(4096), 4096, key_of(3))
    assert abs(np.corrcoef(shuffled, np.arange(4096))[0, 1]) < 0.05
    assert abs(np.corrcoef(shuffled[1:], shuffled[:-1])[0, 1]) < 0.05


def test_an_epoch_shows_every_window_once() -> None:
    episodes = [make_episode(row, num_steps=10 + row) for row in range(5)]
    draws = sampler(episodes, batch_size=1)
    seen = Counter(pick for step in range(draws.windows_per_epoch) for pick in draws.batch(step))
    assert seen == {(e.row, start): 1 for e in episodes for start in range(e.num_steps - 3)}
    again = [draws.batch(step)[0] for step in range(draws.windows_per_epoch, 2 * draws.windows_per_epoch)]
    assert set(again) == set(seen)
    assert again != list(seen)


@pytest.mark.parametrize("world_size", [2, 4])
def test_any_number_of_ranks_sees_the_same_sequence(world_size: int) -> None:
    draws = sampler([make_episode(row) for row in range(6)])
    for step in (0, 3, 1000):
        together = [pick for rank in range(world_size) for pick in draws.batch(step, rank, world_size)]
        assert together == draws.batch(step)


def test_the_sequence_does_not_depend_on_the_order_at_rest() -> None:
    episodes = [make_episode(row) for row in range(6)]
    other = [make_episode(row, episode_id=f"{5 - row:016x}") for row in range(6)]
    mirrored = [(5 - row, start) for row, start in sampler(other).batch(7)]
    assert mirrored == sampler(episodes).batch(7)


def test_seeds_give_other_sequences() -> None:
    episodes = [make_episode(row) for row in range(6)]
    assert sampler(episodes, seed=0).batch(0) != sampler(episodes, seed=1).batch(0)


def two_datasets() -> list:
    small = [make_episode(row, num_steps=23) for row in range(2)]
    return small + [make_episode(row, dataset="attic", dataset_id=2, num_steps=43) for row in range(2, 10)]


@pytest.mark.parametrize(
    ("mixture", "share"),
    [
        ({}, 46 / 390),
        ({"temperature": 1e9}, 0.5),
        ({"weights": {"pantry": 3, "attic": 1}}, 0.75),
        ({"weights": {"pantry": 1}}, 1.0),
    ],
)
def test_datasets_are_drawn_by_their_weights(mixture: dict, share: float) -> None:
    episodes = two_datasets()
    draws = sampler(episodes, batch_size=36, **mixture)
    picks = [row for step in range(100) for row, _ in draws.batch(step)]
    assert np.mean([episodes[row].dataset == "pantry" for row in picks]) == pytest.approx(share, abs=0.01)


def test_a_small_dataset_repeats_only_after_all_of_it_was_seen() -> None:
    draws = sampler(two_datasets(), batch_size=1, weights={"pantry": 1, "attic": 1})
    picks = [pick for step in range(2 * draws.windows_per_epoch) for pick in draws.batch(step) if pick[0] < 2]
    counts = Counter(picks)
    assert len(counts) == 40
    assert max(counts.values()) - min(counts.values()) <= 1


def test_human_clips_get_the_share_they_are_given() -> None:
    human = [make_episode(row, kind="human", dataset="kitchen", dataset_id=3) for row in range(3)]
    episodes = human + [make_episode(row) for row in range(3, 9)]
    draws = sampler(episodes, batch_size=100, human_share=0.5)
    assert draws.shares == {"kitchen": 0.5, "pantry": 0.5}


def test_bodies_are_evened_out_whatever_their_datasets_weigh() -> None:
    lone = [make_episode(row, dataset="lone", dataset_id=3, embodiment="walker", embodiment_id=9) for row in (10, 11)]
    draws = sampler(two_datasets() + lone, batch_size=1, embodiment_temperature=1e9)
    assert draws.shares["lone"] == pytest.approx(0.5)
    assert draws.shares["attic"] / draws.shares["pantry"] == pytest.approx(344 / 46)


def test_a_fraction_of_a_dataset_is_the_same_episodes_in_every_run() -> None:
    episodes = [make_episode(row) for row in range(1000)]
    few = sampler(episodes, batch_size=500, fractions={"pantry": 0.1})
    seen = {row for step in range(40) for row, _ in few.batch(step)}
    again = {row for step in range(40) for row, _ in sampler(episodes, seed=7, fractions={"pantry": 0.1}).batch(step)}
    assert 70 < few.by_dataset[0].episodes < 130
    assert len(seen) == few.by_dataset[0].episodes
    assert again <= seen


def test_a_missing_dataset_is_an_error_unless_it_is_optional() -> None:
    weights = {"pantry": 1, "cellar": 3}
    with pytest.raises(DataEngineError, match="'cellar', which offers nothing"):
        sampler(two_datasets(), weights=weights)
    for optional in (["cellar"], "all"):
        draws = sampler(two_datasets(), weights=weights, optional=optional)
        assert (draws.shares, draws.missing) == ({"pantry": 1.0}, ["cellar"])


def test_a_misspelt_dataset_gets_a_hint() -> None:
    with pytest.raises(DataEngineError, match="did you mean 'attic'"):
        sampler(two_datasets(), weights={"atic": 1})


def test_held_out_episodes_are_a_stable_share() -> None:
    episodes = [make_episode(row) for row in range(2000)]
    held = [e for e in episodes if is_held_out(e, 0.1)]
    assert 150 < len(held) < 250
    assert [e.row for e in held[:3]] == [e.row for e in episodes if is_held_out(e, 0.1)][:3]
    assert all(is_held_out(e, 0.2) for e in held)
    assert is_held_out(make_episode(0, split="validation"), 0.0)


@pytest.mark.parametrize(
    ("num_steps", "num_windows"), [(3, 0), (4, 1), (5, 2), (6, 3), (7, 3), (9, 3), (10, 4), (30, 24)]
)
def test_clips_want_room_but_short_episodes_still_count(num_steps: int, num_windows: int) -> None:
    spec = WindowSpec(num_frames=3, interval_s=0.3)
    assert spec.num_windows(make_episode(0, num_steps=num_steps)) == num_windows


def test_a_missing_camera_offers_no_windows() -> None:
    assert PAIRS.num_windows(make_episode(0, cameras=("wrist",))) == 0


def test_a_clip_holds_what_lies_between_its_frames() -> None:
    reader = MadeReader([make_episode(0)])
    window = cut_window(reader, WindowSpec(num_frames=3, interval_s=0.3), 0, 5)
    assert window.frames.tolist() == [5, 8, 11]
    np.testing.assert_array_equal(window.state, reader.state(0)[5:12])
    np.testing.assert_array_equal(window.action, reader.action(0)[5:11])


def test_frames_beyond_the_end_repeat_the_last_one_and_are_masked() -> None:
    reader = MadeReader([make_episode(0, num_steps=5)])
    window = cut_window(reader, WindowSpec(num_frames=3, interval_s=0.3), 0, 1)
    assert window.frames.tolist() == [1, 4, 4]
    assert window.frame_mask.tolist() == [True, True, False]
    assert window.state.shape == (4, 7)


def test_a_chunk_and_its_latents_end_with_the_episode() -> None:
    reader = MadeReader([make_episode(0, num_steps=10)])
    window = cut_window(reader, WindowSpec(interval_s=0.3, horizon=8, latent="lam", num_latents=3), 0, 4)
    assert window.action.shape == (6, 7)
    # Frames 4, 7 and 10: row 7 would join frame 10, which does not exist.
    assert window.latent_mask.tolist() == [True, False, False]
    np.testing.assert_array_equal(window.latent[0], reader.latent(0, "lam")[0][4])
    assert not window.latent[1:].any()


def test_a_human_clip_ends_where_its_latents_end() -> None:
    spec = WindowSpec(interval_s=0.3, horizon=4, latent="lam", num_latents=2)
    reader = MadeReader([make_episode(0, kind="human", num_steps=10)])
    assert spec.num_windows(reader.episodes[0]) == 7
    window = cut_window(reader, spec, 0, 6)
    assert window.state is None
    assert window.latent_mask.tolist() == [True, False]


def test_paraphrases_take_turns() -> None:
    reader = MadeReader([make_episode(0, texts=whole_episode(["close it", "shut it"], 30))])
    assert [cut_window(reader, PAIRS, 0, start).instruction for start in range(3)] == [
        "close it",
        "shut it",
        "close it",
    ]
