"""A stage: a command with its settings, and the line that runs it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataengine.config import Config
from pipelines.workflow.artifacts import Artifact
from pipelines.workflow.children import VillaCommand
from pipelines.workflow.commands import StageCommand

CALL = "pipelines.workflow.call"
"""Module that runs a command of one's own."""
MOST_LETTERS = 100_000
MOST_PATH = 4096


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage, as its file has it at this moment."""

    name: str
    command: StageCommand
    values: Mapping[str, Any]
    """Settings that are given, references filled in."""
    config: Config
    """All settings."""
    reads: Sequence[Artifact]
    writes: Sequence[Artifact]
    after: Sequence[str]
    """Stages that it names."""
    refers: Mapping[str, set[str]]
    """Stages that each setting refers to."""
    threads: int | None

    def reads_from(self, other: "Stage") -> bool:
        """Tell whether the other stage writes what this one reads, or what must be there before."""
        return any(read.comes_after(written) for read in self.reads for written in other.writes)

    def writes_with(self, other: "Stage") -> bool:
        """Tell whether both write to one corpus or folder: not at once."""
        return bool({a.path for a in self.writes} & {a.path for a in other.writes})

    def files(self) -> Iterator[Path]:
        """Name the files that its settings name beside what it reads and writes: recipes, mixtures, tokenizers."""
        known = {Path(artifact.path) for artifact in (*self.reads, *self.writes)}
        for text in texts_in(self.config.model_dump(mode="json")):
            if "/" in text or text.endswith((".yaml", ".yml", ".json")):
                path = Path(text).expanduser()
                is_name = len(text) < MOST_PATH and "\n" not in text
                if is_name and path.is_file() and not known & {path.resolve(), *path.resolve().parents}:
                    yield path

    def as_command(self, log: Path, environment: Mapping[str, str]) -> VillaCommand:
        """Make its command line."""
        module = CALL if self.command.is_own else "cli"
        return VillaCommand(self._arguments(), log, self.threads, environment, module)

    def _arguments(self) -> list[str]:
        if self.command.is_own:
            return [self.command.name, *(f"{key}={_written(value)}" for key, value in self.values.items())]
        arguments = {key: self.values.get(key, getattr(self.config, key)) for key in self.command.arguments}
        plain = [str(value) for value in arguments.values() if value not in (None, "")]
        others = [key for key in self.values if key not in arguments]
        given = [argument for key in others for argument in ("--set", f"{key}={_written(self.values[key])}")]
        return [*self.command.name.split(), *plain, *given]


def _written(value: Any) -> str:
    """Write a value as `--set` reads it, in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=MOST_LETTERS, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def texts_in(value: Any) -> Iterator[str]:
    """Give every text within lists and mappings."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, str):
        yield value
