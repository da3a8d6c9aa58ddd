"""Every setting is an option: what it is called, what it goes before, what is said of a wrong one."""

import json
from pathlib import Path

import pytest
import yaml

from cli.app import app
from cli.contract import invoke


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert invoke(app, [*arguments, "--print-config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_settings_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(
        capsys, "train", "lam", "corpus", "--out", "o", "--batch-size", "7", "--no-proprio", "--model.num-frames=4",
        "--augment.crop-area", "[0.5, 1.0]",
    )  # fmt: skip
    assert (found["batch_size"], found["proprio"], found["model"]["num_frames"]) == (7, False, 4)
    assert found["augment"]["crop_area"] == [0.5, 1.0]
    assert found["lr"] == 2e-3, "the preset's own, where nobody says otherwise"


def test_options_go_before_the_file_and_set_goes_before_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("batch_size: 5\nwarmup_steps: 6\n")
    base = ("train", "lam", "corpus", "--out", "o", "--config", str(file))
    assert printed(capsys, *base, "--batch-size", "7")["batch_size"] == 7
    found = printed(capsys, *base, "--set", "batch_size=9", "--batch-size", "7")
    assert (found["batch_size"], found["warmup_steps"]) == (9, 6)


def test_what_is_printed_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "train", "act", "shards", "--out", "o", "--model.horizon", "8", "--preset", "small")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(found))
    assert printed(capsys, "train", "act", "shards", "--config", str(file)) == found


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--batch-sizes", "no option '--batch-sizes'; did you mean '--batch-size'?"),
        ("--model.num-frame", "did you mean '--model.num-frames'?"),
        ("--warmup-steps", "option '--warmup-steps' needs a value"),
        ("--lr --no-proprio", "option '--lr' needs a value"),
        ("--no-proprio=false", "found '--no-proprio=false', expected '--no-proprio' alone"),
        ("--proprio=no", "found '--proprio=no', expected '--proprio' alone"),
    ],
)
def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str], option: str, said: str) -> None:
    assert invoke(app, ["train", "lam", "corpus", *option.split()]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""


def test_a_models_setting_is_checked_before_the_data_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["train", "act", "no-such-place", "--out", "o"]
    assert invoke(app, [*base, "--set", "model.horizn=16", "--json"]) == 2
    assert "no setting 'model.horizn'; did you mean 'model.horizon'?" in json.loads(capsys.readouterr().out)["error"]
    assert invoke(app, [*base, "--set", "model.vlm.text_length=-1"]) == 2
    assert "setting 'model.vlm.text_length': found -1" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["train", "lam"], ["curate"], ["ingest"], ["eval"]])
def test_the_help_lists_settings(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert invoke(app, [*command, "--help"]) == 0
    text = capsys.readouterr().out
    wanted = {"lam": "--model.num-frames", "curate": "--workers", "ingest": "--frame-size", "eval": "--episodes"}
    assert wanted[command[-1]] in text
    if command == ["train", "lam"]:
        assert "224" not in text, "what presets change has no default of its own"
    assert "Settings" in text


def test_a_former_name_is_taken_with_a_line_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(app, ["train", "act", "s", "--out", "o", "--set", "ema=0.5", "--print-config"]) == 0
    found = capsys.readouterr()
    assert yaml.safe_load(found.out)["ema_decay"] == 0.5, "the recipe of the preset has another"
    assert "setting 'ema' is now 'ema_decay'" in found.err
    assert printed(capsys, "eval", "p", "--robots", "3")["num_envs"] == 3
    found = printed(capsys, "train", "act", "s", "--out", "o", "--set", "held_out=0.3", "--val-fraction", "0.2")
    assert found["val_fraction"] == 0.3, "--set goes before options, whatever the name"


def test_a_file_may_hold_what_arguments_say_and_former_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("data: corpus\nout: o\nheld_out: 0.3\n")
    found = printed(capsys, "train", "lam", "--config", str(file))
    assert (found["data"], found["val_fraction"]) == ("corpus", 0.3)
    assert printed(capsys, "train", "lam", "--config", str(file), "--val-fraction", "0.2")["val_fraction"] == 0.2
    assert invoke(app, ["train", "lam", "--out", "o"]) == 2
    assert "Missing argument 'data'" in capsys.readouterr().err
    file.write_text("held_out: 0.3\nval_fraction: 0.2\n")
    assert invoke(app, ["train", "lam", "--config", str(file)]) == 2
    assert "'held_out' is now 'val_fraction', and both are given" in capsys.readouterr().err


def test_what_is_named_and_what_is_changed_of_it_meet_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("train", "lam", "corpus", "--out", "o")
    for words in (
        ("--set", "mixture.recipe=villa-x", "--mixture.human-share", "0.7"),
        ("--mixture.human-share", "0.7", "--set", "mixture={recipe: villa-x}"),
    ):
        found = printed(capsys, *base, *words)["mixture"]
        assert found["human_share"] == 0.7
        assert len(found["weights"]) > 9
    assert len(printed(capsys, *base, "--mixture", "villa-x")["mixture"]["weights"]) > 9
    found = printed(capsys, *base, "--model.num-codes", "9", "--set", "model={pooling: released}")
    assert (found["model"]["pooling"], found["model"]["num_codes"]) == ("released", 9)
    assert invoke(app, [*base, "--set", "mixture=villa-x", "--mixture.human-share", "0.7"]) == 2
    assert "(a recipe by its name: --set mixture.recipe=villa-x)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["2024", "null", "no", "a: b", "[x]"])
def test_text_stays_text(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert printed(capsys, "train", "act", "s", "--out", "o", "--latent", text)["latent"] == text
