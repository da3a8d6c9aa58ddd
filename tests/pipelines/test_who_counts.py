"""Every act asks the corpus which episodes count, and gets one answer."""

import dataclasses

import pyarrow as pa
import pytest

from dataengine.episode import Reject
from dataengine.schema import KEEP
from dataengine.store import Committer, Corpus
from dataengine.store.kept import DROPPED
from dataengine.store.read.reader import TableReader
from pipelines.analysis.groups import episodes_seen_by
from pipelines.analysis.pairs import robots
from pipelines.corpus.health import CorpusConfig, info
from pipelines.export.lerobot import ExportConfig
from pipelines.export.lerobot import run as export
from pipelines.label import LabelConfig
from pipelines.label import run as label
from pipelines.stats import StatsConfig
from pipelines.stats import run as stats
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode
from tests.support.labelled import labels_of, make_models

CURATED = pa.schema([(KEEP, pa.bool_()), ("trim_start", pa.int32()), ("trim_end", pa.int32())])
VERDICTS = {
    "kept": (True, 0, 0),
    "trimmed": (True, 4, 6),
    "dropped": (False, 0, 0),
    "dropped hand": (False, 0, 0),
    "hand": (True, 0, 3),
    "blind": (True, 0, 0),
    "still": (True, 0, 0),
}


@pytest.fixture
def judged(tmp_path):
    """Robots and hands that were kept, trimmed, dropped, not judged yet or unreadable; two lack what some acts need."""
    still = dataclasses.replace(robot_episode("still"), action=None, action_encoding="none")
    parts = {
        "a": [robot_episode("kept"), robot_episode("trimmed"), robot_episode("dropped"), still],
        "b": [human_clip("hand", dataset="people"), human_clip("dropped hand", dataset="people")],
        "c": [dataclasses.replace(robot_episode("blind", embodiment="arm2"), cameras={})],
    }
    corpus = make_corpus(tmp_path / "corpus", parts)
    corpus.ensure_columns(CURATED)
    for fragment_id in corpus.fragment_ids():
        rows = corpus.fragment_table(fragment_id, ["source_record"])
        verdicts = zip(*(VERDICTS[record] for record in rows["source_record"].to_pylist()), strict=True)
        values = pa.table([pa.array(v, field.type) for v, field in zip(verdicts, CURATED, strict=True)], schema=CURATED)
        corpus.update_fragment(fragment_id, values.append_column("_rowid", rows["_rowid"]))
    add_parts(corpus, {"d": [robot_episode("not judged"), human_clip("new hand")]})
    bad = Reject(
        part_id="0123456789abcdef", dataset="made", source_uri="x", record="bad", reason="no JPEG", error="RecordError"
    )
    Committer(corpus.uri, "test").reject_parts([(bad, "f")])
    corpus.refresh()
    return corpus


def records(corpus, episodes):
    return {corpus.episode(e.episode_id).column("source_record") for e in episodes}


COUNTED = {"kept", "trimmed", "not judged", "hand", "new hand", "blind", "still"}


def test_training_labels_probes_reports_statistics_and_exports_count_the_same_episodes(judged, tmp_path):
    everybody = TableReader(judged).episodes
    assert records(judged, everybody) == COUNTED
    assert len(TableReader(judged, kept_only=False).episodes) == 9
    assert records(judged, robots(judged).episodes()) == COUNTED - {"hand", "new hand", "still"}
    assert records(judged, robots(judged, ["primary"]).episodes()) == COUNTED - {"hand", "new hand", "still", "blind"}
    assert records(judged, episodes_seen_by(judged, "primary")) == COUNTED - {"blind"}
    one, _ = make_models(judged, tmp_path)
    assert label(LabelConfig(corpus=judged.uri, lam=one)).without_camera == 1
    assert set(labels_of(judged.uri, "one")) == COUNTED - {"blind"}
    measured = stats(StatsConfig(corpus=judged.uri))
    counted = measured.episodes + measured.without_robot
    assert (counted, measured.left_out, measured.steps_trimmed) == (7, 2, 13)
    exported = export(ExportConfig(corpus=judged.uri, dry_run=True))
    assert (exported.episodes, exported.steps_left_out) == (7, 13)
    assert exported.frames == sum(e.num_steps for e in everybody)
    assert {f.name: f.kept for f in info(CorpusConfig(corpus=judged.uri)).datasets} == {"made": 6, "people": 1}
    judged.refresh()
    taken = judged.take_snapshot("now-then")
    assert (taken.episodes, taken.steps, taken.filter) == (7, exported.frames, "keep IS NOT FALSE")
    at = Corpus.open(judged.uri, snapshot="now-then")
    assert records(at, at.kept().episodes()) == COUNTED


def test_what_does_not_count_is_counted_by_its_first_reason(judged):
    assert robots(judged, ["primary"]).left_out == {DROPPED: 2, "no state": 2, "no action": 1, "no camera primary": 1}
    assert judged.kept(slots=["wrist"], kept_only=False).left_out == {"no camera wrist": 9}


def test_episodes_are_asked_about_by_dataset_embodiment_kind_and_sql(judged):
    def asked(**kwargs):
        return records(judged, judged.kept(**kwargs).episodes())

    assert asked(datasets=["people"]) == {"hand"}
    assert asked(embodiments=["arm2"]) == {"blind"}
    assert asked(kind="human") == {"hand", "new hand"}
    assert asked(kind="human", where="dataset = 'made' OR num_steps > 0") == {"hand", "new hand"}
    assert asked(datasets=[]) == set()
    assert judged.kept(datasets=["people"]).left_out == {DROPPED: 1}
    assert [asked(fragment_id=i) for i in judged.fragment_ids()] == [
        {"kept", "trimmed", "still"},
        {"hand"},
        {"blind"},
        {"not judged", "new hand"},
    ]


def test_trimmed_steps_count_only_where_they_are_asked_for(judged):
    steps = {trimmed: {e.num_steps for e in robots(judged).episodes(trimmed=trimmed)} for trimmed in (True, False)}
    assert steps == {True: {20, 30}, False: {30}}


def test_before_curation_everybody_counts(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0"), human_clip("1")]})
    assert not corpus.is_curated
    assert records(corpus, corpus.kept().episodes()) == {"0", "1"}
    assert corpus.kept().left_out == {}
