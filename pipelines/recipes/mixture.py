"""Mixtures by name: a YAML file of weights that ships with the tool, or one's own; and what one means for a run."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from dataengine.windows.mixture import DatasetShare, Mixture
from pipelines.output.text_table import text_table
from pipelines.recipes import recipes

RECIPE = "recipe"
"""Key of a setting `mixture` that names a recipe; the other keys take precedence over the recipe."""


def _filled(given: Any) -> Any:
    if isinstance(given, str):
        return recipes.load("mixture", given)
    if isinstance(given, dict) and RECIPE in given:
        return {
            **recipes.load("mixture", str(given[RECIPE])),
            **{key: value for key, value in given.items() if key != RECIPE},
        }
    return given


NamedMixture = Annotated[Mixture, BeforeValidator(_filled)]
"""A mixture as a setting: its keys, the name of a recipe, or `recipe` beside keys that change it."""


def describe(shares: Sequence[DatasetShare], draws: int, missing: Sequence[str] = ()) -> str:
    """Print what a run of so many draws sees of each dataset, in epochs."""
    rows = [
        [s.dataset, s.episodes, s.windows, f"{100 * s.share:.2f} %", round(draws * s.share), _epochs(draws, s)]
        for s in shares
    ]
    lines = [text_table(["dataset", "episodes", "windows", "share", "draws", "epochs"], rows)]
    if missing:
        lines.append(f"not there, and left out: {', '.join(missing)}")
    return "\n".join(lines)


def _epochs(draws: int, share: DatasetShare) -> float:
    return draws * share.share / share.windows
