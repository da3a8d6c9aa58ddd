"""A case of an Open X-Embodiment source: an episode in its published schema, and what must become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from dataengine import catalog
from dataengine.episode import Episode, Reject
from tests.support import openx_values
from tests.support.openx_writer import Stored, write_openx

Columns = tuple[Any, ...]
"""Arrays that stand side by side as columns of a (t, n) vector."""
CASES = "tests.dataengine.sources.openx.cases"
NAMES = [name.removeprefix("openx/") for name in catalog.source_names() if name.startswith("openx/")]
NAMES.remove("auto")  # what it reads is said by a mapping
FILED = {"episode_metadata": {"file_path": "/data/1"}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What `case()` of `tests/dataengine/sources/openx/cases/NAME.py` returns."""

    steps: Mapping[str, Any]
    """As `write_openx` takes them; what a source does not read is there once, to be ignored."""
    beside: Mapping[str, Any] = field(default_factory=lambda: FILED)
    """What the record holds beside its steps."""
    published_as: str = ""
    """Name of its folder, where it is another than the source's."""
    embodiment: str
    layout: str
    """Encoding and width of the state, then of the action."""
    control_hz: float
    cameras: Mapping[str, tuple[int, int, int]]
    """Colour that each slot shows."""
    instruction: list[str] | None = None
    """Where it is not the one text of the steps."""
    state: Columns = ()
    """None for a robot without."""
    action: Columns
    raw_state: tuple[str, ...] = ()
    """Keys of the steps whose numbers are kept as they are, in this order."""
    raw_action: tuple[str, ...]
    rows: slice = field(default_factory=lambda: slice(None))
    """Steps of the record that are kept."""
    is_certain: bool = False
    """Whether it is documented well enough to leave nothing open."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What was decided by the numbers."""

    def published(self, key: str) -> np.ndarray:
        """Give the numbers (t, n) of a key of the steps, such as `observation/state`, at the rows that are kept."""
        value: Any = self.steps
        while not isinstance(value, np.ndarray | Stored):
            name = max((n for n in value if f"{key}/".startswith(f"{n}/")), key=len)
            value, key = value[name], key[len(name) + 1 :]
        values = value.values if isinstance(value, Stored) else value
        return values.reshape(len(values), -1)[self.rows]


def case_of(name: str, **variant: Any) -> Case:
    """Make the case of `openx/<name>`, the same in every order of tests."""
    openx_values.RNG.bit_generator.state = np.random.default_rng(11).bit_generator.state
    return import_module(f"{CASES}.{name}").case(**variant)


def read_all(name: str, root: Path, **options: Any) -> list[Episode | Reject]:
    source = catalog.source(f"openx/{name}")(str(root), **options)
    return [outcome for part in source.parts() for outcome in source.read(part)]


def read_one(name: str, folder: Path, case: Case, **options: Any) -> Episode:
    """Write one episode and read it back."""
    root = write_openx(folder, case.published_as or name, case.steps, episode=case.beside)
    (episode,) = read_all(name, root, **options)
    assert isinstance(episode, Episode), episode
    return episode


def is_close(actual: np.ndarray | None, *expected: Any) -> None:
    """Check a (t, n) vector against columns side by side."""
    assert actual is not None
    side_by_side = np.concatenate([np.reshape(part, (len(actual), -1)) for part in expected], axis=1)
    np.testing.assert_allclose(actual, side_by_side, atol=5e-6)
