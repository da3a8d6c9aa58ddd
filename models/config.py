"""The base of every model's settings."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Frozen settings that refuse unknown keys; attribute docstrings become the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
