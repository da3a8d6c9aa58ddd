"""Which datasets can be read, by what their source files say about themselves."""

from pathlib import Path

from pydantic import Field, model_serializer

from dataengine import catalog
from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.options import options_of
from dataengine.report import Report
from dataengine.sources.openx.auto import Auto
from pipelines.output.text_table import text_table


class SourcesConfig(Config):
    """Which sources to list."""

    only: str = ""
    """One name, or a part of several."""


class SourceFacts(Report):
    """One dataset as its source file describes it."""

    name: str
    kind: str
    """`robot` or `human`."""
    embodiment: str
    other_embodiments: list[str] = Field(default_factory=list)
    control_hz: float
    layout: str
    """The publisher's file layout in a few words."""
    licence: str
    about: str = ""
    """First line of the source file."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of its own, as `villa ingest` takes them; what each does, and its default."""


class SourcesReport(Report):
    """The sources; as JSON it is a plain list of objects."""

    sources: list[SourceFacts]

    @model_serializer
    def as_list(self) -> list[dict[str, object]]:
        """Serialise as the list itself: that is what scripts ask for."""
        return [facts.model_dump() for facts in self.sources]

    def summary(self) -> str:
        """Print one line per source."""
        rows = [[s.name, s.kind, s.embodiment, s.control_hz, s.layout, s.licence] for s in self.sources]
        lines = [text_table(["name", "kind", "embodiment", "Hz", "layout", "licence"], rows)]
        if len(self.sources) == 1:
            lines += [f"  {usage}  {about}" for usage, about in self.sources[0].options.items()]
        return "\n".join(lines)


def run(config: SourcesConfig) -> SourcesReport:
    """Load every source file whose name matches and read its facts."""
    known_names = catalog.source_names()
    names = [config.only] if config.only in known_names else [name for name in known_names if config.only in name]
    if not names:
        raise DataEngineError(f"no source has '{config.only}' in its name; known: {', '.join(known_names)}")
    return SourcesReport(sources=[_facts(name) for name in names])


class ProposalReport(Report):
    """A mapping for `openx/auto` to start from."""

    root: str
    mapping: str
    """YAML; what is left to the user says FILL_IN."""
    out: str | None = None
    """File that it was written to."""

    def summary(self) -> str:
        """Print the YAML and nothing else, or say where it is."""
        if self.out is None:
            return self.mapping.rstrip("\n")
        return f"wrote {self.out}; replace each FILL_IN in it, then villa ingest openx/auto with --mapping {self.out}"


def propose(root: str, out: str | None = None) -> ProposalReport:
    """Guess from an RLDS folder's features.json which feature is what; raise rather than write over a file."""
    report = ProposalReport(root=root, mapping=Auto(root).proposal(), out=out)
    if out is not None:
        try:
            with Path(out).expanduser().open("x", encoding="utf-8") as file:
                file.write(report.mapping)
        except FileExistsError:
            raise DataEngineError(f"{out} is there already; choose another name, or remove it") from None
    return report


def _facts(name: str) -> SourceFacts:
    """Read what one source file says."""
    source = catalog.source(name)
    return SourceFacts(
        name=name,
        kind=source.kind,
        embodiment=source.embodiment,
        other_embodiments=list(getattr(source, "other_embodiments", ())),
        control_hz=source.control_hz,
        layout=source.layout,
        licence=source.licence,
        options={option.usage: option.about_with_default for option in options_of(source)},
        about=(source.__doc__ or "").strip().partition("\n")[0],
    )
