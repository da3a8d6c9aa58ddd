import json
import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import simplejpeg

from dataengine.errors import DataEngineError, OtherSettingsError
from dataengine.shards import checks
from dataengine.shards.reader import ShardReader, is_shards
from dataengine.windows.mixture import WindowSampler
from dataengine.windows.window import WindowSpec
from pipelines.shard import verify as shard_verify
from tests.support.collators import as_trained, assert_equal
from tests.support.readers import MadeReader, make_episode
from tests.support.shards import made_reader, write

SPEC = WindowSpec(num_frames=2, interval_s=0.3, optional_slots=("wrist",), horizon=5, latent="lam", num_latents=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    write(directory, made_reader())
    return directory


def test_shards_give_the_same_batches_in_the_same_order_bit_for_bit(shards: Path) -> None:
    reader, stored = made_reader(), ShardReader(shards)
    assert stored.identity == reader.identity
    draws = [WindowSampler(r.episodes, SPEC, batch_size=16, seed=3) for r in (reader, stored)]
    for step in range(6):
        picks = [d.batch(step) for d in draws]
        named = [
            [(r.episodes[row].episode_id, start) for row, start in some]
            for r, some in zip((reader, stored), picks, strict=True)
        ]
        assert named[0] == named[1]
        assert_equal(*(as_trained(r, SPEC, some) for r, some in zip((reader, stored), picks, strict=True)))


def test_all_that_is_known_of_an_episode_survives(shards: Path) -> None:
    reader, stored = made_reader(), ShardReader(shards)
    for episode in reader.episodes:
        (same,) = [e for e in stored.episodes if e.episode_id == episode.episode_id]
        assert same == make_episode(**(vars(episode) | {"row": same.row}))
        np.testing.assert_array_equal(stored.state(same.row), reader.state(episode.row))
        np.testing.assert_array_equal(stored.latent(same.row, "lam")[1], reader.latent(episode.row, "lam")[1])
    assert stored.statistics()["arm7_jaw"].to_json() == reader.statistics()["arm7_jaw"].to_json()
    assert stored.latent_info("lam") == reader.latent_info("lam")
    assert stored.manifest["embodiments"]["arm7_jaw"] == {
        **{"id": 1, "kind": "robot", "episodes": 2, "steps": 77, "control_hz": [10.0]},
        **{"state_dim": 7, "action_dim": 7},
    }
    assert stored.manifest["datasets"]["kitchen"] | {"id": 2, "kind": "human"} == stored.manifest["datasets"]["kitchen"]
    assert stored.manifest["num_steps"] == 30 + 47 + 30


def test_webdataset_iterates_the_shards(shards: Path) -> None:
    import webdataset

    manifest = json.loads((shards / "manifest.json").read_text())
    urls = [str(shards / entry["name"]) for entry in manifest["shards"]]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    # 30 + 47 + 30 steps in segments of 20
    assert len(samples) == manifest["num_samples"] == 2 + 3 + 2
    assert len(urls) > 1
    reader = made_reader()
    for sample in samples:
        about = sample["json"]
        (episode,) = [e for e in reader.episodes if e.episode_id == about["episode_id"]]
        steps = slice(about["first"], about["first"] + about["segment_steps"])
        if episode.kind == "robot":
            np.testing.assert_array_equal(sample["state.npy"], reader.state(episode.row)[steps])
        offsets = sample["offsets_primary.npy"]
        picture = simplejpeg.decode_jpeg(sample["frames_primary.bin"][offsets[3] : offsets[4]])
        assert np.abs(picture.astype(int) - reader.picture("primary", episode.row, steps.start + 3)).mean() < 4


def test_numbers_are_read_without_a_copy(tmp_path: Path) -> None:
    write(tmp_path, made_reader(), segment_steps=1000)
    stored = ShardReader(tmp_path)
    assert not stored.state(0 if stored.episodes[0].kind == "robot" else 1).flags.owndata


def test_a_stopped_emission_goes_on_and_ends_in_the_same_bytes(shards: Path, tmp_path: Path) -> None:
    class Dying(MadeReader):
        def jpegs(self, slot, wanted):
            if self.num_reads == 4:
                raise OSError("no space left on device")
            return super().jpegs(slot, wanted)

    with pytest.raises(OSError, match="no space"):
        write(tmp_path, Dying(made_reader().episodes))
    assert is_shards(tmp_path)
    with pytest.raises(DataEngineError, match="found unfinished shards, expected a folder that `villa shard` finished"):
        ShardReader(tmp_path)
    reader = made_reader()
    write(tmp_path, reader)
    assert 0 < reader.num_reads < 10
    ours, theirs = (json.loads((d / "manifest.json").read_text()) for d in (tmp_path, shards))
    assert ours == theirs
    assert not list(tmp_path.glob("*.partial"))
    write(tmp_path, again := made_reader())
    assert again.num_reads == 0


def test_a_folder_of_other_shards_is_left_alone(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(OtherSettingsError, match="holds shards of other data or settings") as caught:
        write(shards, made_reader(), segment_steps=10, seed=7)
    assert caught.value.details == ("seed: 0 -> 7", "segment_steps: 20 -> 10")
    (tmp_path / "thesis.txt").write_text("all I have")
    with pytest.raises(
        DataEngineError, match=r"holds files and no plan.json \(thesis.txt\), so it is no folder of shards"
    ):
        write(tmp_path, made_reader())


def verify(directory: Path) -> dict[str, str]:
    """Name all damage."""
    return shard_verify.run(shard_verify.VerifyShardsConfig(shards=str(directory))).damaged


def read_all(stored: ShardReader) -> list:
    """Everything that a training may read."""
    content: list = [stored.identity, stored.manifest["statistics"], stored.latent_info("lam")]
    for episode in stored.episodes:
        row, frames = episode.row, range(episode.num_steps)
        content += [episode, *(bytes(j) for s in episode.cameras for j in stored.jpegs(s, [(row, i) for i in frames]))]
        content += [None if a is None else a.tolist() for a in (stored.state(row), stored.action(row))]
        content += [a.tolist() for a in stored.latent(row, "lam")]
    return content


def make_old(directory: Path) -> None:
    """Turn shards into those of version 2, which had checksums of tars alone."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text()) | {"version": 2}
    del manifest["checksum"]
    for number, entry in enumerate(manifest["shards"]):
        del entry["index_sha256"]
        index = directory / f"shard-{number:06d}.parquet"
        pq.write_table(pq.read_table(index).drop_columns(["texts"]), index)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("old", [False, True], ids=["now", "version 2"])
@pytest.mark.parametrize("name", ["manifest.json", "shard-000001.parquet", "shard-000001.tar"])
def test_a_flipped_bit_gives_an_error_with_the_files_name_and_never_other_numbers(
    tmp_path: Path, name: str, old: bool
) -> None:
    write(tmp_path, made_reader())
    if old:
        make_old(tmp_path)
    whole = (tmp_path / name).read_bytes()
    expected = read_all(ShardReader(tmp_path))
    draw, outcomes = random.Random(11), Counter[str]()
    for _ in range(60):
        data = bytearray(whole)
        offset = draw.randrange(len(data))
        data[offset] = draw.choice([data[offset] ^ 1 << draw.randrange(8), draw.randrange(256)])
        if draw.random() < 0.2:
            data = data[: draw.randrange(len(data))]
        (tmp_path / name).write_bytes(data)
        try:
            # What version 2 says of itself has no checksum, so that numbers in it can change unseen.
            outcomes[
                "same" if read_all(ShardReader(tmp_path)) == expected or (old and name[-4:] != ".tar") else "other"
            ] += 1
        except DataEngineError as error:
            assert "\n" not in str(error)
            assert name in str(error) or name.startswith("manifest") or old
            outcomes["named"] += 1
    assert not outcomes["other"]
    assert outcomes["named"] > 20


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shards", None),
        ("shards", [{}]),
        ("identity", {"uri": 3}),
        ("latents", [{"name": "lam"}]),
        ("statistics", {"arm7_jaw": {"state": {}}}),
        ("num_steps", -1),
        ("num_steps", 8),
        ("format", ["villa-shards"]),
        ("version", True),
        ("version", "3"),
    ],
)
def test_a_manifest_that_says_something_else_is_named(tmp_path: Path, key: str, value: object) -> None:
    write(tmp_path, made_reader())
    make_old(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DataEngineError, match=r"manifest\.json: "):
        ShardReader(tmp_path)


def test_a_shard_is_read_once_for_its_checksum_and_that_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checks, "MIN_BYTES", 1)
    reads: list[str] = []
    is_whole = checks.is_whole
    monkeypatch.setattr(checks, "is_whole", lambda p, e: reads.append(p.name) or is_whole(p, e))
    shards = tmp_path / "shards"
    write(shards, made_reader())
    names = [f"shard-{i:06d}.tar" for i in range(len(list(shards.glob("*.tar"))))]
    before = sorted(p.name for p in shards.iterdir())
    first = read_all(ShardReader(shards))
    assert sorted(reads) == names
    assert read_all(ShardReader(shards)) == first
    assert sorted(reads) == names
    assert sorted(p.name for p in shards.iterdir()) == before
    facts, data = (shards / names[1]).stat(), bytearray((shards / names[1]).read_bytes())
    data[2000] ^= 1
    (shards / names[1]).write_bytes(data)
    with pytest.raises(DataEngineError, match=f"{names[1]}: damaged"):
        read_all(ShardReader(shards))
    # Rot that leaves the time as it was is found by whoever asks.
    os.utime(shards / names[1], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert read_all(ShardReader(shards)) != first
    assert list(verify(shards)) == [names[1]]
    with pytest.raises(DataEngineError, match=f"{names[1]}: damaged"):
        read_all(ShardReader(shards))


def test_where_nothing_can_be_remembered_every_reader_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(checks, "MIN_BYTES", 1)
    write(tmp_path / "shards", made_reader())
    assert read_all(ShardReader(tmp_path / "shards")) == read_all(ShardReader(tmp_path / "shards"))


def test_a_damaged_index_of_a_stopped_emission_is_written_anew(tmp_path: Path, shards: Path) -> None:
    write(tmp_path, made_reader())
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "shard-000000.parquet").write_bytes(b"PAR1 and no more")
    write(tmp_path, made_reader())
    assert read_all(ShardReader(tmp_path)) == read_all(ShardReader(shards))


def test_a_damaged_shard_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, made_reader())
    victim = tmp_path / "shard-000001.tar"
    data = bytearray(victim.read_bytes())
    data[2000] ^= 1
    victim.write_bytes(data)
    assert list(verify(tmp_path)) == ["shard-000001.tar"]
    for read in (read_all, lambda reader: [reader.state(episode.row) for episode in reader.episodes]):
        with pytest.raises(DataEngineError) as raised:
            read(ShardReader(tmp_path))
        assert str(raised.value) == (
            f"{victim}: damaged, its bytes have another checksum than was written; copy the folder again, or delete it "
            f"and run `villa shard`"
        )
    victim.write_bytes(data[:5000])
    with pytest.raises(DataEngineError, match=r"shard-000001.tar: found 5000 bytes, its manifest says \d+; copy"):
        ShardReader(tmp_path)


def test_latents_that_are_not_there_are_asked_for_in_words(tmp_path: Path) -> None:
    write(tmp_path, made_reader(), latents=[])
    with pytest.raises(
        DataEngineError, match="has no latent actions of 'lam', it has those of no model; `villa shard --latent lam`"
    ):
        ShardReader(tmp_path).latent_info("lam")


def test_shards_are_about_as_large_as_asked(shards: Path) -> None:
    sizes = [path.stat().st_size for path in shards.glob("*.tar")]
    assert len(sizes) >= 3
    assert max(sizes) < 80_000


def test_what_a_killed_writer_left_is_cleared_up_by_the_next(tmp_path: Path) -> None:
    write(tmp_path, made_reader())
    left = tmp_path / ".shard-000000.tar.12345.partial"
    left.write_bytes(b"half")
    write(tmp_path, made_reader())
    assert not left.exists()


def test_shards_that_are_cut_short_while_they_are_read_end_in_a_line_and_not_in_a_signal(tmp_path: Path) -> None:
    write(tmp_path, made_reader())
    reader = ShardReader(tmp_path)
    rows = [e.row for e in reader.episodes]
    wanted = [(row, 0) for row in rows]
    reader.jpegs("primary", wanted)
    for tar in tmp_path.glob("*.tar"):
        os.truncate(tar, 512)
    for read in (lambda: reader.fetch(rows), lambda: reader.jpegs("primary", wanted)):
        with pytest.raises(DataEngineError, match=r"shard-0\d+\.tar: found 512 bytes, \d+ when it was opened"):
            read()
