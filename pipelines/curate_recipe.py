"""Curation recipes: a YAML file of stage names, each with its thresholds."""

import dataclasses
import difflib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from dataengine import catalog
from dataengine.errors import DataEngineError
from dataengine.protocols import MeasuresNumbers, MeasuresPictures, Rejects, Stage, Surveys, Trims

PREFIX = "curate_"


def recipe_names() -> list[str]:
    """Every recipe that ships with the tool."""
    found = (p.name for p in resources.files("pipelines.recipes").iterdir())
    return sorted(n.removeprefix(PREFIX).removesuffix(".yaml") for n in found if n.startswith(PREFIX))


def load_recipe(name: str) -> dict[str, Stage]:
    """Make the stages of a named recipe, or of a YAML file, in its order."""
    if name in recipe_names():
        text = (resources.files("pipelines.recipes") / f"{PREFIX}{name}.yaml").read_text()
    elif name.endswith((".yaml", ".yml")):
        text = Path(name).read_text()
    else:
        close = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(recipe_names())}, or a .yaml file"
        raise DataEngineError(f"no curation recipe '{name}'; {hint}")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataEngineError(f"recipe {name}: no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or not found:
        raise DataEngineError(f"recipe {name}: expected stage names with their thresholds, found {found!r}")
    return {str(stage): _stage(name, str(stage), thresholds or {}) for stage, thresholds in found.items()}


def _stage(recipe: str, name: str, thresholds: Any) -> Stage:
    """Make one stage; thresholds must be its own, and numbers."""
    kind = catalog.stage(name)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if not isinstance(thresholds, dict):
        raise DataEngineError(f"recipe {recipe}: {name} has {thresholds!r}, expected thresholds: {', '.join(known)}")
    for key, value in thresholds.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
            raise DataEngineError(f"recipe {recipe}: {name} has no threshold '{key}'; {hint}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataEngineError(f"recipe {recipe}: {name}.{key} is {value!r}, expected a number")
    made = kind(**thresholds)
    measures, decides = (MeasuresNumbers, MeasuresPictures), (Rejects, Trims, Surveys)
    if not isinstance(made, measures) or not isinstance(made, decides):
        raise DataEngineError(f"recipe {recipe}: {name} is no stage: it must measure and decide; see protocols.Stage")
    return made
