"""Recipes of every kind: a YAML file that ships with the tool, found by its name, or one of the user's own."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from dataengine.errors import DataEngineError
from dataengine.formats import yaml_file
from dataengine.naming import did_you_mean

TITLES = {
    "ablate": "recipe of `villa ablate`",
    "curate": "curation recipe",
    "ingest": "plan",
    "mixture": "mixture",
    "pipeline": "pipeline",
}
"""What recipes of a kind are called; those of kind `train_lam` are presets of `villa train lam`."""


def names(kind: str) -> list[str]:
    """Every recipe of a kind that ships: `<kind>_<name>.yaml` in `pipelines/recipes`."""
    files = (path.name for path in resources.files("pipelines.recipes").iterdir())
    return sorted(n.removeprefix(f"{kind}_").removesuffix(".yaml") for n in files if n.startswith(f"{kind}_"))


def load(kind: str, name: str) -> dict[str, Any]:
    """Read a recipe by its name or file; raise DataEngineError that says what is wrong with it, with a near match."""
    title, known = TITLES.get(kind, f"preset of {kind.replace('_', ' ')}"), names(kind)
    try:
        if name in known:
            content = yaml_file.load((resources.files("pipelines.recipes") / f"{kind}_{name}.yaml").read_bytes())
        elif name.endswith((".yaml", ".yml")):
            content = yaml_file.read(Path(name))
        else:
            hint = did_you_mean(name, known, f"known: {', '.join(known) or 'none'}, or a .yaml file")
            raise DataEngineError(f"no {title} '{name}'; {hint}")
    except OSError as error:
        raise DataEngineError(f"{title} {name}: {error.strerror}; expected a YAML file") from error
    except yaml.YAMLError as error:
        raise DataEngineError(f"{title} {name}: no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not content:
        raise DataEngineError(f"{title} {name}: expected keys and values, found {content!r:.80}")
    return content
