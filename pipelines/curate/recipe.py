"""Curation recipes: a YAML file of stage names, each with its thresholds."""

import dataclasses
from typing import Any

from dataengine import catalog
from dataengine.curation.stage import MeasuresNumbers, MeasuresPictures, Rejects, Stage, Surveys, Trims
from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from pipelines.recipes import recipes

LARGEST = 1e12
"""Threshold that may be meant; NaN would let everything pass."""


def load_recipe(name: str) -> dict[str, Stage]:
    """Make the stages of a named recipe, or of a YAML file, in its order."""
    rules = recipes.load("curate", name)
    return {str(stage): _stage(name, str(stage), thresholds or {}) for stage, thresholds in rules.items()}


def _stage(recipe: str, name: str, thresholds: Any) -> Stage:
    """Make one stage; thresholds must be its own, and numbers, or lists of words where it takes such."""
    kind = catalog.stage(name)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    lists = {field.name for field in dataclasses.fields(kind) if isinstance(field.default, tuple)}  # type: ignore[arg-type]
    if not isinstance(thresholds, dict):
        raise DataEngineError(
            f"recipe {recipe}: {name} has {thresholds!r:.80}, expected thresholds: {', '.join(known)}"
        )
    for key, value in thresholds.items():
        if key not in known:
            raise DataEngineError(f"recipe {recipe}: {name} has no threshold '{key}'; {did_you_mean(str(key), known)}")
        if key in lists:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise DataEngineError(f"recipe {recipe}: {name}.{key} is {value!r:.80}, expected a list of words")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            raise DataEngineError(f"recipe {recipe}: {name}.{key} is {value!r:.80}, expected a number")
    made = kind(**{key: tuple(value) if key in lists else value for key, value in thresholds.items()})
    measures, decides = (MeasuresNumbers, MeasuresPictures), (Rejects, Trims, Surveys)
    if not isinstance(made, measures) or not isinstance(made, decides):
        raise DataEngineError(
            f"recipe {recipe}: {name} is no stage: it must measure and decide; see curation.stage.Stage"
        )
    return made
