"""Columns of episodes say what their objects say."""

import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dataengine.episode import Text
from dataengine.texts import whole_episode
from dataengine.windows.episode_columns import spell_ids
from dataengine.windows.episode_info import EpisodeInfo, is_held_out
from dataengine.windows.episode_table import EpisodeTable, fingerprint
from dataengine.windows.window import WindowSpec
from tests.support.readers import make_episode

SPECS = [
    WindowSpec(num_frames=2, interval_s=0.3),
    WindowSpec(num_frames=8, interval_s=0.7),
    WindowSpec(interval_s=0.3, horizon=8, latent="lam", num_latents=2),
    WindowSpec(num_frames=3, slots=("primary", "wrist")),
]


def many(count: int = 300, **kwargs: object) -> list[EpisodeInfo]:
    draw = random.Random(1)
    return [
        make_episode(
            row,
            **{
                "num_steps": draw.randrange(1, 60),
                "dataset": draw.choice(["b", "a", "é"]),
                "embodiment": draw.choice(["x", "y"]),
                "kind": draw.choice(["robot", "human"]),
                "control_hz": draw.choice([3.0, 29.97]),
                "split": draw.choice(["train", "train", "Val"]),
                "split_group": draw.choice(["", "", "anna", "ben"]),
                "cameras": draw.choice([("primary",), ("wrist", "primary"), ()]),
                "episode_id": f"{draw.getrandbits(64):016x}",
                "texts": draw.choice([(), (Text(0, 1, ("a", "ü")), Text(0, 1, ("b",)))]),
                **kwargs,
            },
        )
        for row in range(count)
    ]


@pytest.mark.parametrize("ids", ["digests", "names"])
def test_every_episode_comes_back_whole(ids: str) -> None:
    episodes = [replace(e, episode_id=f"clip {e.row}") if ids == "names" else e for e in many()]
    episodes[7] = replace(episodes[7], texts=whole_episode(["all of it"], episodes[7].num_steps))
    table = EpisodeTable.of(episodes)
    assert list(table) == episodes == [table[i] for i in range(len(table))]
    assert table[-1] == episodes[-1]
    assert list(table[10:20]) == episodes[10:20]
    assert list(table.select(table.num_steps > 30)) == [e for e in episodes if e.num_steps > 30]
    assert table.phrases() == {phrase for e in episodes for phrase in e.instruction}
    assert [e.episode_id for e in table.first_ids(9)] == sorted(e.episode_id for e in episodes)[:9]
    with pytest.raises(IndexError):
        table[len(table)]


@pytest.mark.parametrize("spec", SPECS)
def test_windows_of_all_are_those_of_each(spec: WindowSpec) -> None:
    episodes = many()
    assert spec.count_windows(EpisodeTable.of(episodes)).tolist() == [spec.num_windows(e) for e in episodes]


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 1.0])
def test_those_held_out_are_the_same(fraction: float) -> None:
    episodes = many()
    away = EpisodeTable.of(episodes).held_out(fraction)
    assert away.tolist() == [is_held_out(e, fraction) for e in episodes]
    assert away.sum() > 0


def test_a_hash_at_the_edge_of_the_share_decides_exactly() -> None:
    one = make_episode(0)
    share = np.array(0.0)
    for bit in range(1, 54):  # the hash itself, found by asking
        share = share + (0.0 if is_held_out(one, float(share + 2.0**-bit)) else 2.0**-bit)
    edge = float(share)
    for fraction in (edge, np.nextafter(edge, 1), np.nextafter(edge, 0), edge + 2**-40, edge - 2**-40):
        assert EpisodeTable.of([one]).held_out(float(fraction)).tolist() == [is_held_out(one, float(fraction))]


def test_setups_count_their_episodes_and_steps() -> None:
    episodes = many()
    counted = {
        (s.dataset, s.kind, s.cameras, s.embodiment, s.split, s.control_hz): (count, steps)
        for s, count, steps in EpisodeTable.of(episodes).select(np.arange(200)).by_setup()
    }
    for key, (count, steps) in counted.items():
        mine = [e for e in episodes[:200] if (e.dataset, e.kind, e.cameras, e.embodiment, e.split, e.control_hz) == key]
        assert (count, steps) == (len(mine), sum(e.num_steps for e in mine))


def test_order_is_that_of_datasets_and_ids_and_the_fingerprint_knows_none() -> None:
    episodes = many()
    shuffled = random.Random(2).sample(episodes, len(episodes))
    ordered = sorted(episodes, key=lambda e: (e.dataset, e.episode_id))
    assert list(EpisodeTable.of(shuffled).in_order()) == ordered
    assert fingerprint(EpisodeTable.of(shuffled)) == fingerprint(EpisodeTable.of(episodes))
    # As version 0.1 hashed these, so that its checkpoints go on.
    assert fingerprint(EpisodeTable.of(many(5, texts=()))) == "23e826bd6ee0b12c"


def test_a_table_of_nobody_is_empty() -> None:
    nobody = EpisodeTable.of([])
    assert (len(nobody), list(nobody), nobody.phrases(), nobody.by_setup()) == (0, [], set(), [])
    assert nobody.held_out(0.5).tolist() == []


def test_ids_of_millions_of_episodes_are_one_array() -> None:
    many_ids = pa.array(np.arange(3_000_000, dtype=np.uint64))
    spelt = spell_ids(many_ids)
    assert isinstance(spelt, pa.StringArray)
    assert spelt[2_999_999].as_py() == f"{2_999_999:016x}"
    assert spell_ids(many_ids[7:9]).to_pylist() == [f"{i:016x}" for i in (7, 8)]
