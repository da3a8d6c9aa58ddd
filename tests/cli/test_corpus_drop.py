"""`villa corpus drop`: a dataset goes, whatever else is in the corpus stays, and it can be ingested anew."""

import json

import pyarrow as pa
import pytest

from dataengine.episode import Part, Reject
from dataengine.errors import DataEngineError
from dataengine.schema import KEEP
from dataengine.store import Committer, Corpus, Staging, registry, side_tables, stage_part, verify
from dataengine.store.commit.receipts import Receipts
from dataengine.store.read.reader import TableReader
from dataengine.store.registry import register
from dataengine.store.tables import open_table
from dataengine.store.upkeep import compaction, drop
from dataengine.windows.stats_table import from_table
from pipelines.corpus.drop import DropConfig
from pipelines.corpus.drop import run as drop_it
from pipelines.ingest import alone, engine
from pipelines.ingest.alone import alone_at
from tests.support import warm
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.npz_source import content, make_episode, write_parts

SOURCE = "tests.support.npz_source:NpzSource"
COLUMNS = pa.schema(
    [(KEEP, pa.bool_()), ("latent__tiny", pa.list_(pa.float32())), ("codes__tiny", pa.list_(pa.int16()))]
)


@pytest.fixture
def raw(tmp_path):
    """Three parts of three episodes, one with a bad record, one with nothing else."""
    write_parts(tmp_path / "raw", num_parts=3)
    (tmp_path / "raw/part001.bad").write_text("1")
    (tmp_path / "raw/part002.bad").write_text("3")
    return tmp_path / "raw"


@pytest.fixture
def corpus(villa, raw, tmp_path, inline):
    """Shelves and kitchen beside what was ingested; judged, labelled, measured, and with a part that is staged."""
    uri = tmp_path / "corpus"
    parts = {
        "a": [robot_episode(f"a{i}", dataset="shelves") for i in range(2)],
        "b": [human_clip("b0", dataset="kitchen")],
    }
    made = make_corpus(uri, parts)
    assert villa("ingest", SOURCE, raw, "--corpus", uri).code == 0
    made.refresh()
    made.ensure_columns(COLUMNS)
    for fragment_id in made.fragment_ids():
        rows = made.fragment_table(fragment_id, ["num_steps"])["_rowid"]
        values = [
            pa.array([value] * len(rows), kind) for value, kind in zip((True, [0.5], [3]), COLUMNS.types, strict=True)
        ]
        made.update_fragment(fragment_id, pa.table(values, schema=COLUMNS).append_column("_rowid", rows))
    assert villa("stats", uri).code == 0
    stage(made, "left behind")
    made.refresh()
    return made


def stage(corpus, name):
    """Read a part of the ingested dataset, and stop before it is committed."""
    staging = Staging(
        corpus=corpus.uri,
        run_id="stopped",
        dataset_ids=register(corpus.uri, "datasets", [{"name": "npz"}]),
        embodiment_ids=register(corpus.uri, "embodiments", [{"name": "arm"}]),
    )
    part = Part(dataset="npz", name=name, uri="x", num_bytes=1, fingerprint="f")
    return stage_part(part, [make_episode(f"{name}/0")], staging)


def of_others(corpus):
    """All that the corpus holds of other datasets, as content."""
    rows, rejects = content(Corpus.open(corpus.uri))
    return [row for row in rows if row["dataset"] != "npz"], [row for row in rejects if row["dataset"] != "npz"]


def facts(corpus, dataset="npz"):
    """What the tables say of a dataset: episodes, rejects, staged parts, statistics."""
    corpus.refresh()
    stats = [group.dataset for group in from_table(corpus.stats())]
    return (
        corpus.count(f"dataset = '{dataset}'"),
        corpus.rejects()["dataset"].to_pylist().count(dataset),
        sum(receipt.dataset == dataset for receipt in Receipts(corpus.uri).staged()),
        stats.count(dataset),
    )


def test_a_dataset_goes_from_every_table_and_others_stay(villa, corpus):
    before, ids = of_others(corpus), corpus.datasets()
    assert facts(corpus) == (5, 5, 1, 4)
    said = villa("corpus", "drop", corpus.uri, "npz", "--yes")
    assert said.code == 0
    assert "dropped 5 episodes (31 steps," in said.out
    assert "5 rejects, 1 staged parts, 4 rows of statistics of npz" in said.out
    assert "with them the latent actions of tiny" in said.out
    assert f"`villa corpus compact {corpus.uri} --older-than 7d`" in said.out
    assert f"run `villa stats {corpus.uri}` before you train" in said.out
    assert f"run `villa curate {corpus.uri}` again" in said.out
    assert facts(corpus) == (0, 0, 0, 0)
    assert of_others(corpus) == before
    assert corpus.datasets() == ids
    assert verify(corpus, deep=True).ok
    run = corpus.runs().to_pylist()[-1]
    assert (run["command"], json.loads(run["counts"])["episodes"]) == ("drop", 5)
    assert run["version_out"] == run["version_in"] + 1


def test_it_is_ingested_anew_with_other_settings_as_if_it_had_never_been_there(villa, corpus, raw, tmp_path):
    assert villa("corpus", "drop", corpus.uri, "npz", "--yes").code == 0
    (raw / "part001.bad").unlink()
    (raw / "reads.log").unlink()
    argv = ("ingest", SOURCE, raw, "--set", "frame_size=32")
    report = villa(*argv, "--corpus", corpus.uri, "--json").report
    assert (report["committed_parts"], report["rejected_parts"], report["episodes"]) == (2, 1, 6)
    assert (raw / "reads.log").read_text().split() == ["part000", "part001", "part002"]
    villa(*argv, "--corpus", tmp_path / "fresh")
    names = ["episode_id", "num_steps", "source_fingerprint", "part_id", "action"]
    fresh = Corpus.open(tmp_path / "fresh").kept().table(names)
    corpus.refresh()
    assert corpus.kept(datasets=["npz"]).table(names).equals(fresh)
    assert verify(corpus, deep=True).ok
    (described,) = corpus_table(corpus, "datasets", "name = 'npz'")
    assert (described["kind"], described["licence"]) == ("robot", "CC0")


def corpus_table(corpus, name, where):
    return open_table(corpus.uri, name).to_table(filter=where).to_pylist()


def test_without_yes_or_in_a_dry_run_nothing_changes(villa, corpus):
    version, runs = Corpus.open(corpus.uri).version, len(corpus.runs())
    refused = villa("corpus", "drop", corpus.uri, "npz")
    assert refused.code == 2
    assert "nothing changed; --yes drops 5 episodes (31 steps," in refused.line
    dry = villa("corpus", "drop", corpus.uri, "npz", "--dry-run")
    assert dry.code == 0
    assert "would drop 5 episodes" in dry.out
    assert facts(corpus) == (5, 5, 1, 4)
    assert (corpus.version, len(corpus.runs())) == (version, runs)


def test_what_is_not_there_any_more_is_nothing_to_do(villa, corpus):
    villa("corpus", "drop", corpus.uri, "npz", "--yes")
    version = Corpus.open(corpus.uri).version
    for argv in ([], ["--yes"]):
        said = villa("corpus", "drop", corpus.uri, "npz", *argv)
        assert (said.code, said.out) == (0, f"nothing to do: {corpus.uri} holds nothing of npz\n")
    assert Corpus.open(corpus.uri).version == version


def test_parts_of_which_a_killed_drop_left_nothing_are_nothing_to_do(villa, corpus, monkeypatch):
    argv = ("corpus", "drop", corpus.uri, "npz", "--part", "part001", "--part", "part002", "--yes")
    finish = drop.drop

    def killed(*argv):
        finish(*argv)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drop, "drop", killed)
        assert villa(*argv).code == 130
    said = villa(*argv)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"nothing to do: {corpus.uri} holds nothing of part part001, part002 of npz\n"
    assert facts(corpus) == (3, 0, 1, 4)
    assert "no part 'part009' of npz" in villa("corpus", "drop", corpus.uri, "npz", "--part", "part009", "--yes").err


@pytest.mark.parametrize("step", range(4))
def test_stopped_between_any_two_steps_the_same_command_finishes(villa, corpus, monkeypatch, step):
    before, calls = of_others(corpus), []

    def dying(real):
        def call(*argv):
            if len(calls) == step:
                raise KeyboardInterrupt
            calls.append(real)
            return real(*argv)

        return call

    with monkeypatch.context() as patch:
        for module, name in ((drop, "_delete"), (side_tables, "write_stats"), (registry, "forget_description")):
            patch.setattr(module, name, dying(getattr(module, name)))
        stopped = villa("corpus", "drop", corpus.uri, "npz", "--yes")
    assert (stopped.code, len(calls)) == (130, step)
    assert villa("corpus", "drop", corpus.uri, "npz", "--yes").code == 0
    assert facts(corpus) == (0, 0, 0, 0)
    assert [row["kind"] for row in corpus_table(corpus, "datasets", "name = 'npz'")] == [None]
    assert of_others(corpus) == before
    assert verify(corpus, deep=True).ok


def test_a_snapshot_keeps_what_was_dropped(villa, corpus):
    assert villa("corpus", "snapshot", corpus.uri, "march").code == 0
    frames = [corpus.episode(i).jpegs("primary") for i in corpus.episode_ids()]
    said = villa("corpus", "drop", corpus.uri, "npz", "--yes")
    assert "snapshots march hold them and read as before" in said.out
    then = Corpus.open(corpus.uri, snapshot="march")
    assert [then.episode(i).jpegs("primary") for i in then.episode_ids()] == frames
    assert then.rejects()["dataset"].to_pylist().count("npz") == 5
    assert villa("corpus", "verify", f"{corpus.uri}@march", "--deep").code == 0
    assert villa("corpus", "diff", corpus.uri, "march", "now", "--json").report["removed"] == 5
    refused = villa("corpus", "drop", f"{corpus.uri}@march", "npz", "--yes")
    assert (refused.code, "never changes" in refused.line) == (2, True)


def test_parts_go_by_name_or_id_and_only_they_are_read_again(villa, corpus, raw):
    part_id = Part(dataset="npz", name="part001", uri="", num_bytes=0, fingerprint="").part_id
    said = villa("corpus", "drop", corpus.uri, "npz", "--part", part_id[:8], "--part", "part002", "--yes")
    assert "dropped 2 episodes" in said.out
    assert facts(corpus) == (3, 0, 1, 4)
    (raw / "reads.log").unlink()
    assert villa("ingest", SOURCE, raw, "--corpus", corpus.uri).code == 0
    assert (raw / "reads.log").read_text().split() == ["part001", "part002"]
    assert facts(corpus) == (5, 5, 1, 4)


def test_a_part_read_twice_goes_with_both_readings(villa, corpus, raw):
    (raw / "part001.bad").unlink()
    assert villa("ingest", SOURCE, raw, "--corpus", corpus.uri, "--retry-rejected").code == 0
    assert facts(corpus)[0] == 6
    assert villa("corpus", "drop", corpus.uri, "npz", "--part", "part001", "--yes", "--json").report["episodes"] == 3


def test_rows_that_share_a_fragment_with_others_go_alone(villa, corpus):
    before = of_others(corpus)
    assert villa("corpus", "compact", corpus.uri, "--json").report["fragments_after"] == 1
    assert villa("corpus", "drop", corpus.uri, "npz", "--yes").code == 0
    assert of_others(corpus) == before
    corpus.refresh()
    assert verify(corpus, deep=True).ok
    assert [piece.deleted for piece in compaction.pieces(corpus.lance_table, corpus.uri)] == [0.625]
    said = villa("corpus", "compact", corpus.uri)
    assert "rewritten without the episodes that were dropped" in said.out
    corpus.refresh()
    assert [piece.deleted for piece in compaction.pieces(corpus.lance_table, corpus.uri)] == [0.0]
    assert of_others(corpus) == before
    assert verify(corpus, deep=True).ok
    assert "none small enough" in villa("corpus", "compact", corpus.uri).out


def test_the_last_dataset_leaves_an_empty_corpus_to_ingest_into(villa, raw, tmp_path, inline):
    argv = ("ingest", SOURCE, raw, "--corpus", tmp_path / "only")
    assert villa(*argv).code == 0
    rows = content(Corpus.open(tmp_path / "only"))
    assert villa("corpus", "drop", tmp_path / "only", "npz", "--yes").code == 0
    assert villa("corpus", "info", tmp_path / "only", "--json").report["episodes"] == 0
    assert villa(*argv).code == 0
    assert content(Corpus.open(tmp_path / "only")) == rows
    assert verify(Corpus.open(tmp_path / "only"), deep=True).ok


def test_statistics_are_refused_until_they_are_made_anew_and_are_then_of_the_rest(villa, corpus, tmp_path):
    villa("corpus", "drop", corpus.uri, "npz", "--yes")
    with pytest.raises(DataEngineError, match="statistics are of other episodes or steps"):
        TableReader(Corpus.open(corpus.uri)).statistics()
    assert villa("stats", corpus.uri, "--json").report["fragments_read"] == 0
    fresh = make_corpus(tmp_path / "fresh", {"a": [robot_episode(f"a{i}", dataset="shelves") for i in range(2)]})
    assert villa("stats", fresh.uri).code == 0
    assert Corpus.open(corpus.uri).stats().equals(Corpus.open(fresh.uri).stats())
    assert set(TableReader(Corpus.open(corpus.uri)).statistics()) == {"arm"}


def test_in_an_object_store_an_ingest_at_work_tells_of_the_parts_it_misses_and_reads_them_again(
    villa, raw, tmp_path, inline, monkeypatch
):
    """There is no lock there: the dataset is dropped between two commits of its ingest."""
    monkeypatch.setattr(alone, "is_uri", lambda uri: True)
    monkeypatch.setattr(engine, "COMMIT_PARTS", 1)
    commit, calls = Committer.commit, []

    def commit_then_drop(self, receipts):
        landed = commit(self, receipts)
        calls.append(landed)
        if len(calls) == 1:
            assert drop_it(DropConfig(corpus=self.corpus, dataset="npz", yes=True)).episodes == 3
        return landed

    argv = ("ingest", SOURCE, raw, "--corpus", tmp_path / "cloud", "--workers", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", commit_then_drop)
        said = villa(*argv)
    assert said.code == 2
    assert "1 of 3 parts are neither committed nor rejected: part000; run the same command again" in said.line
    assert villa(*argv).code == 0
    assert len(Corpus.open(tmp_path / "cloud")) == 5
    assert verify(Corpus.open(tmp_path / "cloud"), deep=True).ok


def test_while_an_ingest_is_at_it_it_waits_for_its_end(villa, corpus):
    with alone_at(corpus.uri, "npz", "ingest"):
        said = villa("corpus", "drop", corpus.uri, "npz", "--yes")
        assert said.code == 2
        assert "another `villa ingest` (pid " in said.line
        assert "is at work on npz; wait for that, then run this again" in said.line
        assert villa("corpus", "drop", corpus.uri, "kitchen", "--yes").code == 0
    assert facts(corpus) == (5, 5, 1, 4)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["nps"], "no dataset 'nps'; did you mean 'npz'?"),
        (["npz", "--part", "part9"], "no part 'part9' of npz, neither by its name nor by its id"),
        (["npz", "--part", ""], "parts of npz start with ''"),
    ],
)
def test_names_that_are_unknown_or_mean_several_are_told_in_one_line(villa, corpus, argv, line):
    said = villa("corpus", "drop", corpus.uri, *argv, "--yes")
    assert (said.code, line in said.line) == (2, True), said.err


def test_a_corpus_that_is_not_there_is_told_in_one_line(villa, tmp_path):
    said = villa("corpus", "drop", tmp_path / "none", "npz", "--yes")
    assert (said.code, "expected a corpus; `villa ingest` creates one" in said.line) == (2, True)


@pytest.mark.slow
def test_another_dataset_is_ingested_meanwhile(corpus, raw, tmp_path):
    """The commit of an ingest holds on to the lowest fragment, which goes away under its hands."""
    write_parts(tmp_path / "more", num_parts=12)
    for part in range(12):
        (tmp_path / f"more/part{part:03d}.slow").write_text("0.05")
    argv = ["ingest", "tests.support.npz_source:OtherSource", tmp_path / "more", "--corpus", corpus.uri]
    ingest = warm.Command(*argv)
    for dataset in ("shelves", "npz", "kitchen"):
        dropped = warm.Command("corpus", "drop", corpus.uri, dataset, "--yes").ended(timeout=60)
        assert dropped.returncode == 0, dropped.stderr
    assert ingest.ended(timeout=120).returncode == 0
    corpus.refresh()
    assert corpus.distinct(["dataset"]) == {("other",)}
    assert len(corpus) == 36
    assert verify(corpus, deep=True).ok


def test_a_corpus_that_was_emptied_takes_in_more_parts_than_it_ever_held(villa, corpus, tmp_path, inline):
    for dataset in ("shelves", "npz", "kitchen"):
        assert villa("corpus", "drop", corpus.uri, dataset, "--yes").code == 0
    write_parts(tmp_path / "more", num_parts=9)
    said = villa("ingest", "tests.support.npz_source:OtherSource", tmp_path / "more", "--corpus", corpus.uri)
    assert said.code == 0, said.err
    corpus.refresh()
    assert len(corpus) == 27
    assert len(set(corpus.fragment_ids())) == len(corpus.fragment_ids())
    assert verify(corpus, deep=True).ok


def test_a_reject_of_a_dataset_without_episodes_goes_too(villa, tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("a0", dataset="shelves")]})
    register(corpus.uri, "datasets", [{"name": "lost", "kind": "robot"}])
    bad = Reject(part_id="00ff", dataset="lost", source_uri="x", record="", reason="truncated", error="RecordError")
    Committer(corpus.uri, "test").reject_parts([(bad, "f")])
    said = villa("corpus", "drop", corpus.uri, "lost", "--yes")
    assert "dropped 0 episodes" in said.out
    assert "1 rejects of lost" in said.out
    assert len(corpus.rejects()) == 0
