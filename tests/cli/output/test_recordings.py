"""Nothing is written into a corpus or among raw recordings."""

import shutil
from pathlib import Path

import pytest

from dataengine.store import Corpus
from pipelines.ingest import engine
from tests.support.npz_source import write_parts
from tests.support.output_folders import NAMES, commands, tree

NPZ = "tests.support.npz_source:NpzSource"


@pytest.mark.parametrize("below", ["", "sub", "episodes.lance/sub"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_into_a_corpus(villa, made, name, below):
    before = tree(made / "corpus")
    said = villa(*commands(made, made / "corpus" / below)[name])
    assert said.code == 2
    assert "a corpus, in which nothing else is written" in said.line
    assert tree(made / "corpus") == before


@pytest.mark.parametrize("below", ["", "sub"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_among_raw_recordings(villa, made, tmp_path, name, below):
    (tmp_path / "raw/meta").mkdir(parents=True)
    (tmp_path / "raw/meta/info.json").write_text("{}")
    said = villa(*commands(made, tmp_path / "raw" / below)[name])
    assert said.code == 2
    assert "a folder of raw recordings" in said.line
    assert list(tree(tmp_path / "raw")) == ["meta/info.json"]


@pytest.mark.parametrize("folder", ["raw", "raw/sub/corpus", "photos", "corpus/sub"])
def test_a_corpus_is_created_neither_in_recordings_nor_among_other_files(villa, made, tmp_path, folder):
    write_parts(tmp_path / "raw", 2)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/holiday.jpg").write_text("mine")
    shutil.copytree(made / "corpus", tmp_path / "corpus")
    before = tree(tmp_path)
    said = villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / folder)
    assert said.code == 2
    assert "give a new folder" in said.line
    assert tree(tmp_path) == before


def test_no_page_is_written_into_the_recordings_that_a_corpus_was_read_from(villa, tmp_path):
    write_parts(tmp_path / "raw", 2)
    assert villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 1).code == 0
    said = villa("curate", tmp_path / "corpus", "--report", tmp_path / "raw/page")
    assert said.code == 2
    assert "a folder of raw recordings" in said.line
    for model in ("lam", "act", "world"):
        said = villa("train", model, tmp_path / "corpus", "--out", tmp_path / "raw/page")
        assert (said.code, "a folder of raw recordings" in said.line) == (2, True)
    said = villa(
        "eval", "metaworld", "replay", "--set", f"demonstrations={tmp_path / 'corpus'}", "--out", tmp_path / "raw/page"
    )
    assert (said.code, "a folder of raw recordings" in said.line) == (2, True)
    assert not (tmp_path / "raw/page").exists()


def test_trainings_on_shards_know_the_recordings_behind_them(villa, tmp_path):
    write_parts(tmp_path / "raw", 2)
    assert villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 1).code == 0
    assert villa("stats", tmp_path / "corpus").code == 0
    assert villa("shard", tmp_path / "corpus", "--out", tmp_path / "shards").code == 0
    shutil.rmtree(tmp_path / "corpus")
    for model in ("lam", "act", "world"):
        said = villa("train", model, tmp_path / "shards", "--out", tmp_path / "raw/run")
        assert said.code == 2
        assert f"{tmp_path / 'raw/run'}: lies in {tmp_path / 'raw'}, a folder of raw recordings" in said.line
    assert not (tmp_path / "raw/run").exists()


def test_an_ingest_with_nothing_to_do_mends_the_roots_of_an_older_corpus(villa, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_parts(Path("raw"), 2)
    line = ("ingest", NPZ, "raw", "--corpus", "corpus", "--workers", 1)
    monkeypatch.setattr(engine, "normal_uri", str)  # as an older one kept them
    assert villa(*line).code == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert villa(*line).code == 0
    num_runs = len(Corpus.open("corpus").runs())
    assert villa(*line).code == 0
    assert len(Corpus.open("corpus").runs()) == num_runs
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    said = villa("curate", "../corpus", "--report", "../raw/page")
    assert (said.code, "a folder of raw recordings" in said.line) == (2, True)


@pytest.mark.parametrize("how", ["one", "plan"])
def test_recordings_named_by_a_relative_path_are_known_from_every_folder(villa, tmp_path, monkeypatch, how):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_parts(Path("raw"), 2)
    Path("plan.yaml").write_text(f"datasets: [{{source: '{NPZ}', root: 'r*'}}]")
    what = {"one": (NPZ, "raw"), "plan": ("--plan", "plan.yaml")}[how]
    assert villa("ingest", *what, "--corpus", "corpus", "--workers", 1).code == 0
    monkeypatch.chdir(tmp_path / "there")
    before = tree(tmp_path / "here/raw")
    for line in (("curate", "../here/corpus", "--report"), ("shard", "../here/corpus", "--out")):
        said = villa(*line, "../here/raw/out")
        assert said.code == 2
        assert f"{tmp_path / 'here/raw/out'}: lies in {tmp_path / 'here/raw'}, a folder of raw" in said.line
    assert tree(tmp_path / "here/raw") == before


def test_a_corpus_whose_creation_was_cut_short_is_completed(villa, tmp_path):
    write_parts(tmp_path / "raw", 2)
    (tmp_path / "corpus/_staging").mkdir(parents=True)
    assert villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 1).code == 0
    assert len(Corpus.open(tmp_path / "corpus")) == 6
