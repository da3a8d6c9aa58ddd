"""What every command gives back: one object, printed as a sentence or as JSON."""

from pydantic import BaseModel, ConfigDict


class Report(BaseModel):
    """Counts and places of one command; `--json` prints its fields, otherwise its summary."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    def summary(self) -> str:
        """Say in a line or a few what was done; subclasses say it better."""
        return ", ".join(f"{key} {value}" for key, value in self.model_dump().items())
