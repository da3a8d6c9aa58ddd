"""Many datasets in one go: a plan file names them, one run takes in the parts of all of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from dataengine.config import MOST_HZ, MOST_SIDE, Config
from dataengine.errors import DataEngineError
from dataengine.framing import Fit
from dataengine.report import Report
from dataengine.storage import is_uri
from pipelines.ingest import engine
from pipelines.ingest import jobs as ingest_jobs
from pipelines.ingest.config import DatasetConfig, EngineConfig
from pipelines.ingest.estimate import Estimate, estimate, free_bytes
from pipelines.ingest.jobs import Job
from pipelines.ingest.report import KNOW, IngestReport, few
from pipelines.output.text_table import human_bytes, human_seconds, text_table
from pipelines.recipes import recipes


class PlannedDataset(DatasetConfig):
    """One entry of a plan."""

    root: str
    """Folder or URI; a relative one lies below the plan's `data`. `*` stands for any name: all that match are read."""
    optional: bool = False
    """Go on without it when it is not there."""


class IngestPlan(Config):
    """A plan file."""

    data: str | None = None
    """Folder or URI that relative roots lie below; by default where the plan file lies."""
    frame_size: int | None = Field(None, ge=16, le=MOST_SIDE)
    """Of every dataset that names none."""
    fit: Fit | None = None
    """Of every dataset that names none."""
    frame_hz: float | None = Field(None, gt=0, le=MOST_HZ)
    """Of every dataset that names none."""
    datasets: list[PlannedDataset] = Field(min_length=1)


class IngestPlanConfig(EngineConfig):
    """Which plan, and where to put it all."""

    plan: str
    """A YAML file, or the name of a plan that ships with the tool."""
    data: str | None = None
    """Folder or URI that relative roots lie below; takes precedence over the plan."""
    skip_missing: bool = False
    """Treat every dataset of the plan as optional."""


class MissingDataset(Report):
    """A dataset of the plan that cannot be read."""

    source: str
    root: str
    reason: str


class IngestPlanReport(Report):
    """What became of every dataset of a plan."""

    corpus: str
    datasets: list[IngestReport]
    missing: list[MissingDataset] = Field(default_factory=list)
    estimates: list[Estimate] = Field(default_factory=list)
    """Of each dataset, in a dry run."""
    estimated_seconds: float | None = None
    """With `workers` workers; None when a dataset could not be sampled."""
    workers: int = 0
    """That the estimate counts on."""
    free_bytes: int | None = None
    """On the corpus's disk, in a dry run."""
    seconds: float = 0.0
    dry_run: bool = False
    ok: bool = True

    def total(self, count: str) -> int:
        """Add up one count over the datasets."""
        return sum(getattr(report, count) for report in self.datasets)

    def summary(self) -> str:
        """Print one line per dataset, the sums, and what is missing."""
        lines = [self._planned() if self.dry_run else self._done()]
        if self.missing:
            lines.append(f"not read ({len(self.missing)} datasets):")
            lines += [f"  {dataset.source}: {dataset.reason}" for dataset in self.missing]
        lines += [f"{report.source}: {change.line()}" for report in self.datasets for change in report.changes]
        if why := [f"  {report.source}: {why}" for report in self.datasets for why in report.why_rejected()]:
            lines += ["rejected:", *why]
        if empty := [report.source for report in self.datasets if report.is_empty]:
            lines.append(f"nothing came in of {len(empty)} datasets: {few(empty)}")
        if framed := [f"  {report.source}: {report.frames}" for report in self.datasets if report.frames]:
            lines += ["not square:", *framed]
        if notes := [f"  {report.source}: {note.line()}" for report in self.datasets for note in report.notes]:
            lines += [KNOW, *notes]
        lines += filter(None, (report.why_failed() for report in self.datasets))
        return "\n".join(lines)

    def _done(self) -> str:
        head = ["dataset", "parts", "committed", "there", "rejected", "episodes", "steps", "bad", "left out"]
        rows = [
            [
                *(r.source, r.planned_parts, r.committed_parts, r.skipped_parts, r.rejected_parts),
                *(r.episodes, r.steps, r.rejected_records, r.filtered_records),
            ]
            for r in self.datasets
        ]
        if not any(r.committed_parts or r.completed_parts or r.rejected_parts for r in self.datasets):
            return text_table(head, rows) + f"\nnothing to do: all parts are in {self.corpus} already"
        rate = f" ({self.total('steps') / self.seconds:.0f} steps/s)" if self.total("steps") else ""
        return (
            text_table(head, rows) + f"\n{self.total('episodes'):,} episodes, {self.total('steps'):,} steps in "
            f"{self.seconds:.1f} s{rate} to {self.corpus}; `villa corpus rejects` lists bad records and parts"
        )

    def _planned(self) -> str:
        head = ["dataset", "parts", "to read", "raw", "one worker (est.)", "corpus (est.)", "sampled episodes"]
        rows = []
        for report, guess in zip(self.datasets, self.estimates, strict=True):
            seconds = "?" if guess.seconds is None else human_seconds(guess.seconds)
            stored = "?" if guess.stored_bytes is None else human_bytes(guess.stored_bytes)
            todo = report.planned_parts - report.skipped_parts
            raw = human_bytes(report.bytes)
            rows.append([report.source, report.planned_parts, todo, raw, seconds, stored, guess.episodes])
        stored_bytes = sum(guess.stored_bytes or 0 for guess in self.estimates)
        lines = [text_table(head, rows), f"to read: {human_bytes(self.total('bytes'))}"]
        if self.estimated_seconds is not None:
            lines[-1] += f"; about {human_seconds(self.estimated_seconds)} with {self.workers} workers"
            lines[-1] += f", {human_bytes(stored_bytes)} of corpus"
        if self.free_bytes is not None:
            short = "" if self.free_bytes > stored_bytes else ": TOO LITTLE"
            lines[-1] += f"; {human_bytes(self.free_bytes)} free at {self.corpus}{short}"
        return "\n".join(lines)


def run(config: IngestPlanConfig) -> IngestPlanReport:
    """Take in every dataset of a plan; raise before the first when one is missing that is not optional."""
    plan = load_plan(config.plan, config.data)
    jobs, missing, required = jobs_of(plan, skip_missing=config.skip_missing)
    report = IngestPlanReport(corpus=config.corpus, datasets=[job.report for job in jobs], missing=missing)
    if config.dry_run:
        report.dry_run, report.ok = True, bool(jobs) and not required
        return _dry_run(config, jobs, report)
    if required:
        raise DataEngineError(
            f"{len(required)} of {len(plan.datasets)} datasets cannot be read: {few(required)}; the first: "
            f"{next(m.reason for m in missing if m.source in required)}; --dry-run shows why each, "
            "--skip-missing goes on without them"
        )
    if not jobs:
        raise DataEngineError(f"none of the {len(plan.datasets)} datasets of plan {config.plan} is there")
    engine.ingest(config, jobs, {**config.model_dump(), "datasets": [d.model_dump() for d in plan.datasets]})
    report.seconds = jobs[0].report.seconds
    report.ok = all(job.report.ok for job in jobs)
    return report


def jobs_of(plan: IngestPlan, *, skip_missing: bool) -> tuple[list[Job], list[MissingDataset], list[str]]:
    """List the parts of every dataset; give what cannot be read, and the sources among it that are not optional."""
    jobs: list[Job] = []
    missing: list[MissingDataset] = []
    required: list[str] = []
    for entry in plan.datasets:
        try:
            jobs.extend(ingest_jobs.plan(dataset) for dataset in _expanded(entry))
        except DataEngineError as error:
            missing.append(MissingDataset(source=entry.source, root=entry.root, reason=str(error)))
            if not (entry.optional or skip_missing):
                required.append(entry.source)
    return jobs, missing, required


def load_plan(name: str, data: str | None = None) -> IngestPlan:
    """Read a plan by its name or file; roots come out as they are to be opened."""
    content = recipes.load("ingest", name)
    try:
        plan = IngestPlan.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(word) for word in first["loc"]) or "the whole"
        raise DataEngineError(f"plan {name}: {where}: {first['msg']}, found {first['input']!r:.80}") from None
    beside = "." if name in recipes.names("ingest") else str(Path(name).parent)
    base = data or plan.data or beside
    defaults = {key: getattr(plan, key) for key in ("frame_size", "fit", "frame_hz") if getattr(plan, key) is not None}
    entries = [
        PlannedDataset.model_validate(
            {**defaults, **entry.model_dump(exclude_unset=True), "root": _below(base, entry.root)}
        )
        for entry in plan.datasets
    ]
    return plan.model_copy(update={"datasets": entries})


def _below(base: str, root: str) -> str:
    """Join a root to the folder or URI that it is relative to."""
    if is_uri(root) or Path(root).expanduser().is_absolute():
        return root
    return f"{base.rstrip('/')}/{root}" if is_uri(base) else str(Path(base).expanduser() / root)


def _expanded(entry: PlannedDataset) -> Iterator[DatasetConfig]:
    """Fill in the stars of a root: each folder that matches is a dataset."""
    settings: dict[str, Any] = entry.model_dump(exclude={"optional"})
    if "*" not in entry.root or is_uri(entry.root):
        yield DatasetConfig(**settings)
        return
    fixed, _, pattern = entry.root.partition("*")
    base, _, stem = fixed.rpartition("/")
    matches = sorted(
        path
        for path in Path(base or ("/" if fixed.startswith("/") else ".")).glob(f"{stem}*{pattern}")
        if path.is_dir()
    )
    if not matches:
        raise DataEngineError(f"{entry.root}: found no such folder; download the dataset, or correct its root")
    for path in matches:
        yield DatasetConfig(**{**settings, "root": str(path)})


def _dry_run(config: IngestPlanConfig, jobs: list[Job], report: IngestPlanReport) -> IngestPlanReport:
    """Count what is left, and read a few episodes of each dataset to tell how long it will take."""
    todo = engine.left_to_do(config, jobs)
    for job, parts in zip(jobs, todo, strict=True):
        job.report.skipped_parts = len(job.parts) - len(parts)
        job.report.bytes = sum(part.num_bytes for part in parts)
        job.report.dry_run = True
    report.estimates, report.workers = estimate(jobs, todo, config.workers)
    known = [guess.seconds for guess in report.estimates]
    if None not in known:
        report.estimated_seconds = sum(seconds or 0.0 for seconds in known) / report.workers
    report.free_bytes = free_bytes(config.corpus)
    return report
