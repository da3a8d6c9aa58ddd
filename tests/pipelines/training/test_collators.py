import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from dataengine import texts
from dataengine.errors import DataEngineError
from dataengine.formats.resize import resize
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec, cut_window
from pipelines.training.frames import Frames
from pipelines.training.tokenizer import Tokenizer
from tests.support.collators import CHUNKS, act_collator, lam_collator, mixed_reader
from tests.support.readers import MadeReader, make_episode, statistics

CLIPS = WindowSpec(num_frames=3, interval_s=0.3)


def windows(reader: MadeReader, spec: WindowSpec, *picks: tuple[int, int]) -> list:
    return [cut_window(reader, spec, row, start) for row, start in picks]


def test_a_clip_batch_holds_each_pairs_own_steps() -> None:
    reader = mixed_reader()
    batch = lam_collator(reader).collate(windows(reader, CLIPS, (0, 4), (1, 7)))
    assert batch.video.shape == (2, 3, 3, 32, 32)
    # 0.3 s is 3 steps at 10 Hz and 6 at 20 Hz: the batch is as long as its longest.
    assert batch.action.shape == (2, 2, 6, 14)
    norm = Normalizer(statistics(reader))
    expected = norm.normalize("arm6", "action", reader.action(1)[13:19])
    np.testing.assert_allclose(batch.action[1, 1, :, :7], expected, rtol=1e-6)
    expected = norm.normalize("arm6", "state", reader.state(1)[14:20])
    np.testing.assert_allclose(batch.future_state[1, 1, :, :7], expected, rtol=1e-6)
    expected = norm.normalize("arm7_jaw", "state", reader.state(0)[7])
    np.testing.assert_allclose(batch.state[0, 1, :7], expected, rtol=1e-6)
    assert batch.action_mask[0, :, :3, :7].all()
    assert batch.action_mask.sum() == 2 * (3 + 6) * 7
    assert (batch.state_mask == batch.action_mask).all()
    assert not batch.action[~batch.action_mask].any()
    assert not batch.future_state[~batch.state_mask].any()
    assert batch.control_hz.tolist() == [10.0, 20.0]


def test_a_human_clip_and_a_missing_frame_teach_pictures_only() -> None:
    reader = mixed_reader()
    batch = lam_collator(reader).collate(windows(reader, CLIPS, (2, 0), (3, 1)))
    assert not batch.state_mask[0].any()
    assert not batch.action_mask[0].any()
    # Episode 3 has 5 steps: frames 1 and 4 exist, 7 does not.
    assert batch.state_mask[1, 0].any()
    assert not batch.state_mask[1, 1].any()
    assert batch.frame_mask.tolist() == [[True] * 3, [True, True, False]]
    assert torch.equal(batch.video[1, 1], batch.video[1, 2])
    assert not torch.equal(batch.video[1, 0], batch.video[1, 1])


@pytest.mark.parametrize("side", [32, 16])
def test_cached_and_freshly_decoded_pictures_are_equal(side: int) -> None:
    reader = mixed_reader()
    cut = windows(reader, CLIPS, (0, 4), (2, 3), (1, 9))
    cached, fresh = lam_collator(reader, side, cache_mb=10), lam_collator(reader, side, num_threads=2)
    assert cached.frames.cached
    assert not fresh.frames.cached
    for _ in range(2):
        assert torch.equal(cached.collate(cut).video, fresh.collate(cut).video)
    assert reader.num_reads == 3
    picture = reader.picture("primary", 2, 6)
    shown = cached.collate(cut).video[1, 1].permute(1, 2, 0).numpy()
    assert np.abs(shown.astype(int) - resize(picture, side, side)).mean() < 4


def test_a_batch_outlives_the_next_ones_that_are_prepared() -> None:
    reader = mixed_reader()
    collator = lam_collator(reader)
    first = collator.collate(windows(reader, CLIPS, (0, 4)))
    kept = first.video.clone()
    for start in range(2):
        collator.collate(windows(reader, CLIPS, (1, start)))
        assert torch.equal(first.video, kept)
    collator.collate(windows(reader, CLIPS, (1, 5)))
    assert not torch.equal(first.video, kept)


def test_a_policy_batch_joins_what_is_seen_said_planned_and_done() -> None:
    reader = mixed_reader()
    batch = act_collator(reader).collate(windows(reader, CHUNKS, (0, 4), (2, 6), (3, 2)))
    norm = Normalizer(statistics(reader))
    np.testing.assert_allclose(batch.state[0, :7], norm.normalize("arm7_jaw", "state", reader.state(0)[4]), rtol=1e-6)
    np.testing.assert_allclose(
        batch.action[0, :, :7], norm.normalize("arm7_jaw", "action", reader.action(0)[4:10]), rtol=1e-6
    )
    assert batch.state_mask.sum(1).tolist() == [7, 0, 7]
    np.testing.assert_array_equal(batch.latent[0, 1], reader.latent(0, "lam")[0][7])
    assert batch.latent_mask.tolist() == [[True, True], [True, True], [False, False]]
    assert batch.has_wrist.tolist() == [False, False, True]
    assert not batch.wrist[:2].any()
    assert batch.wrist[2].any()
    assert batch.embodiment_id.tolist() == [1, 3, 1]
    assert batch.steps_per_latent.tolist() == [3.0, 3.0, 3.0]
    assert not batch.action_mask[1].any()


@pytest.mark.parametrize(
    ("padded", "moves", "num_steps"),
    [
        *[("repeat", None, 6), ("rest", (0, 1, 2, 3, 4, 5), 6), ("rest", (), 6), ("rest", None, 3), ("skip", (), 3)],
        *[("middle", (0, 1, 2, 3, 4, 5), 6), ("middle", None, 3)],
    ],
)
def test_what_a_chunk_teaches_beyond_the_end(padded: str, moves: tuple[int, ...] | None, num_steps: int) -> None:
    class Pushing(MadeReader):
        """Demonstrations that end in the middle of a push."""

        def action(self, row: int) -> np.ndarray | None:
            action = super().action(row)
            if action is not None:
                action[-1, :6] = 0.07
            return action

    reader = Pushing([make_episode(row, num_steps=5) for row in range(4)])
    norm = Normalizer(statistics(reader, moves))
    batch = act_collator(reader, padded_actions=padded, normalizer=norm).collate(windows(reader, CHUNKS, (3, 2)))
    assert batch.action_mask[0, :, :7].all(1).tolist() == [True] * num_steps + [False] * (6 - num_steps)
    expected = reader.action(3)[-1]
    if padded == "rest" and moves:  # no further change; the last dimension, a gripper, stays where it was told to be
        expected[:6] = 0
    if padded == "middle" and moves:  # what normalises to 0
        middle = norm.invert("arm7_jaw", "action", np.zeros(7))
        expected[:6] = middle[:6]
        np.testing.assert_allclose(batch.action[0, 3:, :6], 0.0, atol=1e-6)
    if num_steps == 6:
        wanted = norm.normalize("arm7_jaw", "action", expected)
        np.testing.assert_allclose(batch.action[0, 3:, :7], np.tile(wanted, (3, 1)), atol=1e-6)
        # Zero is zero in metres: the middle of what was recorded lies elsewhere.
        assert padded != "rest" or not moves or np.abs(wanted[:6]).max() > 1e-3
    np.testing.assert_allclose(
        batch.action[0, :3, :7], norm.normalize("arm7_jaw", "action", reader.action(3)[2:]), atol=1e-6
    )


def test_a_robot_is_normalised_by_the_dataset_that_drives_it() -> None:
    reader = MadeReader([make_episode(0), make_episode(1, dataset="larder", dataset_id=2)])
    (whole,) = statistics(reader).values()
    apart = statistics(MadeReader([make_episode(0, embodiment="pantry"), make_episode(1, embodiment="larder")]))
    norm = Normalizer({"arm7_jaw": replace(whole, by_dataset=apart)})
    batch = act_collator(reader, normalizer=norm, use_wrist=False).collate(windows(reader, CHUNKS, (0, 4), (1, 4)))
    clips = replace(lam_collator(reader), normalizer=norm).collate(windows(reader, CLIPS, (0, 4), (1, 4)))
    for i, name in enumerate(("pantry", "larder")):
        wanted = norm.normalize("arm7_jaw", "action", reader.action(i)[4:10], name)
        np.testing.assert_allclose(batch.action[i, :, :7], wanted, rtol=1e-6)
        np.testing.assert_allclose(clips.action[i].flatten(0, 1)[:, :7], wanted, rtol=1e-6)
        felt = norm.normalize("arm7_jaw", "state", reader.state(i)[4], name)
        np.testing.assert_allclose(batch.state[i, :7], felt, rtol=1e-6)
        assert not np.allclose(wanted, norm.normalize("arm7_jaw", "action", reader.action(i)[4:10]))


def test_without_wrist_cameras_no_memory_goes_to_them() -> None:
    reader = mixed_reader()
    batch = act_collator(reader, use_wrist=False).collate(windows(reader, CHUNKS, (3, 0), (3, 1)))
    assert not batch.has_wrist.any()
    assert batch.wrist.shape == (2, 3, 32, 32)
    assert batch.wrist.untyped_storage().nbytes() == 3 * 32 * 32


def test_an_instruction_becomes_bos_words_newline() -> None:
    tokenizer = Tokenizer.train(["press the button", "close the window"], 300)
    ids, mask = tokenizer.encode(["press the button", "close"], 8)
    assert ids[0, 0] == 2
    assert mask[0].sum() > mask[1].sum() >= 3
    assert not ids[~mask].any()
    assert ids[0, mask[0].sum() - 1] == ids[1, mask[1].sum() - 1]  # the newline
    again = Tokenizer(tokenizer.text)
    np.testing.assert_array_equal(again.encode(["press the button", "close"], 8)[0], ids)
    assert Tokenizer.train(["close the window", "press the button"], 300).text == tokenizer.text


@pytest.mark.timeout(60)
def test_a_tokenizer_that_is_a_pipe_or_without_end_is_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DataEngineError, match=r"pipe.json: not a tokenizer.json: .*no regular file"):
        Tokenizer.read(tmp_path / "pipe.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2**40)  # no byte of it is on the disk
    with pytest.raises(DataEngineError, match=r"huge.json: not a tokenizer.json: it has more than 134217728 bytes"):
        Tokenizer.read(tmp_path / "huge.json")


def test_a_server_that_hears_ever_new_instructions_keeps_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.training.tokenizer.MOST_KNOWN", 100)
    tokenizer = Tokenizer.train(["press the button"], 300)
    first, _ = tokenizer.encode(["press button 0"], 512)
    tracemalloc.start()
    for i in range(1000):  # of 4 KB each
        tokenizer.encode([f"press button {i}"], 512)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000
    np.testing.assert_array_equal(tokenizer.encode(["press button 0"], 512)[0], first)


def test_any_words_can_be_encoded_and_long_ones_lose_their_end_with_a_warning(capsys: pytest.CaptureFixture) -> None:
    tokenizer = Tokenizer.train(["press the button"], 300)
    ids, mask = tokenizer.encode(["öffne die 抽屉 " * 9] * 3, 8)
    assert mask.all()
    assert capsys.readouterr().err.count("loses its end, the model reads 8") == 1
    assert ids.max() < tokenizer.vocab_size <= 300


def test_a_policy_is_told_what_holds_at_the_start_of_its_window() -> None:
    said = [f"do step {k - k % 3}" for k in range(30)]
    reader = MadeReader([make_episode(0, texts=texts.spans([text] for text in said))])
    tokenizer = Tokenizer.train(said, 300)
    batch = act_collator(reader, tokenizer=tokenizer, text_length=32).collate(
        windows(reader, CHUNKS, *((0, k) for k in (3, 0, 17, 29)))
    )
    wanted, _ = tokenizer.encode([said[k] for k in (3, 0, 17, 29)], 32)
    assert np.array_equal(batch.token_ids.numpy(), wanted)
    assert len({row.tobytes() for row in wanted}) == 4


def test_pictures_of_many_windows_come_in_one_read_for_each_camera() -> None:
    reader = MadeReader([make_episode(0, cameras=("primary", "wrist")), make_episode(1)])
    some = windows(reader, CHUNKS, (0, 3), (1, 4), (0, 5))
    act_collator(reader, frames=Frames(reader, ("primary", "wrist"), 32)).collate(some)
    assert reader.num_reads == 2
