"""Mixtures by name: a YAML file of weights that ships with the tool, or one's own; and what one means for a run."""

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator

from dataengine.errors import DataEngineError
from dataengine.mixture import DatasetShare, Mixture
from pipelines.text_table import text_table

PREFIX = "mixture_"
RECIPE = "recipe"
"""Key of a setting `mixture` that names a recipe; the other keys go before what the recipe says."""


def mixture_names() -> list[str]:
    """Every mixture that ships with the tool."""
    found = (p.name for p in resources.files("pipelines.recipes").iterdir())
    return sorted(n.removeprefix(PREFIX).removesuffix(".yaml") for n in found if n.startswith(PREFIX))


def load_mixture(name: str) -> dict[str, Any]:
    """Read the settings of a named mixture, or of a YAML file."""
    if name in mixture_names():
        text = (resources.files("pipelines.recipes") / f"{PREFIX}{name}.yaml").read_text()
    elif name.endswith((".yaml", ".yml")):
        try:
            text = Path(name).read_text()
        except OSError as error:
            raise DataEngineError(f"mixture {name}: {error.strerror}; expected a YAML file") from error
    else:
        close = difflib.get_close_matches(name, mixture_names(), n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(mixture_names())}, or a .yaml file"
        raise DataEngineError(f"no mixture '{name}'; {hint}")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataEngineError(f"mixture {name}: no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise DataEngineError(f"mixture {name}: expected settings such as weights, found {found!r}")
    return found


def _filled(given: Any) -> Any:
    if isinstance(given, str):
        return load_mixture(given)
    if isinstance(given, dict) and RECIPE in given:
        return {**load_mixture(str(given[RECIPE])), **{key: value for key, value in given.items() if key != RECIPE}}
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
