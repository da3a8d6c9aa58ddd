"""`villa corpus rejects`: what could not be read, by reason and then one by one."""

import pytest

from dataengine.episode import Reject
from dataengine.store import Committer
from dataengine.store.registry import register
from tests.support.corpora import make_corpus, robot_episode
from tests.support.npz_source import write_parts

SOURCE = "tests.support.npz_source:NpzSource"


def reject(part_id, record, reason, *, dataset="shelves", error="RecordError"):
    uri = f"/data/{dataset}/{part_id}.tfrecord"
    return Reject(part_id=part_id, dataset=dataset, source_uri=uri, record=record, reason=reason, error=error)


@pytest.fixture
def corpus(tmp_path):
    made = make_corpus(tmp_path / "corpus", {"a": [robot_episode("a0", dataset="shelves")]})
    register(made.uri, "datasets", [{"name": "drawers", "kind": "robot"}])
    rejects = [reject("aa", f"r{i}", f"frame {i} is no JPEG") for i in range(3)]
    rejects += [
        reject("bb", "", "Truncated at 12 of 40 bytes", dataset="drawers"),
        reject("aa", "r7", "failed", error="FilteredRecordError"),
        reject("cc", "", "good records came in with other parts", error="HeldByOtherParts"),
    ]
    Committer(made.uri, "test").reject_parts([(each, "f") for each in rejects])
    return made.uri


def test_reasons_come_first_then_dataset_part_and_record_of_each(villa, corpus):
    said = villa("corpus", "rejects", corpus)
    assert said.code == 0
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines[0] == f"{corpus}: rejected 1 parts, 3 records; left out by rules of their datasets: 1 records"
    assert lines[1] == "count reason the first"
    assert lines[3] == "3 frame 0 is no JPEG aa.tfrecord r0"
    assert "drawers bb (the whole part) bb.tfrecord Truncated at 12 of 40 bytes" in lines
    assert "shelves aa r1 frame 1 is no JPEG" in lines
    assert lines[-1].startswith("next: mend what they name, then the same `villa ingest` reads it; --retry-rejected")
    assert f"`villa corpus drop {corpus} DATASET`" in lines[-1]
    counted = villa("corpus", "info", corpus, "--json").report
    assert (counted["rejected_parts"], counted["rejected_records"]) == (1, 4)


@pytest.mark.parametrize(
    ("argv", "records"),
    [
        ([], ["", "r0", "r1", "r2", "r7"]),
        (["--dataset", "shelves"], ["r0", "r1", "r2", "r7"]),
        (["--reason", "jpeg"], ["r0", "r1", "r2"]),
        (["--reason", "truncated", "--dataset", "shelves"], []),
        (["--limit", 2], ["", "r0"]),
        (["--limit", 0], ["", "r0", "r1", "r2", "r7"]),
    ],
)
def test_some_of_them_are_asked_for(villa, corpus, argv, records):
    report = villa("corpus", "rejects", corpus, *argv, "--json").report
    assert [each["record"] for each in report["rejects"]] == records
    assert all(each["part"] and each["file"].startswith("/data/") for each in report["rejects"])


def test_a_short_list_says_how_many_more_there_are_and_counts_all(villa, corpus):
    said = villa("corpus", "rejects", corpus, "--limit", 1)
    assert "rejected 1 parts, 3 records" in said.out
    assert "and 4 more; --limit 0 lists all" in said.out


def test_nothing_rejected_is_said(villa, tmp_path):
    made = make_corpus(tmp_path / "corpus", {"a": [robot_episode("a0")]})
    said = villa("corpus", "rejects", made.uri)
    assert (said.code, said.out) == (0, f"{made.uri}: nothing was rejected that was asked for\n")


def test_a_dataset_that_is_unknown_and_a_corpus_that_is_not_there_are_told_in_one_line(villa, corpus, tmp_path):
    said = villa("corpus", "rejects", corpus, "--dataset", "shelfs")
    assert (said.code, "no dataset 'shelfs'; did you mean 'shelves'?" in said.line) == (2, True)
    said = villa("corpus", "rejects", tmp_path / "none")
    assert (said.code, "expected a corpus" in said.line) == (2, True)


def test_a_snapshot_has_the_rejects_of_then(villa, corpus):
    villa("corpus", "snapshot", corpus, "march")
    villa("corpus", "drop", corpus, "shelves", "--yes")
    assert villa("corpus", "rejects", corpus, "--json").report["records"] == 0
    assert villa("corpus", "rejects", f"{corpus}@march", "--json").report["records"] == 3


@pytest.mark.usefixtures("inline")
def test_ingest_names_the_command_that_lists_them(villa, tmp_path):
    write_parts(tmp_path / "raw", num_parts=2)
    (tmp_path / "raw/part000.bad").write_text("1")
    said = villa("ingest", SOURCE, tmp_path / "raw", "--corpus", tmp_path / "corpus")
    assert f"rejected: 0 parts, 1 records; `villa corpus rejects {tmp_path / 'corpus'}` lists them" in said.out
    listed = villa("corpus", "rejects", tmp_path / "corpus", "--dataset", "npz", "--json").report["rejects"]
    assert [(each["record"], each["reason"]) for each in listed] == [("part000/0", "bad record")]
