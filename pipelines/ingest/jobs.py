"""The datasets of a run, each divided into parts, each with the reader that the workers get for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING

from dataengine import catalog
from dataengine.digest import stable_id
from dataengine.episode import Episode, Part, Reject
from dataengine.errors import ChangedError, DataEngineError, SourceError
from dataengine.framing import SQUASH, Fit
from dataengine.notes import fit_notes
from dataengine.options import checked, options_of
from dataengine.protocols import Source
from pipelines.ingest.report import IngestReport

if TYPE_CHECKING:
    from pipelines.ingest.config import DatasetConfig


@dataclass(frozen=True)
class Job:
    """One dataset of a run."""

    source: Source
    settings: str
    """What shapes the rows beside the source."""
    parts: Mapping[str, Part]
    """By id."""
    report: IngestReport

    @property
    def reader(self) -> "Unchanged":
        """What reads its parts."""
        return Unchanged(self.source, self.settings)


@dataclass(frozen=True)
class Unchanged:
    """Reads the parts of a dataset as they were planned."""

    source: Source
    settings: str

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Let the source read a part; raise ChangedError when its files are not those that were planned.

        How its frames came to rest is noted with each episode, unless it is as always.
        """
        framing_notes = fit_notes(fit_of(self.source))
        try:
            for outcome in self.source.read(part):
                yield (
                    replace(outcome, notes={**outcome.notes, **framing_notes})
                    if framing_notes and isinstance(outcome, Episode)
                    else outcome
                )
        except Exception as error:
            self._refuse_changed(part, error)
            raise
        self._refuse_changed(part)

    def _refuse_changed(self, part: Part, trouble: Exception | None = None) -> None:
        """Raise ChangedError when a part has another fingerprint than at first.

        Asked after the last record: whatever was written to before or during the reading shows then. A source of
        somebody's own may tell none.
        """
        look = getattr(self.source, "fingerprint", None)
        if not callable(look):
            return
        try:
            fingerprint = _fingerprint(look(part), self.settings)
        except DataEngineError as error:  # it cannot even be planned any more
            fingerprint, trouble = "", error
        if fingerprint != part.fingerprint:
            said = f" ({trouble})" if trouble else ""
            raise ChangedError(
                f"its files were written to since the run began{said}; let that end, then the same command reads it"
            ) from trouble


def owners(jobs: Sequence[Job]) -> dict[tuple[str, str], int]:
    """Tell by dataset and name, whichever reading of it, which of the jobs a part belongs to."""
    return {(part.dataset, part.name): i for i, job in enumerate(jobs) for part in job.parts.values()}


def _fingerprint(of_files: str, settings: str) -> str:
    """Let the settings count among what a part is known by, so that a change of either is noticed."""
    return stable_id(of_files, settings)


def plan(config: "DatasetConfig") -> Job:
    """List a dataset's parts."""
    source_class = catalog.source(config.source)
    options = checked(source_class, config.options)
    root = config.root
    if config.fit != SQUASH:
        options["fit"] = _taken(source_class, config.fit)
    source = source_class(root, frame_size=config.frame_size, frame_hz=config.frame_hz, **options)
    if not source.name.strip():
        raise SourceError(f"{root}: the name of its dataset is empty; give --dataset a name")
    settings = _settings(config, source_class, options)
    listed = [replace(part, fingerprint=_fingerprint(part.fingerprint, settings)) for part in source.parts()]
    parts = {part.part_id: part for part in listed}
    if not parts:
        raise SourceError(f"{root}: found no parts of {source.name}; is this the right folder?")
    if len(parts) < len(listed):
        raise SourceError(f"{root}: {source.name} lists {len(listed)} parts but only {len(parts)} different names")
    report = IngestReport(source=source.name, root=root, planned_parts=len(parts))
    return Job(source, settings, parts, report)


def fit_of(source: Source) -> Fit:
    """Tell how a source brings its frames to rest."""
    return getattr(source, "fit", SQUASH)


def _taken(source: type[Source], fit: Fit) -> Fit:
    """Raise DataEngineError for a source of somebody's own that only squashes."""
    if "fit" not in signature(source).parameters:
        raise DataEngineError(
            f"{source.name} takes no --fit {fit}: its class has no field `fit`; leave --fit out, or add the field "
            f"(docs/sources.md)"
        )
    return fit


def _settings(config: "DatasetConfig", source: type[Source], options: Mapping[str, object]) -> str:
    """Write down what shapes the rows beside the source.

    An option that says what holds anyway changes nothing; of files that options name the source itself takes care.
    """
    values: dict[str, object] = {"frame_size": config.frame_size, "frame_hz": config.frame_hz}
    plain = {option.name: option.default for option in options_of(source)} | {"fit": SQUASH}
    changed = {key: value for key, value in options.items() if value != plain[key]}
    changed = {key: value for key, value in changed.items() if key not in getattr(source, "file_options", ())}
    return " ".join(f"{key}={value}" for key, value in [*values.items(), *sorted(changed.items())])
