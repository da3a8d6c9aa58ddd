"""Things found by their names."""

import re
import sys
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from dataengine.naming import class_named, did_you_mean, module_names


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("kitchn", ["kitchen", "attic"], "did you mean 'kitchen'?"),
        ("metaworl", ["openx/fractal20220817_data", "openx/metaworld"], "did you mean 'openx/metaworld'?"),
        ("horizn", ["steps", "model.horizon"], "did you mean 'model.horizon'?"),
        ("zzz", ["kitchen", "attic"], "known: kitchen, attic"),
        ("zzz", [], "known: none"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_or_with_all(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known) == said


def test_whoever_knows_better_says_what_comes_in_place_of_a_list() -> None:
    assert did_you_mean("zzz", ["kitchen"], "give a file") == "give a file"


def test_files_and_folders_of_one_thing_are_found_by_name_and_hidden_ones_are_not() -> None:
    names = module_names("dataengine.sources")
    assert {"rh20t", "openx/metaworld"} <= set(names)
    assert not [name for name in names if "_mapping" in name or "rh20t/" in name]
    assert class_named("source", "dataengine.sources", "rh20t").__name__ == "Rh20t"


@pytest.mark.parametrize(
    "package", ["dataengine.sources", "dataengine.curation.stages", "pipelines.evaluation.simulators"]
)
def test_every_catalogue_answers_a_misspelt_name_with_the_right_one(package: str) -> None:
    name = module_names(package)[0]
    with pytest.raises(DataEngineError, match=f"no thing '{name}x'; did you mean '{name}'"):
        class_named("thing", package, f"{name}x")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no_such_module:Thing", "No module named 'no_such_module'"),
        ("dataengine.naming:Thing", "has no attribute 'Thing'"),
        ("dataengine.naming:did_you_mean", "found <function did_you_mean"),
        (":Thing", "expected module:Class"),
    ],
)
@pytest.mark.parametrize("kind", ["source", "stage", "simulator"])
def test_a_class_elsewhere_that_is_not_there_is_told_with_its_path(kind: str, path: str, says: str) -> None:
    with pytest.raises(DataEngineError, match=re.escape(says)) as caught:
        class_named(kind, "dataengine.sources", path)
    assert str(caught.value).startswith(f"no {kind} '{path}': ")


def test_a_module_in_the_folder_of_the_command_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in_this_folder.py").write_text("class Thing: pass\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert class_named("source", "dataengine.sources", "in_this_folder:Thing").__name__ == "Thing"
