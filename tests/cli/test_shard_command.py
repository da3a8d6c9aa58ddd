"""`villa shard` and `villa shard --verify` as a user meets them: damage, and several of them at once."""

import json

import numpy as np
import pytest

from dataengine.shards.checks import MIN_BYTES
from dataengine.store import Corpus
from pipelines import stats
from pipelines.output.folder import LOCK
from tests.support import warm
from tests.support.corpora import make_corpus, robot_episode

TRAIN = ("--preset", "tiny", "--steps", 1, "--set", "batch_size=2", "--set", "val_windows=4", "--device", "cpu")
PLAIN = {"lam": (), "act": ("--set", "use_latent=false")}
ADVICE = "copy the folder again, or delete it and run `villa shard`"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus of six episodes, and of each a shard."""
    path = tmp_path_factory.mktemp("made") / "corpus"
    corpus = make_corpus(path, {"a": [robot_episode(f"r{i}", num_steps=14) for i in range(6)]})
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    return path


@pytest.fixture
def shards(villa, made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert villa("shard", made, "--out", tmp_path / "shards", "--set", "shard_mb=0.001").code == 0
    assert len(list((tmp_path / "shards").glob("*.tar"))) == 6
    return tmp_path / "shards"


def flip(file, at=-1):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_all_damage_of_a_folder_is_named_at_once(villa, shards):
    said = villa("shard", shards, "--verify")
    assert (said.code, f"{shards}: whole, 6 shards" in said.out) == (0, True)
    flip(shards / "shard-000001.tar")
    flip(shards / "shard-000002.parquet", 100)
    (shards / "shard-000003.parquet").unlink()
    (shards / "shard-000004.tar").write_bytes(b"short")
    said = villa("shard", shards, "--verify", "--json")
    assert said.code == 1
    assert said.report["damaged"] == {
        "shard-000001.tar": "damaged, its bytes have another checksum than was written",
        "shard-000002.parquet": "damaged, the manifest has another checksum of it",
        "shard-000003.tar": "found no index beside it",
        "shard-000004.tar": f"found 5 bytes, its manifest says {said.report['bytes'] // 6}",
    }
    said = villa("shard", shards, "--verify")
    assert said.code == 1
    head, *lines = said.out.splitlines()
    assert f"{shards}: 4 damaged files among 6 shards" in head
    assert [line.partition(":")[0].strip() for line in lines] == [
        *("shard-000001.tar", "shard-000002.parquet", "shard-000003.tar", "shard-000004.tar")
    ]


def test_where_the_manifest_is_damaged_shards_are_compared_with_what_their_indexes_say(villa, shards):
    flip(shards / "manifest.json", 200)
    flip(shards / "shard-000001.tar")
    (shards / "shard-000002.parquet").write_bytes(b"PAR1 and no more")
    (shards / "shard-000003.parquet").unlink()
    said = villa("shard", shards, "--verify", "--json")
    assert said.code == 1
    damaged = said.report["damaged"]
    assert list(damaged) == ["manifest.json", "shard-000002.parquet", "shard-000003.tar", "shard-000001.tar"]
    assert all("\n" not in what and ADVICE not in what for what in damaged.values())


def test_a_folder_without_finished_shards_is_no_damage(villa, shards, tmp_path):
    (shards / "manifest.json").unlink()
    for folder, message in ((shards, "found unfinished shards"), (tmp_path, "found no manifest.json")):
        said = villa("shard", folder, "--verify")
        assert (said.code, message in said.line) == (2, True)


@pytest.mark.parametrize("command", ["lam", "act"])
def test_a_training_names_a_damaged_shard_once(villa, shards, tmp_path, command):
    for tar in shards.glob("*.tar"):
        flip(tar)
    said = villa("train", command, shards, "--out", tmp_path / "run", *TRAIN, *PLAIN[command])
    assert said.code == 2
    line = said.err.splitlines()[-1]
    assert line.count("damaged") == line.count(ADVICE) == 1
    assert not (tmp_path / "run").exists()


def test_a_policy_on_shards_without_labels_is_told_where_they_lack(villa, made, shards, tmp_path):
    said = villa("train", "act", shards, "--out", tmp_path / "run", *TRAIN)
    assert said.code == 2
    assert said.line == (
        f"villa train act: {shards}: found latent actions none, expected one; run `villa label` first on {made}, then "
        f"`villa shard` into another folder"
    )
    assert not (tmp_path / "run").exists()


def test_a_flipped_byte_in_a_large_shard_is_found_by_a_machine_that_reads_it_first(villa, made, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (20, 512, 512, 3), dtype=np.uint8)
    episodes = [robot_episode(f"n{i}", num_steps=20, pictures=np.roll(noise, i, axis=0)) for i in range(5)]
    corpus = make_corpus(tmp_path / "corpus", {"a": episodes})
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    shards = tmp_path / "shards"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert villa("shard", corpus.uri, "--out", shards).code == 0
    assert (shards / "shard-000000.tar").stat().st_size > MIN_BYTES
    flip(shards / "shard-000000.tar", MIN_BYTES - 1)
    said = villa("train", "lam", shards, "--out", tmp_path / "run", *TRAIN)
    assert said.code == 2
    assert said.err.splitlines()[-1] == (
        f"villa train lam: {shards / 'shard-000000.tar'}: damaged, its bytes have another checksum than was written; "
        f"{ADVICE}"
    )
    said = villa("shard", shards, "--verify", "--json")
    assert (said.code, list(said.report["damaged"])) == (1, ["shard-000000.tar"])


@pytest.mark.slow
def test_two_at_once_on_one_folder_write_it_once_and_on_two_folders_both(villa, made, tmp_path):
    for outs in (("one", "one"), ("two", "three")):
        before = len(Corpus.open(made).runs())
        running = [warm.Command("shard", made, "--out", tmp_path / out, "--set", "shard_mb=0.001") for out in outs]
        ends = [(process.stderr, process.returncode) for process in [command.ended() for command in running]]
        refused = [err for err, code in ends if code]
        if outs[0] != outs[1]:
            assert refused == []
            assert len(Corpus.open(made).runs()) == before + 2
        for err in refused:  # the second may also come when all is done
            assert err.splitlines()[-1].startswith(f"villa shard: {tmp_path / outs[0]}: another `villa shard` (pid ")
        for out in outs:
            said = villa("shard", tmp_path / out, "--verify", "--json")
            assert (said.code, said.report["shards"]) == (0, 6)
            assert not (tmp_path / out / LOCK).exists()
    one, two = (json.loads((tmp_path / out / "manifest.json").read_text()) for out in ("one", "two"))
    assert one["shards"] == two["shards"]
