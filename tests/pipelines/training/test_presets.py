"""A preset is a YAML file by name, or one's own; what it says is what a training is started with."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dataengine.errors import DataEngineError
from pipelines.ingest.plan import IngestPlan
from pipelines.recipes import recipes
from pipelines.training import presets
from pipelines.training.act.config import TrainActConfig
from pipelines.training.config import TrainConfig
from pipelines.training.finetune.config import FinetuneConfig
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.world.config import TrainWorldConfig

TRAININGS: list[type[TrainConfig]] = [TrainLamConfig, TrainActConfig, TrainWorldConfig]
SHIPPED = [(training, name) for training in TRAININGS for name in presets.names(training.kind)]


def filled(training: type[TrainConfig], **given: Any) -> TrainConfig:
    more = {"vlm": "random"} if training is TrainActConfig else {}
    return training(data="d", out="o", **more, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("training", "name"), SHIPPED)
def test_every_preset_that_ships_is_whole(training: type[TrainConfig], name: str) -> None:
    config = filled(training, preset=name)
    said = presets.load(training.kind, name)
    assert {key: said[key] for key in ("steps", "lr")} == {"steps": config.steps, "lr": config.lr}
    decided = training.fitted({})
    assert config.model.keys() | decided.keys() == set(training.model_settings.model_fields)
    assert not config.model.keys() & decided.keys(), "what the data decide is left to them"


@pytest.mark.parametrize("training", TRAININGS)
def test_what_must_be_given_has_no_default(training: type[TrainConfig]) -> None:
    assert all(not {"data", "out"} & settings.keys() for settings in training.preset_defaults().values())


def test_presets_are_listed_from_small_to_large() -> None:
    assert presets.names("train_act") == ["tiny", "small", "authors", "paper"]


def test_a_preset_of_ones_own_is_a_file_that_may_begin_from_another(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("preset: small\nlr: 0.01\nmodel: {encoder_depth: 3}\n")
    config, small = filled(TrainLamConfig, preset=str(mine)), filled(TrainLamConfig, preset="small")
    assert (config.lr, config.steps, config.model) == (0.01, small.steps, {**small.model, "encoder_depth": 3})
    assert filled(TrainLamConfig, preset=str(mine), lr=0.5, model={"encoder_depth": 4}).model["encoder_depth"] == 4


def test_a_file_that_gives_all_needs_no_other(tmp_path: Path) -> None:
    tiny = filled(TrainActConfig, preset="tiny")
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({**presets.load("train_act", "tiny")}))
    assert filled(TrainActConfig, preset=str(mine)).model == tiny.model


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("tinny", "no preset of train lam 'tinny'; did you mean 'tiny'?"),
        ("zzz", "known: large, paper, small, tiny, or a .yaml file"),
        ("no.yaml", "No such file"),
    ],
)
def test_an_unknown_preset_is_one_line(preset: str, said: str) -> None:
    with pytest.raises(DataEngineError, match=said):
        filled(TrainLamConfig, preset=preset)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("preset: HERE\n", "expected another preset's name"),
        ("preset: 3\n", "key preset is 3, expected another preset's name"),
        ("model: [1]\n", r"mine.yaml: key model is \[1\], expected a model's settings"),
        ("preset: small\nmodel: 0\n", "key model is 0, expected a model's settings"),
        ("preset: small\nmodel: {resolution: 65}\n", "model: resolution 65 is no multiple of patch_size 16"),
    ],
)
def test_a_file_that_is_no_preset_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("HERE", str(mine)))
    with pytest.raises((DataEngineError, ValueError), match=said):
        filled(TrainLamConfig, preset=str(mine))


def test_a_policy_without_its_vision_language_model_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("steps: 5\n")
    with pytest.raises(ValueError, match=r"model\.vlm is missing; give it, or let the preset begin from another"):
        filled(TrainActConfig, preset=str(mine))


@pytest.mark.parametrize(("training", "name"), SHIPPED)
def test_a_run_whose_older_version_saved_changes_alone_is_the_same_run(training: type[TrainConfig], name: str) -> None:
    config = filled(training, preset=name)
    saved = {**config.fixed_on_resume(), "model": {}}
    assert config.saved_as_today(saved) == config.fixed_on_resume()


def test_a_preset_of_ones_own_may_use_former_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older, mine = tmp_path / "older.yaml", tmp_path / "mine.yaml"
    older.write_text("preset: tiny\nclip: 3.0\nmodel: {flow_draws: 7, expert: {theta: 5.0}}\n")
    mine.write_text(f"preset: {older}\nmodel: {{num_flow_samples: 9}}\n")
    config = filled(TrainActConfig, preset=str(mine))
    assert config.max_grad_norm == 3.0
    assert (config.model["num_flow_samples"], config.model["expert"]["rope_theta"]) == (9, 5.0)
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert config.preset_model()["num_flow_samples"] == 9
    assert capsys.readouterr().err == ""


def test_a_run_of_an_older_version_goes_on_under_former_names(capsys: pytest.CaptureFixture[str]) -> None:
    config = filled(TrainActConfig, preset="tiny")
    saved = config.fixed_on_resume()
    model = dict(saved["model"])
    model["flow_draws"] = model.pop("num_flow_samples")
    model["expert"] = {("theta" if k == "rope_theta" else k): v for k, v in model["expert"].items()}
    assert config.saved_as_today({**saved, "model": model}) == saved
    assert capsys.readouterr().err == ""


def test_a_run_from_before_there_were_hands_goes_on() -> None:
    config = filled(TrainLamConfig, preset="tiny")
    saved = {key: value for key, value in config.fixed_on_resume().items() if key != "use_hands"}
    assert config.saved_as_today(saved) == config.fixed_on_resume()


@pytest.mark.parametrize(("name", "embodiment"), [("realman", "realman_inspire"), ("xhand", "xarm_xhand")])
def test_the_papers_real_robots_have_a_plan_and_a_recipe(name: str, embodiment: str) -> None:
    config = FinetuneConfig(data="d", out="o", checkpoint="c", preset=name)  # type: ignore[arg-type, call-arg]
    assert (config.embodiments, config.mode, config.new_heads) == ((embodiment,), "frozen_vision", True)
    assert (config.steps, config.lr, config.warmup_steps) == (60_000, 5e-5, 200)
    (dataset,) = IngestPlan.model_validate(recipes.load("ingest", name)).datasets
    assert dataset.options["embodiment"] == embodiment


def test_the_authors_choices_are_those_of_their_code_and_all_else_is_the_papers() -> None:
    authors, paper = filled(TrainActConfig, preset="authors"), filled(TrainActConfig, preset="paper")
    differing = {key for key in dict(authors) if getattr(authors, key) != getattr(paper, key)}
    assert differing == {"preset", "optimizer", "padded_actions", "model"}
    ours, theirs = (dict(presets.flat(config.model)) for config in (authors, paper))
    assert {key: ours[key] for key in ours if ours[key] != theirs[key]} == {
        "freeze_last_values": True,
        "reference_latent_step": True,
        "vlm.text.soft_cap": 50.0,
        "expert.soft_cap": 50.0,
        "wrist.view_dropout": 0.75,
    }
