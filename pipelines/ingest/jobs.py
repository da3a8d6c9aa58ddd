"""The datasets of a run, each divided into parts, and the one reader that the workers get for all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dataengine import catalog
from dataengine.digest import stable_id
from dataengine.episode import Episode, Part, Reject
from dataengine.errors import ChangedError, DataEngineError, SourceError
from dataengine.options import checked, options_of
from dataengine.protocols import Source
from pipelines.ingest.report import IngestReport

if TYPE_CHECKING:
    from pipelines.ingest.config import DatasetConfig

JOB = "job"
"""Option of a part that tells which of a run's datasets it belongs to; no part of its identity."""

PLANNED = "planned"
"""Option of a part: the fingerprint that its source gave it, before the settings came to it."""


@dataclass(frozen=True)
class Job:
    """One dataset of a run."""

    source: Source
    settings: str
    """What shapes the rows beside the source."""
    parts: Mapping[str, Part]
    """By id."""
    report: IngestReport


@dataclass(frozen=True)
class Together:
    """Reads the parts of several sources: an engine then balances all of them over its workers."""

    sources: tuple[Source, ...]

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Let the part's own source read it; raise ChangedError when its files are not those that were planned."""
        source = self.sources[int(part.options[JOB])]
        try:
            yield from source.read(part)
        except Exception as error:
            _refuse_changed(source, part, error)
            raise
        _refuse_changed(source, part)


def _refuse_changed(source: Source, part: Part, trouble: Exception | None = None) -> None:
    """Raise ChangedError when a part has another fingerprint than at first; a source of somebody's own may tell none.

    Asked after the last record: whatever was written to before or during the reading shows then.
    """
    look = getattr(source, "fingerprint", None)
    if not callable(look):
        return
    try:
        found = look(part)
    except DataEngineError as error:  # it cannot even be planned any more
        found, trouble = "", error
    if found != part.options[PLANNED]:
        said = f" ({trouble})" if trouble else ""
        raise ChangedError(
            f"its files were written to since the run began{said}; let that end, then the same command reads it"
        ) from trouble


def plan(config: "DatasetConfig", job: int = 0) -> Job:
    """List a dataset's parts; their fingerprints cover the settings, so that a change of either is noticed."""
    source_class = catalog.source(config.source)
    options = checked(source_class, config.options)
    root = config.root
    source = source_class(root, frame_size=config.frame_size, frame_hz=config.frame_hz, **options)
    settings = _settings(config, source_class, options)
    listed = [
        replace(
            part,
            fingerprint=stable_id(part.fingerprint, settings),
            options={**part.options, JOB: str(job), PLANNED: part.fingerprint},
        )
        for part in source.parts()
    ]
    parts = {part.part_id: part for part in listed}
    if not parts:
        raise SourceError(f"{root}: found no parts of {source.name}; is this the right folder?")
    if len(parts) < len(listed):
        raise SourceError(f"{root}: {source.name} lists {len(listed)} parts but only {len(parts)} different names")
    report = IngestReport(source=source.name, root=root, planned_parts=len(parts))
    return Job(source, settings, parts, report)


def _settings(config: "DatasetConfig", source: type[Source], options: Mapping[str, object]) -> str:
    """Write down what shapes the rows beside the source.

    An option that says what holds anyway changes nothing; of files that options name the source itself takes care.
    """
    words: dict[str, object] = {"frame_size": config.frame_size, "frame_hz": config.frame_hz}
    plain = {option.name: option.default for option in options_of(source)}
    told = {key: value for key, value in options.items() if value != plain[key]}
    told = {key: value for key, value in told.items() if key not in getattr(source, "file_options", ())}
    return " ".join(f"{key}={value}" for key, value in [*words.items(), *sorted(told.items())])
