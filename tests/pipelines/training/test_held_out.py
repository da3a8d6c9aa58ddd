"""What is held out: a share of robots' episodes, and of people's whole groups, alike in a corpus and in shards."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dataengine.episode import Cut, Episode
from dataengine.errors import DataEngineError
from dataengine.shards.manifest import INDEX
from dataengine.shards.reader import ShardReader
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows.episode_info import EpisodeInfo, is_held_out
from dataengine.windows.episode_table import EpisodeTable
from pipelines import shard, stats
from pipelines.analysis.pairs import choose
from pipelines.training.held_out import one_sided, split
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode
from tests.support.readers import MadeReader, make_episode
from tests.support.shards import write

SHARE = 0.3


def filmed(record: str, group: str, **changes: str) -> Episode:
    """A clip that somebody of a group filmed."""
    about = {"label_start_s": 0.0, "label_end_s": 1.0, "clip_start_s": 0.0, "clip_end_s": 2.0}
    clip = human_clip(record, dataset=changes.pop("dataset", "kitchens"))
    return replace(clip, cut=Cut(video=record, split_group=group, **about), **changes)


def clips(groups: dict[str, int], first: int = 0, **more: object) -> list[EpisodeInfo]:
    """So many clips of each group."""
    names = [group for group, count in groups.items() for _ in range(count)]
    about = {"dataset": "kitchens", "embodiment": "human_hand", "kind": "human", **more}
    return [make_episode(first + row, split_group=name, **about) for row, name in enumerate(names)]


def sides(episodes: list[EpisodeInfo]) -> tuple[set[str], set[str]]:
    groups: tuple[set[str], set[str]] = (set(), set())
    for e in episodes:
        groups[is_held_out(e, SHARE)].add(e.split_group)
    return groups


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    parts = {"robots": [robot_episode(f"r{i}", num_steps=20) for i in range(6)]}
    corpus = make_corpus(tmp_path_factory.mktemp("groups") / "corpus", parts)
    people = [filmed(f"v{i}", f"P{i % 12:02}") for i in range(36)]
    people.append(filmed("told", "P00", split="val"))
    add_parts(corpus, {"people": people})
    add_parts(corpus, {"captions": [filmed(f"c{i}", f"P{i:02}", dataset="captions") for i in range(12)]})
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    return corpus


def test_nobody_is_on_both_sides_even_where_two_datasets_show_them(corpus: Corpus) -> None:
    episodes = [e for e in TableReader(corpus).episodes if e.split == "train" and e.kind == "human"]
    train, away = sides(episodes)
    assert train
    assert away
    assert not train & away
    assert {e.dataset for e in episodes if is_held_out(e, SHARE)} == {"kitchens", "captions"}


def test_a_publishers_split_holds_out_beside_the_groups(corpus: Corpus) -> None:
    (published,) = [e for e in TableReader(corpus).episodes if e.split == "val"]
    assert is_held_out(published, 0.0)
    assert not is_held_out(replace(published, split="train"), 0.0)


def test_groups_are_held_out_in_the_wanted_share() -> None:
    episodes = clips({f"person {i}": 1 + i % 3 for i in range(1000)})
    assert 0.25 < sum(is_held_out(e, SHARE) for e in episodes) / len(episodes) < 0.35


def test_robots_are_held_out_as_they_always_were(corpus: Corpus) -> None:
    """By the hash of their ids: these rows were found before there were groups."""
    episodes = [make_episode(row) for row in range(60)]
    assert [e.row for e in episodes if is_held_out(e, 0.1)] == [5, 7, 8, 14, 43, 48, 59]
    assert {e.split_group for e in TableReader(corpus).episodes if e.kind == "robot"} == {""}


def test_shards_hold_out_what_the_corpus_does(corpus: Corpus, tmp_path: Path) -> None:
    shard.run(shard.ShardConfig(corpus=corpus.uri, out=str(tmp_path), shard_mb=0.1, threads=1))
    there, stored = TableReader(corpus), ShardReader(tmp_path)
    groups = [{e.episode_id: e.split_group for e in reader.episodes} for reader in (there, stored)]
    assert groups[0] == groups[1]
    assert there.identity.fingerprint == stored.identity.fingerprint
    held = [{e.episode_id for e in split(reader, SHARE)[1]} for reader in (there, stored)]
    assert held[0] == held[1]


def test_another_group_is_other_data() -> None:
    one, other = (MadeReader(clips({name: 3})).identity.fingerprint for name in ("me", "you"))
    assert one != other


def test_a_dataset_of_one_group_is_told_whichever_side_it_is_on() -> None:
    robots = [make_episode(row) for row in range(60)]
    for name in ("me", "you", "they", "we", "she"):
        mine = clips({name: 4}, first=60)
        train, away = split(MadeReader([*robots, *mine]), 0.5)
        (note,) = one_sided(train, away, 0.5)
        if is_held_out(mine[0], 0.5):
            assert note == (
                f"kitchens: all 4 episodes, which are of 1 group ({name}), are held out; lower val_fraction from 0.5"
            )
        else:
            assert note == (
                f"kitchens: no episode is held out: its 4 are of 1 group ({name}), of which val_fraction=0.5 took none"
            )
    assert len({is_held_out(clips({name: 1})[0], 0.5) for name in ("me", "you", "they", "we", "she")}) == 2


def test_no_word_is_lost_on_datasets_with_both_sides_or_without_groups() -> None:
    people = clips({f"person {i}": 2 for i in range(40)})
    assert not list(one_sided(*split(MadeReader(people), SHARE), SHARE))
    robots, nobody = EpisodeTable.of([make_episode(row) for row in range(2)]), EpisodeTable.of([])
    assert not list(one_sided(robots, nobody, SHARE))
    assert not list(one_sided(EpisodeTable.of(people), nobody, 0.0))


def test_where_nothing_is_left_to_train_on_it_says_why() -> None:
    gone = [e for i in range(20) for e in clips({f"p{i}": 2}, first=2 * i) if is_held_out(e, SHARE)]
    with pytest.raises(DataEngineError, match=r"which are of \d groups \(p.*\), are held out; lower val_fraction"):
        split(MadeReader([replace(e, row=row) for row, e in enumerate(gone)]), SHARE)
    episodes = [make_episode(0, split="test")]
    with pytest.raises(DataEngineError, match="all 1 episodes are held out by their publisher's split"):
        split(MadeReader(episodes), SHARE)


def test_a_probe_borrows_whole_groups() -> None:
    """Where training held nothing out, the probe keeps some from itself, and nobody is on both of its sides."""
    kept = [name for name in map(str, range(40)) if not is_held_out(clips({name: 1})[0], 0.1)][:4]
    episodes = clips(dict.fromkeys(kept, 5))
    (choice,) = choose(episodes, 0.3, held_out=0.1, most_train=100, most_held_out=100)
    assert choice.borrowed == 5
    train, test = ({e.split_group for e in side.episodes} for side in (choice.train, choice.test))
    assert test == {kept[0]}
    assert train == set(kept[1:])
    (alone,) = choose(episodes[:5], 0.3, held_out=0.1, most_train=100, most_held_out=100)
    assert alone.lacks == "no held-out episodes"


def test_shards_without_groups_say_nothing_of_them(tmp_path: Path) -> None:
    """They are equal, byte for byte, to those of before there were groups."""
    write(tmp_path, MadeReader([make_episode(row) for row in range(3)]))
    assert pq.read_schema(tmp_path / "shard-000000.parquet").names == INDEX.names
    assert b"split_group" not in (tmp_path / "shard-000000.tar").read_bytes()
