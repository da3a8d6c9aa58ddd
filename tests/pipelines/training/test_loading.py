"""Batches come in an order that nothing but seed and step decides, from memory that does not grow."""

import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import pytest
import torch

from dataengine.errors import DataEngineError
from dataengine.windows.mixture import BLOCK, WindowSampler
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec
from models.batch import LamBatch
from pipelines.training.collators import LamCollator
from pipelines.training.data_wait import advice
from pipelines.training.frames import Buffers, Frames
from pipelines.training.loading import Loader
from tests.support.readers import MadeReader, make_episode, statistics

SPEC = WindowSpec(num_frames=2, interval_s=0.3)
BATCH = 8


class Pictures(MadeReader):
    """Encodes each picture once: what is measured is the loader."""

    def __init__(self, num_episodes: int = 6) -> None:
        super().__init__([make_episode(i, num_steps=20 + i) for i in range(num_episodes)])
        self._jpegs: dict[tuple[int, int], bytes] = {}
        self._state = {e.row: MadeReader.state(self, e.row) for e in self.episodes}
        self.num_asked = 0

    def state(self, row: int):
        return self._state[row]

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        self.num_asked += len(wanted)
        for pair in wanted:
            if pair not in self._jpegs:
                self._jpegs[pair] = super().jpegs(slot, [pair])[0]
        return [self._jpegs[pair] for pair in wanted]


def loader_of(
    reader: MadeReader, rank: int = 0, world_size: int = 1, batch_size: int = BATCH, cache_mb: float = 0
) -> Loader[LamBatch]:
    collator = LamCollator(
        frames=Frames(reader, SPEC.slots, reader.size, cache_mb=cache_mb),
        buffers=Buffers(4),
        normalizer=Normalizer(statistics(reader)),
        state_dim=7,
        action_dim=7,
    )
    sampler = WindowSampler(reader.episodes, SPEC, batch_size=batch_size, seed=3)
    return Loader(reader, SPEC, sampler, collator, rank, world_size)


@pytest.fixture
def loaders() -> Iterator[list[Loader[LamBatch]]]:
    """Loaders that are closed in the end."""
    opened: list[Loader[LamBatch]] = []
    yield opened
    for loader in opened:
        loader.close()


def drawn(loaders: Sequence[Loader[LamBatch]], num_batches: int) -> list[LamBatch]:
    """Global batches of some ranks, side by side; copied, as buffers are used again."""
    batches = []
    for parts in islice(zip(*loaders, strict=True), num_batches):
        names = LamBatch.__dataclass_fields__
        batches.append(LamBatch(**{n: torch.cat([getattr(p, n) for p in parts]).clone() for n in names}))
    return batches


def assert_equal(one: LamBatch, other: LamBatch) -> None:
    for name in LamBatch.__dataclass_fields__:
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_stream_killed_anywhere_goes_on_exactly_with_any_number_of_ranks(loaders: list) -> None:
    reader = Pictures()
    loaders.append(loader_of(reader))
    whole = drawn(loaders, 12)
    for stop, before, after in ((1, 1, 2), (5, 2, 4), (7, 4, 1)):
        ranks = [loader_of(reader, rank, before) for rank in range(before)]
        loaders += ranks
        first = drawn(ranks, stop)
        state = ranks[-1].state_dict()
        assert state == {"step": stop}, "what was prepared ahead has not been seen"
        again = [loader_of(reader, rank, after) for rank in range(after)]
        loaders += again
        for loader in again:
            loader.load_state_dict(state)
        for one, other in zip(whole, first + drawn(again, 12 - stop), strict=True):
            assert_equal(one, other)


def test_a_loader_in_use_can_be_set_back(loaders: list) -> None:
    loaders.append(loader_of(Pictures()))
    first = drawn(loaders, 5)
    loaders[0].load_state_dict({"step": 2})
    assert_equal(drawn(loaders, 1)[0], first[2])


def test_resuming_late_is_no_more_work_than_resuming_early(loaders: list, monkeypatch: pytest.MonkeyPatch) -> None:
    work = {}
    for step in (10, 1_000_000):
        reader, positions = Pictures(), []
        at = WindowSampler.at
        with monkeypatch.context() as patch:
            patch.setattr(WindowSampler, "at", lambda s, p, at=at, seen=positions: (seen.append(len(p)), at(s, p))[1])
            loader = loader_of(reader)
            loaders.append(loader)
            loader.load_state_dict({"step": step})
            batch = loader.make(step)
        assert batch.video.shape[:2] == (BATCH, 2)
        work[step] = (sum(positions), reader.num_asked)
    assert work[10] == work[1_000_000] == (BLOCK, 2 * BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("num_batches", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_thousands_of_batches_leave_nothing_in_memory(loaders: list, num_batches: int) -> None:
    loader = loader_of(Pictures(), batch_size=2)
    loaders.append(loader)
    for _ in islice(loader, 500):  # all pictures encoded, all buffers taken
        pass
    gc.collect()
    tracemalloc.start()
    held = []
    for number, _ in enumerate(islice(loader, num_batches), start=1):
        if number % (num_batches // 4) == 0:
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # Bytes; two blocks of drawn positions come and go. A thousand batches have 12.3 MB of pictures.
    assert max(held) - min(held) < 1_000_000


def test_a_loader_tells_its_stages_apart(loaders: list) -> None:
    loader = loader_of(Pictures())
    loaders.append(loader)
    list(islice(loader, 20))
    ms = loader.seconds.per_batch_ms()
    assert set(ms) == {"cut", "read", "decode", "pack", "wait"}
    assert all(value >= 0 for value in ms.values())
    assert ms["decode"] > 0
    loader.close()
    frames = loader.collator.frames
    np.testing.assert_allclose(loader.seconds.read, frames.read_s)


@pytest.mark.parametrize(
    ("ms", "threads", "said"),
    [
        ({"decode": 40.0, "wait": 30.0}, 1, "waited for data 60% .* 44 ms, 40 of them for decoding .*threads=4"),
        ({"decode": 40.0, "wait": 30.0}, 4, "decoding .*cache_mb"),
        ({"read": 40.0, "wait": 30.0}, 1, "reading pictures.*villa shard"),
        ({"pack": 40.0, "wait": 30.0}, 1, "normalising.*more ranks"),
        ({"decode": 40.0, "wait": 1.0}, 1, "^$"),
    ],
)
def test_a_waiting_trainer_is_told_what_helps(ms: dict[str, float], threads: int, said: str) -> None:
    import re

    stages = {"cut": 1.0, "read": 1.0, "decode": 1.0, "pack": 2.0, **ms}
    assert re.search(said, advice(stages, 50.0, threads, num_cores=4))


class Broken(Pictures):
    """Some pictures have a start, an end and next to nothing between."""

    def __init__(self, broken: set[tuple[int, int]], num_episodes: int = 6) -> None:
        super().__init__(num_episodes)
        self.bad = broken

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        jpegs = super().jpegs(slot, wanted)
        for i, pair in enumerate(wanted):
            if pair in self.bad:
                jpegs[i] = jpegs[i][: jpegs[i].index(b"\xff\xda") + 20] + b"\xff\xd9"
        return jpegs


@pytest.mark.parametrize("cache_mb", [0, 100])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_windows_that_show_a_broken_picture_are_left_out_and_resuming_sees_the_same(
    capsys: pytest.CaptureFixture[str], cache_mb: float, batch_size: int
) -> None:
    broken = {(row, frame) for row in range(3) for frame in range(4, 14)}

    def videos(reader: MadeReader, steps: Iterator[int] | range) -> list[bytes]:
        loader = loader_of(reader, batch_size=batch_size, cache_mb=cache_mb)
        try:
            return [loader.make(step).video.clone().numpy().tobytes() for step in steps]
        finally:
            loader.close()

    whole = videos(Broken(broken), range(12))
    said = capsys.readouterr().err
    black = bytes(3 * 32 * 32)
    assert not any(black in video for video in whole)
    assert whole[7:] == videos(Broken(broken), range(7, 12))
    assert [videos(Broken(broken), range(i, i + 1))[0] for i in (3, 9)] == [whole[3], whole[9]]
    assert whole != videos(Pictures(), range(12))
    names = [line.split()[1] for line in said.splitlines()]
    assert len(names) == len(set(names)) > 0
    assert set(names) <= {f"{episode.episode_id}:" for episode in Pictures().episodes[:3]}
    assert "does not decode" in said
    assert "drop_broken_pictures" in said


def test_a_batch_made_twice_does_not_end_the_life_of_those_before_it() -> None:
    reader = Broken({(row, frame) for row in range(6) for frame in range(3, 8)})
    loader = loader_of(reader)
    try:
        kept = [loader.make(step).video for step in range(4)]
        before = [video.clone() for video in kept]
        loader.make(4)
        assert all(torch.equal(one, other) for one, other in zip(kept[1:], before[1:], strict=True))
    finally:
        loader.close()


def test_where_nothing_decodes_the_run_says_so() -> None:
    reader = Broken({(row, frame) for row in range(6) for frame in range(40)})
    loader = loader_of(reader, batch_size=1)
    try:
        with pytest.raises(DataEngineError, match="100 batches one after another show pictures that do not decode"):
            loader.make(0)
    finally:
        loader.close()
