from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import lance
import numpy as np
import pytest
import simplejpeg

from dataengine.episode import CAMERA_SLOTS, CameraFrames, Reject
from dataengine.store import Committer, Corpus, add_episodes
from dataengine.store.upkeep import health, verify
from tests.support.npz_source import make_episode, make_jpeg


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "corpus")
    add_episodes(corpus, [make_episode(name, steps=4, cameras=("primary", "wrist")) for name in "abc"])
    return corpus


def table(corpus: Corpus) -> lance.LanceDataset:
    return lance.dataset(f"{corpus.uri}/episodes.lance")


def problems(corpus: Corpus, deep: bool = False) -> list[str]:
    corpus.refresh()
    report = verify.verify(corpus, deep=deep)
    assert report.ok == (not report.problems)
    assert not any("\n" in problem for problem in report.problems)
    return report.problems


def test_a_sound_corpus_has_no_problems(corpus: Corpus) -> None:
    report = verify.verify(corpus)
    assert (report.problems, report.episodes, report.steps, report.frames_decoded) == ([], 3, 12, 6)
    assert verify.verify(corpus, deep=True).frames_decoded == 24


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("num_steps", "3", "time_ns has 4 values for 3 steps"),
        ("state_dim", "6", "state has 28 values for 4 steps of 6"),
        ("action", "NULL", "action has 0 values for 4 steps of 7"),
        ("dataset_id", "9", "dataset 'npz' has id 9 here, 1 in datasets.lance"),
        ("source_record", "'z'", "its id is not the hash of npz and z"),
        ("height_wrist", "NULL", "camera wrist lacks height_wrist"),
        ("width_primary", "99", "camera primary, frame 3 is 32x48, expected 32x99"),
    ],
)
def test_a_row_that_contradicts_itself_is_named(corpus: Corpus, column: str, value: str, message: str) -> None:
    table(corpus).update({column: value}, where="source_record = 'b'")
    name = make_episode("b").episode_id
    assert f"episode {name}: {message}" in problems(corpus)


def test_a_number_that_is_none_is_found(corpus: Corpus) -> None:
    table(corpus).update({"state": "make_array(CAST('NaN' AS FLOAT))", "state_dim": "1"}, where="source_record = 'b'")
    table(corpus).update({"num_steps": "1"}, where="source_record = 'b'")
    assert any(problem.endswith("state is not finite") for problem in problems(corpus))


def test_an_episode_that_comes_twice_is_found(corpus: Corpus) -> None:
    add_episodes(corpus, [make_episode("b", steps=4)], "again")
    assert problems(corpus) == [f"episode {make_episode('b').episode_id}: comes 2 times"]


def test_only_a_deep_look_finds_a_spoilt_frame(corpus: Corpus) -> None:
    """A frame in the middle is overwritten in place; the last one is sound."""
    (file,) = Path(corpus.uri, "episodes.lance", "data").glob("*.lance")
    jpeg = make_episode("b", steps=4, cameras=("primary", "wrist")).cameras["wrist"].jpegs[2]
    data = file.read_bytes()
    assert data.count(jpeg) >= 1
    file.write_bytes(data.replace(jpeg, bytes(len(jpeg)), 1))
    assert problems(corpus) == []
    name = make_episode("a").episode_id
    other_bytes, no_picture = problems(corpus, deep=True)
    assert other_bytes == f"episode {name}: camera wrist has other bytes than were written: its checksum differs"
    assert f"episode {name}: camera wrist, frame 2 does not decode" in no_picture


def test_a_deep_look_finds_a_frame_that_decodes_to_another_picture(corpus: Corpus) -> None:
    """A frame is replaced by another of the same length, as a swapped sector would."""
    (file,) = Path(corpus.uri, "episodes.lance", "data").glob("*.lance")
    jpegs = make_episode("b", steps=4, cameras=("primary", "wrist")).cameras["wrist"].jpegs
    longer, shorter = sorted(jpegs[:2], key=len, reverse=True)
    other = shorter + bytes(len(longer) - len(shorter))
    file.write_bytes(file.read_bytes().replace(longer, other, 1))
    assert problems(corpus) == []
    (problem,) = problems(corpus, deep=True)
    assert problem.endswith("camera wrist has other bytes than were written: its checksum differs")


def test_rows_from_before_there_were_checksums_are_sound(corpus: Corpus) -> None:
    """Also an older corpus takes in new episodes: what they have more becomes a column."""
    columns = [f"crc32c_{slot}" for slot in CAMERA_SLOTS]
    table(corpus).drop_columns(columns)
    assert problems(corpus, deep=True) == []
    newer = Corpus.open_or_create(corpus.uri)
    add_episodes(newer, [make_episode("later")], "later")
    report = verify.verify(newer, deep=True)
    assert (report.problems, report.episodes, report.checksums) == ([], 4, 1)
    assert newer.table(["crc32c_primary"])["crc32c_primary"].null_count == 3


def test_any_number_of_threads_finds_the_same(corpus: Corpus) -> None:
    for part in range(5):
        add_episodes(corpus, [make_episode(f"{part}/{i}", seed=i) for i in range(9)], f"p{part}")
    table(corpus).update({"num_steps": "3"}, where="source_record LIKE '%/4'")
    corpus.refresh()
    one, many = (verify.verify(corpus, deep=True, workers=workers) for workers in (1, 7))
    assert one == many
    assert (one.num_problems > 5, one.episodes, one.parts) == (True, 48, 6)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_file_that_is_not_whole_is_named(corpus: Corpus, damage: str) -> None:
    (file,) = Path(corpus.uri, "episodes.lance", "data").glob("*.lance")
    size = file.stat().st_size
    if damage == "missing":
        file.unlink()
        assert problems(corpus) == [f"file data/{file.name} of fragment 0 is missing"]
    else:
        file.write_bytes(file.read_bytes()[:-100])
        assert f"file data/{file.name} has {size - 100} bytes, expected {size}" in problems(corpus)


def test_a_blob_that_is_cut_short_costs_the_episodes_that_lie_behind_the_cut(tmp_path: Path) -> None:
    """Large blobs lie packed in a file of their own, one after another."""
    corpus = Corpus.create(tmp_path / "corpus")
    episodes = [make_episode(name, steps=2, cameras=()) for name in "abc"]
    draw = np.random.default_rng(0)
    for i, episode in enumerate(episodes):
        picture = np.ascontiguousarray(draw.integers(0, 255, (256, 256, 3), dtype=np.uint8))
        jpegs = [simplejpeg.encode_jpeg(picture, 95, "RGB", "420")] * 2
        frames = CameraFrames(jpegs=jpegs, height=256, width=256, native_height=256, native_width=256)
        episodes[i] = replace(episode, cameras={"primary": frames})
    add_episodes(corpus, episodes)
    assert problems(corpus, deep=True) == []
    (blob,) = Path(corpus.uri, "episodes.lance", "data").rglob("*.blob")
    blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2])
    problems_listed = problems(corpus)
    assert len(problems_listed) == 2
    assert all("camera primary cannot be read" in problem for problem in problems_listed)
    assert not any(episodes[0].episode_id in problem for problem in problems_listed)


def test_a_part_that_is_committed_and_given_up_is_told(corpus: Corpus) -> None:
    (part,) = {row["part_id"] for row in corpus.table(["part_id"]).to_pylist()}
    reject = Reject(part_id=part, dataset="npz", source_uri="x", record="", reason="hung")
    Committer(corpus.uri, "run").reject_parts([(reject, "f")])
    (problem,) = problems(corpus)
    assert problem.startswith(f"part {part}: is in the table and in rejects.lance as given up")


def test_a_part_that_was_mixed_from_two_states_of_its_source_is_told(corpus: Corpus) -> None:
    table(corpus).update({"source_fingerprint": "'other'"}, where="source_record = 'b'")
    (problem,) = problems(corpus)
    assert problem.endswith("its rows come from 2 datasets or states of its source, expected one")


def test_rows_of_a_run_that_nobody_wrote_down_are_told(corpus: Corpus) -> None:
    table(corpus).update({"run_id": "'ghost'"}, where="source_record = 'b'")
    assert problems(corpus) == ["run ghost: wrote rows but is not in runs.lance"]


def test_a_snapshot_whose_version_is_gone_is_told(corpus: Corpus) -> None:
    corpus.take_snapshot("v1")
    version = corpus.version
    add_episodes(corpus, [make_episode("later")], "later")
    table(corpus).tags.delete("v1")
    table(corpus).cleanup_old_versions(timedelta(microseconds=1))
    assert problems(corpus) == [f"snapshot v1: version {version} of episodes.lance is gone"]


def test_frames_of_two_sizes_are_noted_but_no_fault(corpus: Corpus) -> None:
    frames = make_episode(steps=4).cameras["primary"]
    small = CameraFrames(
        jpegs=[make_jpeg(16, 16, t) for t in range(4)], height=16, width=16, native_height=320, native_width=480
    )
    add_episodes(corpus, [make_episode("x", steps=4, dataset="small", cameras=())], "none")
    assert verify.verify(corpus).notes == []
    assert frames.height == 32
    add_episodes(corpus, [replace(make_episode("y", steps=4, dataset="small"), cameras={"primary": small})], "some")
    report = verify.verify(corpus)
    assert report.ok
    assert report.notes == [
        "frames were scaled to different sizes (32x48: npz; 16x16: small); "
        "one --frame-size for all keeps cameras comparable"
    ]
    assert health.info(corpus).frame_sizes == {"32x48": ["npz"], "16x16": ["small"]}
    assert report.notes[0] in report.summary()


def test_of_very_many_problems_the_first_are_kept_and_all_are_counted(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "PROBLEMS_KEPT", 2)
    table(corpus).update({"dataset_id": "9"})
    corpus.refresh()
    report = verify.verify(corpus)
    assert (len(report.problems), report.num_problems) == (2, 3)
    assert "3 problems" in report.summary()
    assert "and 1 more" in report.summary()
