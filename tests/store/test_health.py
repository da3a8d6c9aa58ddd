from pathlib import Path

import lance
import pytest

from dataengine.store import Corpus, add_episodes
from store.npz_source import make_episode


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "corpus")
    add_episodes(corpus, [make_episode(name, steps=4, cameras=("primary", "wrist")) for name in "abc"])
    return corpus


def table(corpus: Corpus) -> lance.LanceDataset:
    return lance.dataset(f"{corpus.uri}/episodes.lance")


def problems(corpus: Corpus, deep: bool = False) -> list[str]:
    corpus.refresh()
    report = corpus.verify(deep=deep)
    assert report.ok == (not report.problems)
    assert not any("\n" in problem for problem in report.problems)
    return report.problems


def test_a_sound_corpus_has_no_problems(corpus: Corpus) -> None:
    report = corpus.verify()
    assert (report.problems, report.episodes, report.steps, report.frames_decoded) == ([], 3, 12, 6)
    assert corpus.verify(deep=True).frames_decoded == 24


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("num_steps", "3", "time_ns has 4 values for 3 steps"),
        ("state_dim", "6", "state has 28 values for 4 steps of 6"),
        ("action", "NULL", "action has 0 values for 4 steps of 7"),
        ("dataset_id", "9", "dataset 'npz' has id 9 here, 1 in datasets.lance"),
        ("source_record", "'z'", "its id is not the hash of npz and z"),
        ("height_wrist", "NULL", "camera wrist lacks height_wrist"),
        ("width_primary", "99", "camera primary, frame 0 is 32x48, expected 32x99"),
    ],
)
def test_a_row_that_contradicts_itself_is_named(corpus: Corpus, column: str, value: str, words: str) -> None:
    table(corpus).update({column: value}, where="source_record = 'b'")
    name = make_episode("b").episode_id
    assert f"episode {name}: {words}" in problems(corpus)


def test_a_number_that_is_none_is_found(corpus: Corpus) -> None:
    table(corpus).update({"state": "make_array(CAST('NaN' AS FLOAT))", "state_dim": "1"}, where="source_record = 'b'")
    table(corpus).update({"num_steps": "1"}, where="source_record = 'b'")
    assert any(problem.endswith("state is not finite") for problem in problems(corpus))


def test_an_episode_that_comes_twice_is_found(corpus: Corpus) -> None:
    add_episodes(corpus, [make_episode("b", steps=4)], "again")
    assert problems(corpus) == [f"episode {make_episode('b').episode_id}: comes twice"]


def test_only_a_deep_look_finds_a_spoilt_frame(corpus: Corpus) -> None:
    """All but the first frame of one camera are overwritten in place."""
    (file,) = Path(corpus.uri, "episodes.lance", "data").glob("*.lance")
    told = make_episode("b", steps=4, cameras=("primary", "wrist")).cameras["wrist"].jpegs[2]
    data = file.read_bytes()
    assert data.count(told) >= 1
    file.write_bytes(data.replace(told, bytes(len(told))))
    assert problems(corpus) == []
    assert any("camera wrist, frame 2 does not decode" in problem for problem in problems(corpus, deep=True))


def test_info_counts_what_is_there(corpus: Corpus) -> None:
    none = dict.fromkeys(("state", "action", "raw_state", "raw_action"))
    add_episodes(corpus, [make_episode("clip", steps=20, embodiment="human_hand", kind="human", **none)], "clips")
    info = corpus.info()
    assert (info.episodes, info.steps, info.schema_version) == (4, 32, 1)
    assert info.cameras == {"primary": 4, "wrist": 3}
    assert [(g.embodiment, g.kind, g.episodes, g.steps) for g in info.groups] == [
        ("arm", "robot", 3, 12),
        ("human_hand", "human", 1, 20),
    ]
    assert sum(g.hours for g in info.groups) == pytest.approx(32 / 10 / 3600)
    stored = corpus.jpegs("primary", [(i, f) for i in corpus.episode_ids() for f in range(4)])
    assert info.bytes > sum(map(len, stored))
    assert "4 episodes, 32 steps" in info.summary()
