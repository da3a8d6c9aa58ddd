"""How far a run is: `pipeline.json` in its folder, written whole after every change."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataengine.errors import DataEngineError
from dataengine.whole_file import write_whole
from pipelines.workflow.artifacts import Identities

FILE_NAME = "pipeline.json"
PAGE = "index.html"


class StageRecord(BaseModel):
    """What is known of the last time a stage was run."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    state: Literal["running", "failed", "done"]
    command: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Those that its results depend on."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Identity of what it read, by name."""
    outputs: dict[str, str] = Field(default_factory=dict)
    """The same of what it wrote, once it is done."""
    began_at: float = 0.0
    """Seconds since 1970; of the first call, where one was stopped and others went on."""
    spans: list[tuple[float, float]] = Field(default_factory=list)
    """When it was at work: begin and end of each call that came to an end, in seconds since 1970."""
    report: dict[str, Any] = Field(default_factory=dict)
    """What the command reports with `--json`."""
    error: str = ""

    @property
    def seconds(self) -> float:
        """Time at work."""
        return sum(end - start for start, end in self.spans)


class PipelineState(BaseModel):
    """All stages of a run, and files that were hashed."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    stages: dict[str, StageRecord] = Field(default_factory=dict)
    hashes: dict[str, tuple[int, int, str]] = Field(default_factory=dict)
    """By file: size, time and SHA-256; the time only says that it need not be hashed again."""

    def identities(self) -> Identities:
        """Give what tells artifacts by their content, and remembers hashes here."""
        return Identities(self.hashes)

    def save(self, folder: Path) -> None:
        """Write it so that no reader ever sees half of it."""
        write_whole(folder / FILE_NAME, self.model_dump_json(indent=1) + "\n", durable=True)

    @classmethod
    def load(cls, folder: Path) -> "PipelineState":
        """Read it; a new run has none. Raise DataEngineError where it is damaged."""
        path = folder / FILE_NAME
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else cls()
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise DataEngineError(
                f"{path}: cannot be read ({first}); remove it, and every stage is looked at again: what is done goes "
                f"on from its own output"
            ) from None
