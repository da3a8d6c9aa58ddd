"""Every documented setting of every model works from the command line and changes nothing but itself."""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cli.app import app
from cli.contract import invoke
from cli.settings import Settings
from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.setting_errors import nested
from models.act import ActConfig
from models.act.config import SHARED
from models.config import merged
from models.lam import LamConfig
from models.world import WorldConfig
from pipelines.training.act.config import TrainActConfig
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.world.config import TrainWorldConfig

MODELS: list[tuple[type[Config], Any, str]] = [
    (TrainActConfig, ActConfig, "tiny"),
    (TrainActConfig, ActConfig, "small"),
    (TrainActConfig, ActConfig, "paper"),
    (TrainLamConfig, LamConfig, "tiny"),
    (TrainLamConfig, LamConfig, "small"),
    (TrainLamConfig, LamConfig, "paper"),
    (TrainWorldConfig, WorldConfig, "tiny"),
    (TrainWorldConfig, WorldConfig, "small"),
]
SIZE = {"state_dims": [7, 7], "action_dims": [7, 7]}
"""What the data decides."""
VALUES: dict[str, Any] = {
    "widths": [8, 16, 32, 64],
    "state_dims": [9, 9],
    "action_dims": [9, 9],
    "crop_area": [0.5, 0.9],
    "crop_aspect": [0.8, 1.2],
    "betas": [0.8, 0.9],
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
    "weights": {"pantry": 1.0},
    "fractions": {"pantry": 0.5},
    "optional": ["pantry"],
    "human_share": 0.25,
    "embodiment_temperature": 2.0,
    "temperature": 2.0,
    "max_minutes": 3.0,
    "targets": ["latent"],
    "more_cameras": ["wrist_2"],
}


def leaves(config: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, info in config.model_fields.items():
        inner = nested(info.annotation)
        for one in inner:
            yield from leaves(one, f"{prefix}{name}.")
        if not inner:
            yield f"{prefix}{name}", info


def other(key: str, info: FieldInfo, now: Any) -> Any:
    """Give another value that is allowed."""
    name = key.rpartition(".")[2]
    if name in VALUES:
        return VALUES[name]
    if get_origin(info.annotation) is Literal:
        return next(value for value in get_args(info.annotation) if value != now)
    if isinstance(now, bool):
        return not now
    if isinstance(now, int):
        return 2 * now or 3
    return f"{now}>" if isinstance(now, str) else now / 2 or 0.5


def flat(settings: BaseModel) -> dict[str, Any]:
    def walk(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict) and prefix.rpartition(".")[2] not in VALUES:
            for key, inner in value.items():
                yield from walk(inner, f"{prefix}.{key}" if prefix else key)
        else:
            yield prefix, value

    return dict(walk(settings.model_dump(mode="json"), ""))


def shape(train: type[Config], model: Any, preset: str, *overrides: str) -> BaseModel:
    vlm = ["vlm=random"] if train is TrainActConfig else []
    config: Any = Settings(None, [*vlm, *overrides]).fill(train, data="d", out="o", preset=preset)
    size = merged(config.preset_model(), SIZE if model is ActConfig else {})
    return model.model_validate(merged(size, config.model))


@pytest.mark.parametrize(("train", "model", "preset"), MODELS)
def test_every_setting_of_a_model_changes_itself_alone(train: type[Config], model: Any, preset: str) -> None:
    wrist = "model.wrist.widths=[4, 4, 4, 4]"
    for key, info in leaves(model):
        needed = [wrist] if key.startswith("wrist.") and preset == "tiny" else []
        needed += [wrist] if key == "more_cameras" and preset == "tiny" else []
        needed += ["model.lora.alpha=8.0"] if key.startswith("lora.") else []
        needed += ["model.vlm.vision.patch_size=16"] if key.endswith(".stem") else []
        before = flat(shape(train, model, preset, *needed))
        new = other(key, info, before[key])
        after = flat(shape(train, model, preset, *needed, f"model.{key}={json.dumps(new)}"))
        changed = {name for name in after if after[name] != before[name]}
        stream, _, name = key.rpartition(".")
        shared = {"expert": "vlm.text", "vlm.text": "expert"}.get(stream)
        follows = {f"{shared}.{name}"} if shared and name in SHARED else set()
        assert changed == {key} | follows, f"--set model.{key}={new}"
        assert after[key] == new


@pytest.mark.parametrize(("train", "model", "preset"), MODELS)
def test_every_nested_setting_of_a_trainer_changes_itself_alone(train: type[Config], model: Any, preset: str) -> None:
    vlm = ["vlm=random"] if train is TrainActConfig else []

    def filled(*overrides: str) -> dict[str, Any]:
        return flat(Settings(None, [*vlm, *overrides]).fill(train, data="d", out="o", preset=preset))

    before = filled()
    keys = [(key, info) for key, info in leaves(train) if "." in key]
    own = {"lr_scales"} if train is TrainActConfig else set()
    assert {key.partition(".")[0] for key, _ in keys} == {"augment", "mixture"} | own
    for key, info in keys:
        new = other(key, info, before[key])
        after = filled(f"{key}={json.dumps(new)}")
        assert {name for name in after if after[name] != before[name]} == {key}


def test_what_streams_share_is_set_for_both_unless_both_are_given() -> None:
    both = shape(TrainActConfig, ActConfig, "small", "model.expert.soft_cap=50")
    assert (both.vlm.text.soft_cap, both.expert.soft_cap) == (50, 50)
    with pytest.raises(DataEngineError, match=r"share soft_cap; the text has 30\.0, the expert 50\.0"):
        shape(TrainActConfig, ActConfig, "small", "model.expert.soft_cap=50", "model.vlm.text.soft_cap=30")


def test_a_group_that_a_preset_lacks_is_not_made_up() -> None:
    with pytest.raises(
        DataEngineError, match=r"this preset has no wrist encoder for model\.wrist\.view_dropout to change"
    ):
        shape(TrainActConfig, ActConfig, "tiny", "model.wrist.view_dropout=0.75")
    made = shape(TrainActConfig, ActConfig, "tiny", "model.wrist.widths=[4, 8, 8, 16]", "model.wrist.view_dropout=0.75")
    assert (made.wrist.widths, made.wrist.view_dropout) == ((4, 8, 8, 16), 0.75)
    assert shape(TrainActConfig, ActConfig, "small", "model.wrist=null").wrist is None


def test_a_named_mixture_is_not_thrown_away_by_one_of_its_keys(tmp_path: Any) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("mixture: villa-x\n")
    with pytest.raises(DataEngineError, match=r"'mixture' is 'villa-x' already.*mixture\.recipe=villa-x"):
        Settings(file, ["mixture.human_share=0.25"]).fill(TrainActConfig, data="d", out="o")
    file.write_text("mixture: {recipe: villa-x}\n")
    changed = Settings(file, ["mixture.human_share=0.25"]).fill(TrainActConfig, data="d", out="o").mixture
    assert changed.human_share == 0.25
    assert changed.weights


def test_paper_sized_policies_do_not_train_from_random_words_unless_told() -> None:
    with pytest.raises(DataEngineError, match=r"paper needs pretrained weights.*--set vlm=random") as caught:
        Settings().fill(TrainActConfig, data="d", out="o", preset="paper")
    assert "\n" not in str(caught.value)
    assert Settings(None, ["vlm=random"]).fill(TrainActConfig, data="d", out="o", preset="paper").vlm == "random"


@pytest.mark.parametrize(
    ("argv", "printed"),
    [
        (["--model.flow-draws", "3"], "num_flow_samples: 3"),
        (["--set", "model.flow_draws=3"], "num_flow_samples: 3"),
        (["--model.freeze-words"], "freeze_token_embeddings: true"),
        (["--model.expert.theta", "50"], "rope_theta: 50.0"),
        (["--model.wrist.widths", "[8, 8, 8, 8]", "--model.wrist.drop", "0.25"], "view_dropout: 0.25"),
    ],
)
def test_former_names_of_a_models_settings_are_taken_with_a_line(
    argv: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(app, ["train", "act", "data", "--out", "out", *argv, "--print-config"]) == 0
    out, err = capsys.readouterr()
    assert printed in out
    assert re.fullmatch(rf"setting '\w+' is now '{printed.partition(':')[0]}'; the next version .*\n", err)


def test_a_models_setting_by_both_of_its_names_is_refused() -> None:
    with pytest.raises(DataEngineError, match="'flow_draws' is now 'num_flow_samples', and both are given"):
        both = ["model.flow_draws=3", "model.num_flow_samples=4"]
        Settings(None, both).fill(TrainActConfig, data="d", out="o", preset="tiny")


def test_a_setting_that_was_renamed_says_so() -> None:
    with pytest.raises(DataEngineError, match=r"count_padded_actions is now padded_actions: repeat"):
        Settings(None, ["count_padded_actions=false"]).fill(TrainActConfig, data="d", out="o")
