"""Many datasets in one run, from a plan file."""

from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from dataengine import catalog
from dataengine.errors import DataEngineError
from dataengine.store import Corpus, verify
from pipelines.ingest import plan as ingest_plan
from pipelines.ingest import run as ingest_one
from pipelines.ingest.config import IngestConfig
from pipelines.ingest.plan import IngestPlanConfig, IngestPlanReport, load_plan
from pipelines.recipes import recipes
from tests.support.npz_source import NpzSource, content, write_parts

NPZ, OTHER = "tests.support.npz_source:NpzSource", "tests.pipelines.ingest.test_plan:OtherSource"


class OtherSource(NpzSource):
    """The same files, as another dataset: its episodes belong to another body."""

    name: ClassVar[str] = "other"
    embodiment: ClassVar[str] = "hand"
    other_embodiments: ClassVar[tuple[str, ...]] = ("arm",)

    def read(self, part):
        from dataclasses import replace

        for record in super().read(part):
            yield replace(record, dataset=self.name)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_parts(tmp_path / "data" / "a" / "1.0", num_parts=3)
    write_parts(tmp_path / "data" / "b", num_parts=2)
    return tmp_path / "data"


def write_plan(data: Path, *datasets: dict, **settings: object) -> str:
    (data / "plan.yaml").write_text(yaml.safe_dump({"datasets": list(datasets), **settings}))
    return str(data / "plan.yaml")


def ingest(data: Path, plan: str, **settings: object) -> IngestPlanReport:
    return ingest_plan.run(IngestPlanConfig(plan=plan, corpus=str(data.parent / "corpus"), workers=2, **settings))


def test_one_run_takes_in_all_datasets_and_a_second_has_nothing_to_do(data: Path) -> None:
    plan = write_plan(data, {"source": NPZ, "root": "a/*"}, {"source": OTHER, "root": "b"})
    report = ingest(data, plan)
    assert [(r.source, r.committed_parts, r.episodes) for r in report.datasets] == [("npz", 3, 9), ("other", 2, 6)]
    corpus = Corpus.open(data.parent / "corpus")
    assert len(corpus.runs()) == 1
    assert corpus.datasets().keys() == {"npz", "other"}
    assert verify(corpus, deep=True).ok
    again = ingest(data, plan)
    assert again.total("committed_parts") == 0
    assert again.total("skipped_parts") == 5
    assert "nothing to do" in again.summary()


def test_a_plan_gives_the_same_rows_as_one_dataset_after_the_other(data: Path) -> None:
    ingest(data, write_plan(data, {"source": NPZ, "root": "a/1.0"}, {"source": OTHER, "root": "b"}))
    apart = str(data.parent / "apart")
    ingest_one(IngestConfig(source=NPZ, root=str(data / "a/1.0"), corpus=apart))
    ingest_one(IngestConfig(source=OTHER, root=str(data / "b"), corpus=apart))
    assert content(Corpus.open(data.parent / "corpus")) == content(Corpus.open(apart))


def test_a_dataset_of_which_nothing_came_in_fails_the_plan_and_costs_the_others_nothing(data: Path) -> None:
    for part in ("part000", "part001"):
        (data / "b" / f"{part}.bad").write_text("3")
    (data / "a/1.0/part000.notes").write_text('{"doubt": "in ticks"}')
    report = ingest(data, write_plan(data, {"source": NPZ, "root": "a/1.0"}, {"source": OTHER, "root": "b"}))
    assert (report.ok, report.total("episodes")) == (False, 9)
    assert "other: 6 x bad record" in report.summary()
    assert "nothing came in of 1 datasets: other" in report.summary()
    assert "npz: doubt (3 of 9 episodes): in ticks" in report.summary()


@pytest.mark.usefixtures("inline")
def test_a_finished_plan_tells_strict_what_was_rejected_and_brings_it_in_when_asked(data: Path) -> None:
    plan = write_plan(data, {"source": NPZ, "root": "a/1.0"}, {"source": OTHER, "root": "b"})
    (data / "b/part000.bad").write_text("1")
    assert ingest(data, plan).ok
    report = ingest(data, plan, strict=True)
    assert not report.ok
    assert report.summary().splitlines()[-3:-1] == ["rejected:", "  other: 1 x bad record (part000/0)"]
    assert report.summary().splitlines()[-1].startswith("--strict accepts no rejects, found 1 of other, now or before")
    (data / "b/part000.bad").unlink()
    report = ingest(data, plan, strict=True, retry_rejected=True)
    assert (report.ok, report.total("recovered_episodes"), report.total("episodes")) == (True, 1, 1)
    assert "nothing to do" not in report.summary()


def test_a_dry_run_of_a_plan_refuses_what_the_plan_refuses(data: Path) -> None:
    (data / "a/1.0/inside").mkdir()
    plan = write_plan(data, {"source": NPZ, "root": "a/1.0"})
    for dry_run in (True, False):
        with pytest.raises(DataEngineError, match="lies in the recordings at"):
            ingest_plan.run(IngestPlanConfig(plan=plan, corpus=str(data / "a/1.0/inside"), dry_run=dry_run))


def test_a_missing_dataset_stops_the_plan_before_the_first_unless_it_is_optional(data: Path) -> None:
    there, gone = {"source": NPZ, "root": "a/1.0"}, {"source": OTHER, "root": "nowhere/*"}
    with pytest.raises(
        DataEngineError, match=r"1 of 2 datasets cannot be read: tests.pipelines.ingest.test_plan:OtherSource"
    ):
        ingest(data, write_plan(data, there, gone))
    assert not Corpus.exists(data.parent / "corpus")
    report = ingest(data, write_plan(data, there, {**gone, "optional": True}))
    assert (report.total("episodes"), report.missing[0].source) == (9, OTHER)
    assert "nowhere" in report.summary()
    assert ingest(data, write_plan(data, there, gone), skip_missing=True).total("skipped_parts") == 3


def test_a_dry_run_counts_and_samples_and_writes_nothing(data: Path) -> None:
    plan = write_plan(data, {"source": NPZ, "root": "a/*"}, {"source": OTHER, "root": "gone"})
    report = ingest(data, plan, dry_run=True)
    assert not Corpus.exists(data.parent / "corpus")
    (dataset,), (guess,) = report.datasets, report.estimates
    assert dataset.planned_parts == 3
    assert dataset.bytes == sum(file.stat().st_size for file in (data / "a/1.0").glob("*.npz"))
    assert guess.episodes == 3
    assert report.free_bytes
    assert not report.ok  # a dataset that must be there is not
    assert "gone" in report.summary()


def test_a_dataset_whose_reader_crashes_has_no_estimate(data: Path) -> None:
    for part in (data / "a" / "1.0").glob("*.npz"):
        part.with_suffix(".die").write_text("")
    report = ingest(data, write_plan(data, {"source": NPZ, "root": "a/1.0"}), dry_run=True)
    assert report.estimates[0].seconds is None
    assert report.estimated_seconds is None
    assert "?" in report.summary()


def test_settings_of_a_plan_hold_for_entries_that_name_none(data: Path) -> None:
    entries = {"source": NPZ, "root": "a/1.0"}, {"source": OTHER, "root": "b", "frame_size": 64}
    plan = load_plan(write_plan(data, *entries, frame_size=128))
    assert [entry.frame_size for entry in plan.datasets] == [128, 64]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"datasets": []}, "datasets"),
        ({"datasets": [{"source": NPZ, "rot": "a"}]}, "rot"),
        ({"datasets": [{"source": NPZ, "root": "a/1.0"}] * 2}, "name each folder once"),
        ("just words", "just words"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line(data: Path, content: object, said: str) -> None:
    (data / "plan.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataEngineError, match=said) as caught:
        ingest(data, str(data / "plan.yaml"))
    assert "\n" not in str(caught.value)


def test_an_unknown_plan_suggests_a_near_one(data: Path) -> None:
    with pytest.raises(DataEngineError, match="did you mean 'villa-x'"):
        ingest(data, "vila-x")


@pytest.mark.parametrize("name", recipes.names("ingest"))
def test_every_source_of_a_shipped_plan_exists(name: str) -> None:
    for entry in load_plan(name, "/somewhere").datasets:
        assert catalog.source(entry.source).name == entry.source
        assert entry.root.startswith("/somewhere/")


def test_a_plan_runs_from_the_command_line(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from cli.app import app
    from cli.contract import invoke

    plan = write_plan(data, {"source": NPZ, "root": "a/1.0"})
    argv = ["ingest", "--plan", plan, "--corpus", str(data.parent / "corpus")]
    assert invoke(app, [*argv, "--dry-run"]) == 0
    assert invoke(app, argv) == 0
    assert "9 episodes" in capfd.readouterr().out
    assert invoke(app, [*argv, "--unit", "segment"]) == 2
    assert "--unit" in capfd.readouterr().err
