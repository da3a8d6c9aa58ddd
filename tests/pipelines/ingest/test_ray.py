"""Both engines end in the same rows, the same rejects and the same ids."""

from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from pipelines.ingest import IngestReport, run
from pipelines.ingest.config import IngestConfig
from tests.support.npz_source import content, write_parts

pytestmark = pytest.mark.slow


def test_a_cluster_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    write_parts(tmp_path / "raw", num_parts=1)
    with pytest.raises(DataEngineError, match=r"cannot reach the Ray cluster at '127.0.0.1:1'.*--engine local"):
        ingest(tmp_path / "raw", "ray", ray_address="127.0.0.1:1")


def ingest(raw: Path, engine: str, **settings: object) -> IngestReport:
    corpus = raw.parent / engine
    kwargs = {"root": str(raw), "corpus": str(corpus), "engine": engine, "workers": 2, **settings}
    return run(IngestConfig(source="tests.support.npz_source:NpzSource", **kwargs))


@pytest.mark.usefixtures("ray_cluster")
def test_local_and_ray_make_the_same_corpus_of_good_and_bad_parts(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_parts(raw, num_parts=8)
    (raw / "part001.die").write_text("")
    (raw / "part002.raise").write_text("")
    (raw / "part003.bad").write_text("1")
    (raw / "part004.hang").write_text("")
    (raw / "part005.bad").write_text("3")
    reports = [ingest(raw, engine, max_attempts=2, stall_s=2.0) for engine in ("local", "ray")]
    counts = [r.model_dump(exclude={"corpus", "seconds", "steps_per_second"}) for r in reports]
    assert counts[0] == counts[1]
    assert (reports[0].committed_parts, reports[0].rejected_parts, reports[0].rejected_records) == (4, 4, 4)
    local, ray = (Corpus.open(report.corpus) for report in reports)
    assert content(local) == content(ray)
    assert (local.embodiments(), local.datasets()) == (ray.embodiments(), ray.datasets())


@pytest.mark.usefixtures("ray_cluster")
def test_ray_finishes_what_local_began(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_parts(raw, num_parts=2)
    ingest(raw, "local")
    write_parts(raw, num_parts=3)
    report = ingest(raw, "ray", corpus=str(tmp_path / "local"))
    assert (report.committed_parts, report.skipped_parts) == (1, 2)
