"""A pipeline's file, and what `villa pipeline` is asked to do with it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from dataengine.config import MOST_WORKERS, Config

Name = Annotated[str, Field(pattern=r"^[A-Za-z][\w-]*$")]


class StageSettings(Config):
    """One stage of a file."""

    command: str
    """`train lam`, `ingest` ..., or `module:Class` of a Config of one's own with a function `run` beside it."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The command's settings, as for `--config`; `${NAME}` stands for a variable or for the output of a stage."""
    after: list[str] = Field(default_factory=list)
    """Stages that must be done first, beside those whose outputs it reads."""
    inputs: list[str] = Field(default_factory=list)
    """Files and folders that a command of one's own reads."""
    outputs: list[str] = Field(default_factory=list)
    """Files and folders that it writes."""
    threads: int | None = Field(None, ge=1, le=MOST_WORKERS)
    """Cores that it takes of the pipeline's, and threads of its numerical libraries; None: it runs alone."""


class PipelineFile(Config):
    """A pipeline's file."""

    base: str | None = None
    """Another pipeline, by name or file, that this one changes: keys are laid over its keys, whatever the depth."""
    out: str | None = None
    """Folder of the run: state, page, logs, and by default every output; by default `runs/` and the file's name."""
    corpus: str = "${out}/corpus"
    """Corpus of every stage that names none."""
    vars: dict[Name, Any] = Field(default_factory=dict)
    """Values by name, for `${NAME}`."""
    cores: int = Field(1, ge=1, le=MOST_WORKERS)
    """Stages run side by side as long as their `threads` fit into it."""
    stages: dict[Name, StageSettings] = Field(min_length=1)
    """By name."""


class PipelineConfig(Config):
    """Which pipeline, and what to do with it."""

    file: str
    """YAML file, or the name of a pipeline that ships with the tool."""
    out: Path | None = None
    """Folder of the run, in place of the file's."""
    vars: dict[Name, Any] = Field(default_factory=dict)
    """Variables of the file to change."""
    cores: int | None = Field(None, ge=1, le=MOST_WORKERS)
    """Cores for stages side by side, in place of the file's."""
    dry_run: bool = False
    """Tell which stages would run, and why; run nothing."""
    status: bool = False
    """Tell how far the run is; run nothing."""
    redo: str | None = None
    """Stage to do again even if nothing changed; those that read its outputs follow if these differ."""
    until: str | None = None
    """Last stage: it and what it needs are run."""
    only: str | None = None
    """Run this stage alone, whatever its inputs' own stages would do."""
