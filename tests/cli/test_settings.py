"""Defaults, then the file, then the command's own options, then `--set`; whatever is wrong is one line."""

import pytest
from pydantic import Field

from cli.settings import Settings
from dataengine.config import Config
from dataengine.errors import DataEngineError


class Oven(Config):
    heat_c: int = Field(200, ge=0)
    fan: bool = False


class Kitchen(Config):
    owner: str
    oven: Oven = Oven()
    shelves: tuple[int, ...] = ()


def test_each_layer_goes_over_the_one_before(tmp_path):
    file = tmp_path / "kitchen.yaml"
    file.write_text("owner: file\nshelves: [1, 2]\noven:\n  heat_c: 150\n  fan: true\n")
    settings = Settings(file, ["oven.heat_c=90", "shelves=[3]"])
    kitchen = settings.fill(Kitchen, owner="option", oven=None)
    assert kitchen == Kitchen(owner="option", oven=Oven(heat_c=90, fan=True), shelves=(3,))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("oven.heta_c=3", "no setting 'oven.heta_c'; did you mean 'oven.heat_c'?"),
        ("heat_c=3", "no setting 'heat_c'; did you mean 'oven.heat_c'?"),
        ("zzz=3", "no setting 'zzz'; known: owner, oven, shelves"),
        ("oven.heat_c=-1", "setting 'oven.heat_c': found -1, expected greater than or equal to 0"),
        ("oven.heat_c=hot", "setting 'oven.heat_c': found 'hot', expected a valid integer"),
        ("oven", "expected key=value"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_nearest_key(override, message):
    with pytest.raises(DataEngineError) as caught:
        Settings(None, [override]).fill(Kitchen, owner="x")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named_with_its_option():
    with pytest.raises(DataEngineError, match=r"'owner' is missing; give --owner or --set owner=\.\.\."):
        Settings().fill(Kitchen)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), ("a: [", "not YAML"), ("- a\n- b\n", "found a list, expected lines")],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    file = tmp_path / "kitchen.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataEngineError, match=message) as caught:
        Settings(file).fill(Kitchen)
    assert str(file) in str(caught.value)


def test_a_model_setting_that_does_not_exist_is_bad_input_too(villa, corpus, tmp_path):
    said = villa("train", "lam", corpus, "--out", tmp_path / "lam", "--set", "model.resoluton=32")
    assert said.code == 2
    assert "no setting 'model.resoluton'; did you mean 'model.resolution'?" in said.line


@pytest.mark.parametrize("trainer", ["lam", "act", "world"])
def test_a_preset_that_is_no_word_is_bad_input_too(villa, corpus, tmp_path, trainer):
    said = villa("train", trainer, corpus, "--out", tmp_path / "run", "--set", "preset=[0, {a: 1}]")
    assert said.code == 2
    assert "setting 'preset': found [0, {'a': 1}], expected a valid string" in said.line


@pytest.mark.parametrize("trainer", ["lam", "act", "world"])
def test_a_device_that_is_not_there_is_said_before_the_data_is_opened(villa, tmp_path, trainer):
    said = villa("train", trainer, tmp_path / "no-such-data", "--out", tmp_path / "run", "--device", "cuda:99")
    assert said.code == 2
    assert "device 'cuda:99': torch finds" in said.line
    assert not (tmp_path / "run").exists()
