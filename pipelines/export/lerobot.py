"""`villa export`: from a corpus to datasets that others' tools load."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from dataengine.camera_names import short_name
from dataengine.config import MOST_HZ, MOST_WORKERS, Config
from dataengine.errors import DataEngineError
from dataengine.export.lerobot import lerobot
from dataengine.export.lerobot.plan import COLUMNS, DatasetPlan, plan
from dataengine.export.lerobot.unit import ASIDE
from dataengine.formats.lerobot.lerobot import EXPORT
from dataengine.machine import num_cores
from dataengine.progress import task
from dataengine.report import Report
from dataengine.storage import is_uri
from dataengine.store import Corpus
from dataengine.store.read.framing import shapes
from pipelines.corpus.names import known_dataset
from pipelines.output.folder import Before, claimed, roots_of
from pipelines.output.run_note import note
from pipelines.output.text_table import human_bytes, text_table


def _is_export(out: Path) -> bool:
    """Know a folder by our datasets, whole or begun, in it."""
    return all(any((path / name).exists() for name in (EXPORT, ASIDE)) for path in out.iterdir() if path.is_dir())


OLD_EXPORT = Before(r"[^/]+/", _is_export)


class ExportConfig(Config):
    """What to write, and where."""

    corpus: str
    """Directory or object-store URI."""
    out: str | None = None
    """Folder of the datasets, new or left by an earlier call; only a dry run does without."""
    datasets: list[str] = Field(default_factory=list)
    """Names of datasets to take; all of them when none is named."""
    where: str | None = None
    """SQL filter over the columns of the corpus, such as `quality__travel > 0.1`."""
    kept_only: bool = True
    """Leave out what curation dropped: episodes, and idle steps at the ends of others."""
    fps: float | None = Field(None, gt=0, le=MOST_HZ)
    """Take episodes recorded within 1 % of this rate only, and give them this rate."""
    codec: Literal["av1", "h264"] = "av1"
    """Of the videos."""
    crf: int | None = Field(None, ge=0, le=63)
    """Quality of the videos, lower is better; by default 30 of AV1 and 20 of H.264."""
    video_mb: float = Field(200, gt=0, le=1e6)
    """Largest video file, as far as it is known beforehand."""
    data_mb: float = Field(100, gt=0, le=1e6)
    """Largest file of rows."""
    workers: int = Field(0, ge=0, le=MOST_WORKERS)
    """Files written side by side; 0 for as many as there are cores."""
    dry_run: bool = False
    """Plan and count, write nothing."""

    @property
    def encoder(self) -> lerobot.VideoEncoding:
        """What shapes the files."""
        crf = self.crf if self.crf is not None else {"av1": 30, "h264": 20}[self.codec]
        return lerobot.VideoEncoding(codec=self.codec, crf=crf, video_mb=self.video_mb, data_mb=self.data_mb)


class ExportedDataset(Report):
    """One dataset that was written."""

    name: str
    root: str
    embodiment: str
    fps: float
    cameras: list[str]
    """As the dataset calls them."""
    episodes: int
    frames: int
    files: int
    """Units of files: one of rows, and a video for each camera."""
    resumed_files: int = 0
    """Of them, written by an earlier run."""
    bytes: int = 0


class ExportReport(Report):
    """What became of the episodes that were asked for."""

    out: str
    datasets: list[ExportedDataset]
    episodes: int
    frames: int
    left_out: int
    """Episodes of another rate than `fps`."""
    steps_left_out: int = 0
    """Idle steps at the ends of episodes, which curation trimmed."""
    reshaped: dict[str, str] = Field(default_factory=dict)
    """By dataset of the corpus: what became of frames that are not square when it was ingested; they stay so."""
    written: bool
    seconds: float

    def summary(self) -> str:
        """Print one line per dataset."""
        head = ["dataset", "episodes", "frames", "Hz", "cameras", "files", "there", "size"]
        rows = [
            [
                *(d.name, d.episodes, d.frames, d.fps, " ".join(d.cameras), d.files, d.resumed_files),
                human_bytes(d.bytes) if self.written else "",
            ]
            for d in self.datasets
        ]
        did = f"written to {self.out}" if self.written else "would be written"
        if self.written and all(d.files == d.resumed_files for d in self.datasets):
            did = f"nothing to do, all are in {self.out} already"
        lines = [text_table(head, rows), f"{len(self.datasets)} LeRobot v3.0 datasets {did} ({self.seconds:.1f} s)"]
        lines += [f"{name}: {became} at ingest" for name, became in self.reshaped.items()]
        if self.steps_left_out:
            lines.append(f"left out: {self.steps_left_out:,} idle steps that curation trimmed; --all takes all")
        if self.left_out:
            lines.append(f"left out: {self.left_out} episodes of another rate")
        return "\n".join(lines)


def run(config: ExportConfig) -> ExportReport:
    """Write LeRobot datasets; killed and called again, it goes on where it was."""
    start = time.monotonic()
    if config.out is None and not config.dry_run:
        raise DataEngineError("no place for the datasets; give OUT, or --dry-run to plan only")
    if config.out is not None and is_uri(config.out):
        raise DataEngineError(f"{config.out}: datasets are written to a local folder; give one and copy it there")
    corpus = Corpus.open(config.corpus)
    plans, left_out = plan(_rows(corpus, config), rate_hz=config.fps, video_mb=config.video_mb, data_mb=config.data_mb)
    if not plans:
        none_left = f"{left_out} episodes of other rates" if left_out else "no such episodes"
        raise DataEngineError(f"{corpus.uri}: found {none_left}; nothing to export")
    out = Path(config.out or "").absolute()
    datasets = [_planned(out, each) for each in plans]
    became = {name: sides.summary_line() for name, sides in shapes(corpus, config.datasets or None).items()}
    reshaped = {name: change for name, change in became.items() if change}
    if not config.dry_run:
        _write(corpus, config, out, plans, datasets, reshaped)
    report = ExportReport(
        out=config.out or "",
        datasets=datasets,
        episodes=sum(d.episodes for d in datasets),
        frames=sum(d.frames for d in datasets),
        left_out=left_out,
        steps_left_out=sum(each.steps_left_out for each in plans),
        reshaped=reshaped,
        written=not config.dry_run,
        seconds=round(time.monotonic() - start, 3),
    )
    if report.written and any(d.files > d.resumed_files for d in datasets):
        note(corpus, {"command": "export", "config": config.model_dump(), "report": report.model_dump(mode="json")})
    return report


def _rows(corpus: Corpus, config: ExportConfig) -> Iterator[dict[str, Any]]:
    """Read what planning needs of the episodes that were asked for."""
    for name in config.datasets:
        known_dataset(corpus, name)
    kept = corpus.kept(datasets=config.datasets or None, where=config.where, kept_only=config.kept_only)
    try:
        names = [name for name in COLUMNS if name in corpus.schema.names]
        for batch in kept.batches([*names, *kept.trims]):
            yield from batch.to_pylist()
    except (ValueError, OSError) as error:
        if not config.where:
            raise
        raise DataEngineError(f"--where {config.where}: {_short(error)}") from error


def _short(error: Exception) -> str:
    """Say what is wrong with a filter, without the list of all columns and places in the source of Lance."""
    return str(error).splitlines()[0].partition(". Valid fields")[0].partition(", /")[0]


def _planned(out: Path, planned: DatasetPlan) -> ExportedDataset:
    return ExportedDataset(
        name=planned.name,
        root=str(out / planned.name),
        embodiment=planned.layout.embodiment,
        fps=float(planned.layout.rate),
        cameras=[short_name(key) for key in planned.layout.names.camera_features.values()],
        episodes=planned.num_episodes,
        frames=planned.num_steps,
        files=len(planned.units),
    )


def _write(
    corpus: Corpus,
    config: ExportConfig,
    out: Path,
    plans: list[DatasetPlan],
    datasets: list[ExportedDataset],
    reshaped: Mapping[str, str],
) -> None:
    """Write what is missing, and count what was there."""
    about = {"corpus": corpus.uri, "codec": config.codec, "frames": dict(reshaped)}
    sources = roots_of(corpus)
    with claimed(out, "export lerobot", before=OLD_EXPORT, sources=sources) as folder:
        folder.claim(*(f"{each.name}/" for each in plans))
        exports = [lerobot.Export(out, each, config.encoder, about) for each in plans]
        for dataset, export in zip(datasets, exports, strict=True):
            dataset.resumed_files = len(export.finished)
        steps = sum(unit.steps for export in exports for unit in export.tasks())
        workers = config.workers or num_cores()
        with task("export lerobot", steps, "rows and frames") as live:
            lerobot.write(corpus, exports, workers, live.advance)
        for dataset, export in zip(datasets, exports, strict=True):
            dataset.bytes = export.num_bytes
