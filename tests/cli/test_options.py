"""Every setting is an option: what it is called, what it goes before, what is said of a wrong one."""

import json
from pathlib import Path

import pytest
import yaml

from cli.app import app
from cli.contract import invoke
from tests.support.commands import COMMANDS


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert invoke(app, [*arguments, "--print-config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_settings_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    config = printed(
        capsys, "train", "lam", "corpus", "--out", "o", "--batch-size", "7", "--no-proprio", "--model.num-frames=4",
        "--augment.crop-area", "[0.5, 1.0]",
    )  # fmt: skip
    assert (config["batch_size"], config["proprio"], config["model"]["num_frames"]) == (7, False, 4)
    assert config["augment"]["crop_area"] == [0.5, 1.0]
    assert config["lr"] == 2e-3, "the preset's own, where nobody says otherwise"


def test_options_go_before_the_file_and_set_goes_before_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("batch_size: 5\nwarmup_steps: 6\n")
    base = ("train", "lam", "corpus", "--out", "o", "--config", str(file))
    assert printed(capsys, *base, "--batch-size", "7")["batch_size"] == 7
    config = printed(capsys, *base, "--set", "batch_size=9", "--batch-size", "7")
    assert (config["batch_size"], config["warmup_steps"]) == (9, 6)


def test_what_is_printed_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = printed(capsys, "train", "act", "shards", "--out", "o", "--model.horizon", "8", "--preset", "small")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(config))
    assert printed(capsys, "train", "act", "shards", "--config", str(file)) == config


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--batch-sizes", "no option '--batch-sizes'; did you mean '--batch-size'?"),
        ("--model.num-frame", "did you mean '--model.num-frames'?"),
        ("--warmup-steps", "option '--warmup-steps' needs a value"),
        ("--lr --no-proprio", "option '--lr' needs a value"),
        ("--no-proprio=false", "found '--no-proprio=false', expected '--no-proprio' alone"),
        ("--proprio=no", "found '--proprio=no', expected '--proprio' or '--proprio false'"),
        ("--learning-rate 0.1", "no option '--learning-rate'; did you mean '--lr'?"),
        ("--set learning_rate=0.1", "no setting 'learning_rate'; did you mean 'lr'?"),
        ("--set betas=0.9", "setting 'betas': found 0.9, expected a list, such as betas=[a, b]"),
        ("--set augment=no", "setting 'augment': found False, expected keys and values, such as augment={a: b}"),
        ("--set proprio=maybe", "setting 'proprio': found 'maybe', expected true or false"),
    ],
)
def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str], option: str, said: str) -> None:
    assert invoke(app, ["train", "lam", "corpus", "--out", "o", *option.split()]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_a_models_setting_is_checked_before_the_data_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["train", "act", "no-such-place", "--out", "o"]
    assert invoke(app, [*base, "--set", "model.horizn=16", "--json"]) == 2
    assert "no setting 'model.horizn'; did you mean 'model.horizon'?" in json.loads(capsys.readouterr().out)["error"]
    assert invoke(app, [*base, "--set", "model.vlm.text_length=-1"]) == 2
    assert "setting 'model.vlm.text_length': found -1" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["train", "lam"], ["curate"], ["ingest"], ["eval", "play"]])
def test_the_help_lists_settings(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert invoke(app, [*command, "--help"]) == 0
    text = capsys.readouterr().out
    wanted = {"lam": "--model.num-frames", "curate": "--workers", "ingest": "--frame-size", "play": "--episodes"}
    assert wanted[command[-1]] in text
    if command == ["train", "lam"]:
        assert "[default: tiny 64, small 128, large 224, paper 224]" in " ".join(text.split()), (
            "presets have other defaults"
        )
        assert "--model.num-codes INTEGER" in text
    assert "Settings" in text
    assert text.index("Options:") < text.index("Settings:") < text.index("On every command:") < text.index("--config")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command = COMMANDS[name]
    silent = [p.name for p in command.params if not (getattr(p, "help", None) or getattr(p, "hidden", False))]
    assert silent + [s.key for s in getattr(command, "_settings", ()) if not s.info.description] == []


def test_a_former_name_is_taken_with_a_line_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(app, ["train", "act", "s", "--out", "o", "--set", "ema=0.5", "--print-config"]) == 0
    captured = capsys.readouterr()
    assert yaml.safe_load(captured.out)["ema_decay"] == 0.5, "the recipe of the preset has another"
    assert "setting 'ema' is now 'ema_decay'" in captured.err
    assert printed(capsys, "train", "world", "s", "--out", "o", "--final-lr", "0.3")["min_lr_ratio"] == 0.3
    assert printed(capsys, "train", "lam", "c", "--out", "o", "--set", "init=runs/lam")["init_from"] == "runs/lam"
    assert printed(capsys, "eval", "metaworld", "p", "--robots", "3")["num_envs"] == 3
    captured = printed(capsys, "train", "act", "s", "--out", "o", "--set", "held_out=0.3", "--val-fraction", "0.2")
    assert captured["val_fraction"] == 0.3, "--set goes before options, whatever the name"


def test_a_file_may_hold_what_arguments_say_and_former_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("data: corpus\nout: o\nheld_out: 0.3\n")
    config = printed(capsys, "train", "lam", "--config", str(file))
    assert (config["data"], config["val_fraction"]) == ("corpus", 0.3)
    assert printed(capsys, "train", "lam", "--config", str(file), "--val-fraction", "0.2")["val_fraction"] == 0.2
    assert invoke(app, ["train", "lam", "--out", "o"]) == 2
    assert "Missing argument 'data'" in capsys.readouterr().err
    file.write_text("held_out: 0.3\nval_fraction: 0.2\n")
    assert invoke(app, ["train", "lam", "--config", str(file)]) == 2
    assert "'held_out' is now 'val_fraction', and both are given" in capsys.readouterr().err


def test_what_is_named_and_what_is_changed_of_it_meet_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("train", "lam", "corpus", "--out", "o")
    for argv in (
        ("--set", "mixture.recipe=villa-x", "--mixture.human-share", "0.7"),
        ("--mixture.human-share", "0.7", "--set", "mixture={recipe: villa-x}"),
    ):
        mixture = printed(capsys, *base, *argv)["mixture"]
        assert mixture["human_share"] == 0.7
        assert len(mixture["weights"]) > 9
    assert len(printed(capsys, *base, "--mixture", "villa-x")["mixture"]["weights"]) > 9
    mixture = printed(capsys, *base, "--model.num-codes", "9", "--set", "model={pooling: released}")
    assert (mixture["model"]["pooling"], mixture["model"]["num_codes"]) == ("released", 9)
    assert invoke(app, [*base, "--set", "mixture=villa-x", "--mixture.human-share", "0.7"]) == 2
    assert "(a recipe by its name: --set mixture.recipe=villa-x)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["2024", "null", "no", "a: b", "[x]"])
def test_text_stays_text(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert printed(capsys, "train", "act", "s", "--out", "o", "--latent", text)["latent"] == text


def test_what_is_on_or_off_and_lists_are_taken_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("train", "lam", "corpus", "--out", "o")
    config = printed(capsys, *base, "--proprio", "false", "--compile", "true", "--betas", "0.8,0.9")
    assert (config["proprio"], config["compile"], config["betas"]) == (False, True, [0.8, 0.9])
    assert printed(capsys, *base, "--betas=[0.8, 0.9]")["betas"] == [0.8, 0.9]
    assert printed(capsys, "ingest", "s", "r", "--corpus", "c", "--dry-run", "false")["dry_run"] is False
    assert printed(capsys, "ingest", "s", "r", "--corpus", "c", "--dry-run", "true")["dry_run"] is True
    for argv in (("--tasks", "window-close,push"), ("--task", "window-close", "--task", "push")):
        assert printed(capsys, "eval", "metaworld", "p", *argv)["tasks"] == ["window-close", "push"]
    assert printed(capsys, "eval", "metaworld", "p", "--tasks", "window-close")["tasks"] == ["window-close"]


ROUND_TRIPS = [
    "demo --out o --quick",
    "clips egtea raw",
    "ingest openx/auto raw --corpus c --frame-size 128 --mapping m.yaml",
    "ingest --plan villa-x --data raw --corpus c",
    "hands c --model hand_landmarker.task",
    "curate c --recipe strict",
    "stats c",
    "corpus compact c --older-than 7d",
    "corpus snapshot c march --mixture villa-x",
    "train lam c --out o --preset small --model.num-codes 64",
    "train lam c --out o --set init_from=runs/lam --no-proprio",
    "train act c --out o --preset small --model.wrist null --latent lam",
    "train world c --out o --lam l --model.rollout 3",
    "train custom pipelines.training.world.world:WorldTask c --out o --preset small",
    "finetune p c --embodiment a --embodiment b --out o --mode lora --lora.rank 4",
    "label c --lam l --name n",
    "label --video a.mp4 --lam l --out o.npz",
    "lam report c --lam l --out o",
    "shard c --out o --mixture villa-x --latent a --latent b",
    "shard o --verify",
    "export lerobot c --out o --dataset a --fps 30 --all",
    "export lam l --out o",
    "export checkpoint r --out o --step 3",
    "probe c --lam a=l --lam b=m",
    "eval play lift p --episodes 3",
    "eval calibrate libero --max-position-mm 2 --libero.python x",
    "eval libero-record --episodes 3 --tasks 0,3",
    "eval libero p --suite libero_goal --beside random,blank --tasks 0,3",
    "eval compare a b --simulator lift --budget 9",
    "eval calibrate lift --demos c",
    "eval openloop p c --windows 9",
    "transfer v.mp4 --to sawyer --lam l --shuffles 9",
    "eval planning p c --lam l --starts 9",
    "eval failures e c --lam l --nearest 5",
    "ablate hidden wo-latent --corpus c --out o --seeds 2 --task window-close",
    "act p --image a.jpg --state 0.1,0,1 --instruction push",
    "pipeline lab.yaml --out o --until label --cores 2",
    "plan p --lam l --image a.jpg --instruction push --out o",
    "serve p --port 9000 --action-steps 4",
]


@pytest.mark.parametrize("line", ROUND_TRIPS)
def test_a_printed_file_alone_starts_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    argv = line.split()
    config = printed(capsys, *argv)
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(config))
    command = argv[:2] if argv[0] in ("corpus", "train", "lam", "export", "eval") else argv[:1]
    command += argv[2:3] if command[1:] == ["custom"] else []  # which model it is, is no setting
    assert printed(capsys, *command, "--config", str(file)) == config


def test_every_command_that_takes_settings_prints_them() -> None:
    taking = {name for name, one in COMMANDS.items() if getattr(one, "configs", None)}
    assert taking <= {name for name in COMMANDS for line in ROUND_TRIPS if f"villa {line}".startswith(f"{name} ")}


def test_the_help_names_what_there_is_to_choose_from_and_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    for command, said in (
        (
            ["eval", "play"],
            "[known: fetch, lift, lift_kinova3, lift_ur5e, metaworld, simpler, two_arm] [default: metaworld]",
        ),
        (["curate"], "[known: default, strict, villa-x] [default: default]"),
        (["ingest"], "[known: openx, realman, villa-x, xhand]"),
        (["shard"], "[known: villa-x, villa-x-ablation]"),
        (["train", "act"], "[known: tiny, small, authors, paper] [default: tiny]"),
    ):
        assert invoke(app, [*command, "--help"]) == 0
        assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["preset", "recipe", "mixture", "plan"])
def test_a_file_of_ones_own_is_taken_by_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    mine = str(tmp_path / "mine.yaml")
    said = {"preset": "steps: 7\n", "mixture": "weights: {a: 1}\n"}
    Path(mine).write_text(said.get(kind, "drop_short: {min_steps: 3}\n"))
    lines = {
        "preset": ("train", "lam", "c", "--out", "o"),
        "recipe": ("curate", "c"),
        "mixture": ("shard", "c", "--out", "o"),
        "plan": ("ingest", "--data", "d", "--corpus", "c"),
    }
    config = printed(capsys, *lines[kind], f"--{kind}", mine)
    if kind == "preset":
        assert config["steps"] == 7
    elif kind == "mixture":
        assert config["mixture"]["weights"] == {"a": 1}
    else:
        assert config[kind] == mine


def test_the_former_place_of_an_exports_folder_is_taken_with_a_line_that_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for argv in (("lerobot", "c", "o"), ("lam", "l", "o")):
        assert invoke(app, ["export", *argv, "--print-config"]) == 0
        captured = capsys.readouterr()
        assert yaml.safe_load(captured.out)["out"] == "o"
        assert "give the folder as --out o; the next version takes no second argument" in captured.err
        assert invoke(app, ["export", *argv, "--out", "p", "--print-config"]) == 2
        assert "found 'o' beside --out p, expected one folder" in capsys.readouterr().err
