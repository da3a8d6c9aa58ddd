"""Episodes that were played, each kept as it ends: a killed evaluation goes on behind the last one."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dataengine.errors import DataEngineError


class Outcome(BaseModel):
    """How one episode went."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    seed: int
    """Of its start."""
    success: bool
    """At any step, which ended it; at the last one, where the simulator plays to the end."""
    solved_ever: bool | None = None
    """Whether at any step, where it played to the end."""
    steps: int
    seconds: float = 0.0
    """Wall-clock seconds, of the simulation and of the policy."""
    lost: str = ""
    """Why the simulator did not bring it to its end; it then counts neither as solved nor as failed."""
    filmstrip: str = ""
    """JPEG below the folder of results, where it was kept."""
    video: str = ""
    """MP4 below the folder of results, where it was kept."""


@dataclass(frozen=True)
class Journal:
    """A file with a line for each episode of one policy on one task; several processes may append to it."""

    path: Path

    def read(self) -> dict[int, Outcome]:
        """Give what was played, by seed; a line that a killed process left unfinished is none."""
        if not self.path.exists():
            return {}
        outcomes = {}
        lines = self.path.read_bytes().split(b"\n")[:-1]
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                one = Outcome.model_validate(json.loads(line))
            except (ValueError, ValidationError):
                raise DataEngineError(
                    f"{self.path}, line {number}: is no episode that `villa eval` kept; remove the file, and what it "
                    f"held is played again"
                ) from None
            outcomes[one.seed] = one
        return outcomes

    def append(self, outcome: Outcome) -> None:
        """Keep one more: begin a new line where the one before was cut short."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, b"\n" * cut + outcome.model_dump_json().encode() + b"\n")
        finally:
            os.close(handle)
