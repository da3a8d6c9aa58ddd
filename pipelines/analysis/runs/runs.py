"""`villa runs`: which trainings there are, how far each is, and how they compare."""

import time
from pathlib import Path
from typing import Any

from pydantic import Field

from dataengine.errors import DataEngineError
from dataengine.report import Report
from pipelines.analysis.runs import groups, page, run
from pipelines.analysis.runs.groups import HeldOut
from pipelines.analysis.runs.run import Run
from pipelines.html import curves
from pipelines.output.folder import claimed
from pipelines.output.text_table import text_table
from pipelines.training import presets

HEAD = ("run", "kind", "state", "step", "loss", "lowest val", "samples/s", "MFU", "data wait", "bad steps")


class RunsReport(Report):
    """Trainings side by side."""

    runs: list[Run]

    def summary(self) -> str:
        """Print a row for each."""
        return text_table(HEAD, [row(one) for one in self.runs])


class RunReport(Report):
    """One training."""

    run: Run
    metrics: dict[str, float] = Field(default_factory=dict)
    """The last value of every figure."""
    held_out: list[HeldOut] = Field(default_factory=list)
    """Losses on held-out windows by dataset and embodiment."""
    settings: dict[str, Any] = Field(default_factory=dict)
    page: str = ""
    """Path of the page with its curves, where one was asked for."""

    def summary(self) -> str:
        """Print how far it is, its figures and its settings."""
        figures = text_table(("figure", "last"), [(name, f"{value:.5g}") for name, value in self.metrics.items()])
        tables = [text_table(head, rows) for head, rows in groups.tables(self.held_out).values()]
        given = text_table(("setting", "value"), [(key, str(value)) for key, value in self.settings.items()])
        curves = [f"curves: {self.page}"] if self.page else []
        return "\n\n".join([text_table(HEAD, [row(self.run)]), figures, *tables, given, *curves])


class CompareReport(RunsReport):
    """Trainings side by side."""

    page: str = ""
    """Path of the page with their curves, where one was asked for."""
    differing: dict[str, list[Any]]
    """Settings that are not the same in all of them, with the value of each run; one without a checkpoint has none."""
    seconds: float

    def summary(self) -> str:
        """Say also where the page is."""
        names = [Path(one.path).name for one in self.runs]
        rows = [(key, *("" if v is None else str(v) for v in values)) for key, values in self.differing.items()]
        differing = [text_table(("setting", *names), rows)] if rows else []
        curves = [f"curves: {self.page}"] if self.page else []
        return "\n\n".join([super().summary(), *differing, *curves])


def list_runs(folders: list[Path]) -> RunsReport:
    """Read every training in some folders."""
    return RunsReport(runs=[run.read(folder) for folder in run.below(folders)])


def show(folder: Path, out: Path | None = None) -> RunReport:
    """Read one training; write a page with its curves where there is an `out` for it."""
    (named,) = _named([folder])
    last: dict[str, float] = {}
    entries = curves.read(named / "metrics.jsonl")
    for entry in entries:
        figures = {name: value for name, value in entry.items() if isinstance(value, int | float) and name != "step"}
        last |= {name: value for name, value in figures.items() if groups.parsed(name) is None}
    report = RunReport(
        run=run.read(named),
        metrics=last,
        held_out=groups.read(entries, run.lowest_from(named)),
        settings=dict(presets.flat(run.settings(named))),
        page="" if out is None else str(out / "index.html"),
    )
    if out is not None:
        _keep_apart(out, [named])
        with claimed(out, "runs show") as written:
            page.write_one(written, report.run, report.held_out, row(report.run), HEAD)
            written.write("report.json", report.model_dump_json(indent=1))
    return report


def compare(folders: list[Path], out: Path | None = None) -> CompareReport:
    """Hold trainings against each other; write a page with their curves where there is an `out` for it."""
    start, named = time.perf_counter(), _named(folders)
    if len(set(named)) < 2:
        raise DataEngineError(f"{', '.join(map(str, folders))}: found one training, expected two or more to compare")
    flat = [dict(presets.flat(run.settings(folder))) for folder in named]
    keys = dict.fromkeys(key for one in flat for key in one)
    differing = {
        key: [one.get(key) for one in flat] for key in keys if len({str(one.get(key)) for one in flat if one}) > 1
    }
    report = CompareReport(
        runs=[run.read(folder) for folder in named],
        page="" if out is None else str(out / "index.html"),
        differing=differing,
        seconds=round(time.perf_counter() - start, 3),
    )
    if out is not None:
        _keep_apart(out, named)
        with claimed(out, "runs compare") as folder:
            page.write_page(folder, report.runs, differing, [row(one) for one in report.runs], HEAD)
            folder.write("report.json", report.model_dump_json(indent=1))
    return report


def _keep_apart(out: Path, named: list[Path]) -> None:
    """Refuse to write among the files of a training."""
    for each in named:
        if out.resolve() in (each.resolve(), *each.resolve().parents) and run.is_run(out):
            raise DataEngineError(f"--out {out} is the folder of a training; give another")


def _named(folders: list[Path]) -> list[Path]:
    for folder in folders:
        if not run.is_run(folder):
            inside = run.below([folder])
            raise DataEngineError(f"{folder}: is no training itself; give one of those in it, such as {inside[0]}")
    return folders


def row(one: Run) -> list[object]:
    """Write a training as a row below `HEAD`."""
    of = f"{one.step}/{one.steps}" if one.steps else f"{one.step}"
    lowest = "" if one.val_loss is None else f"{one.val_loss:.5g} at {one.val_step}"
    shares = ["" if share is None else f"{share:.1%}" for share in (one.mfu, one.data_wait)]
    loss, speed = ("" if v is None else f"{v:{f}}" for v, f in ((one.loss, ".5g"), (one.samples_per_s, ".1f")))
    return [one.path, one.kind, one.state, of, loss, lowest, speed, *shares, one.bad_steps]
