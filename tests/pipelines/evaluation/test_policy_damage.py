"""A policy's files beside its weights: what does not fit is said when it is loaded, not in the middle of a run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dataengine.errors import DataEngineError
from dataengine.windows.stats import Statistics
from models.act import Act
from models.weights import load_act, read_config, save_model
from pipelines.evaluation import evaluate
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.evaluate_as import dataset_of
from pipelines.evaluation.policy import ActPolicy
from pipelines.training import checkpoint
from pipelines.training.checkpoint.snapshot import Trained
from pipelines.training.distributed import Distributed
from pipelines.training.saving import Checkpoints
from pipelines.training.settings import LoopConfig
from pipelines.training.tokenizer import Tokenizer
from tests.support.fitting import change
from tests.support.readers import MadeReader, make_episode, statistics
from tests.support.shapes import act_shape

BODY = {"embodiment_id": 1, "dataset_id": 1, "control_hz": 10.0, "steps_per_latent": 3}

LATENT = {"name": "demo", "fingerprint": "e418", "k": 4, "d": 16, "interval_s": 0.4}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    stated = {name: one.to_json() for name, one in statistics(MadeReader([make_episode(0)])).items()}
    shape = act_shape("tiny", state_dims=(7, 7), action_dims=(7, 7), num_datasets=2)
    save_model(Act(shape), tmp_path / "act", {"bodies": {"arm7_jaw": BODY}, "statistics": stated})
    (tmp_path / "act" / "tokenizer.json").write_text(Tokenizer.train(["close the jar"], 300).text)
    return tmp_path / "act"


def test_a_sound_policy_acts(policy: Path) -> None:
    seen = SimpleNamespace(
        embodiment="arm7_jaw", image=np.zeros((48, 64, 3), np.uint8), wrist=None, state=np.zeros(7, np.float32)
    )
    assert np.isfinite(ActPolicy.load(policy).act(seen, "close the jar")).all()


@pytest.mark.parametrize("where", ["weights", "state"])
def test_actions_that_are_no_numbers_stop_an_evaluation(policy: Path, where: str) -> None:
    loaded, state = ActPolicy.load(policy), np.zeros(7, np.float32)
    if where == "state":
        state[3] = np.nan
    else:
        torch.nn.init.constant_(next(loaded.model.parameters()), float("nan"))
    seen = SimpleNamespace(embodiment="arm7_jaw", image=np.zeros((48, 64, 3), np.uint8), wrist=None, state=state)
    with pytest.raises(DataEngineError, match="actions that are no numbers for 'arm7_jaw': its training went astray"):
        loaded.act(seen, "close the jar")


def test_a_policy_is_shown_no_state_in_a_dataset_that_has_none(policy: Path) -> None:
    in_datasets(policy, lab_mine=10.0)
    stated = read_config(policy)["statistics"]["arm7_jaw"]
    blind = {**stated, "state": Statistics.none().to_json(), "by_dataset": {}}
    change(policy, "statistics", "arm7_jaw", to={**stated, "by_dataset": {"lab/mine": blind}})
    chunks = [
        ActPolicy.load(policy).act(
            SimpleNamespace(embodiment="arm7_jaw", image=np.zeros((48, 64, 3), np.uint8), wrist=None, state=state),
            "close the jar",
        )
        for state in (np.zeros(7, np.float32), np.ones(7, np.float32))
    ]
    np.testing.assert_array_equal(*chunks)


def test_an_evaluation_runs_its_policy_on_the_device_that_is_named(policy: Path, tmp_path: Path) -> None:
    about = json.loads((policy / "model_config.json").read_text())
    for key in ("bodies", "statistics"):
        change(policy, key, to={"sawyer": about[key]["arm7_jaw"]})
    settings = {"policy": str(policy), "tasks": ("window-open",), "episodes": 1, "processes": 1}
    with pytest.raises(DataEngineError, match=r"device 'banana': unknown; expected cpu, cuda") as raised:
        evaluate.run(EvalConfig(**settings, device="banana", out=tmp_path / "eval"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("bodies",), 3, "'bodies' is a int"),
        (("bodies", "arm7_jaw"), None, "embodiment_id is None, the model has 2 rows"),
        (("bodies", "arm7_jaw", "embodiment_id"), 2, "embodiment_id is 2, the model has 2 rows"),
        (("bodies", "arm7_jaw", "dataset_id"), -1, "dataset_id is -1, the model has 2 rows"),
        (("bodies", "arm7_jaw", "dataset_id"), 1.0, "dataset_id is 1.0"),
        (("bodies", "arm7_jaw", "control_hz"), float("nan"), "control_hz is nan, expected a number above 0"),
        (("bodies", "arm7_jaw", "steps_per_latent"), "3", "steps_per_latent is '3'"),
        (("statistics",), None, "has no statistics"),
        (("statistics",), {}, "has no statistics that fit"),
        (("statistics", "arm7_jaw"), [], "model_config.json: embodiment 'arm7_jaw': statistics are damaged"),
        (("statistics", "arm7_jaw", "action", "q01"), [9.0] * 7, "statistics are damaged .*q99 lies below q01"),
        (("latent",), "demo", "latent has name None, expected text"),
        (("latent",), {"name": "demo"}, "latent has fingerprint None, expected text"),
        (("latent",), {**LATENT, "interval_s": float("nan")}, "latent has interval_s nan, expected seconds above 0"),
        (("latent",), {**LATENT, "interval_s": 1e9}, "latent has interval_s 1000000000.0, .* at most 3600"),
        (("config", "num_latents"), 3000, "num_latents 3000 of 4 codes and horizon 8 are too many to attend"),
        (("statistics", "arm7_jaw", "state", "mean"), [0.0] * 6, "statistics are damaged .*as many finite numbers"),
        (("statistics", "arm7_jaw", "state", "q99"), [float("inf")] * 7, "statistics are damaged"),
        (("statistics", "arm7_jaw", "action", "grippers"), [7], "are no dimensions of 7"),
        (("statistics", "arm7_jaw", "action", "count"), 1e400, "statistics are damaged"),
    ],
)
def test_facts_that_do_not_fit_the_model_are_one_line(policy: Path, keys: tuple, value: Any, message: str) -> None:
    change(policy, *keys, to=value)
    with pytest.raises((DataEngineError, ValueError), match=message) as raised:
        ActPolicy.load(policy)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


def test_another_models_tokenizer_is_refused(policy: Path) -> None:
    texts = [f"{a}{b}{c}" for a in "qwertzuiop" for b in "asdfghjkl" for c in "yxcvbnm"]
    (policy / "tokenizer.json").write_text(Tokenizer.train(texts, 900).text)
    with pytest.raises(DataEngineError, match=r"tokenizer.json: has \d+ tokens, the policy knows 512"):
        ActPolicy.load(policy)


def test_damaged_averaged_weights_of_a_named_checkpoint_are_refused(policy: Path, tmp_path: Path) -> None:
    model = load_act(policy)
    about = read_config(policy)
    names = [name for name, _ in model.named_parameters()]
    optimizer = torch.optim.AdamW(model.parameters())
    saved = Checkpoints(
        out=tmp_path,
        config=LoopConfig(async_checkpoint=False),
        distributed=Distributed(0, 1, torch.device("cpu")),
        trained=Trained(model, optimizer, names, dict(model.named_parameters())),
        is_sharded=False,
        identity={},
        extra={key: about[key] for key in ("bodies", "statistics")},
        files={"tokenizer.json": (policy / "tokenizer.json").read_text()},
        say=print,
    )
    saved.save(1, {})
    folder = checkpoint.path(saved.directory, 1)
    ActPolicy.load(folder)
    data = bytearray((folder / "ema.safetensors").read_bytes())
    data[-100] ^= 1
    (folder / "ema.safetensors").write_bytes(data)
    with pytest.raises(DataEngineError, match=rf"^{folder}: damaged \(ema.safetensors has changed\)$"):
        ActPolicy.load(folder)


class Metaworld:
    name, source, embodiment, control_hz = "metaworld", "openx/metaworld", "arm7_jaw", 20.0


def in_datasets(policy: Path, **rates: float) -> None:
    """Say that the arm was seen in these datasets, in the last one most."""
    facts = {name.replace("_", "/"): {**BODY, "control_hz": hz} for name, hz in rates.items()}
    *_, most = facts
    change(policy, "bodies", "arm7_jaw", to={**facts[most], "dataset": most, "datasets": facts})


@pytest.mark.parametrize(
    ("wanted", "chosen"), [("", "openx/metaworld"), ("openx/metaworld", "openx/metaworld"), ("lab/mine", "lab/mine")]
)
def test_an_evaluation_acts_as_in_the_simulators_dataset_unless_another_is_named(
    policy: Path, wanted: str, chosen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    in_datasets(policy, openx_metaworld=20.0, lab_mine=10.0)
    assert dataset_of(str(policy), Metaworld, wanted) == chosen
    assert not capsys.readouterr().err


def test_an_evaluation_in_a_dataset_that_training_never_saw_is_told_with_the_choice(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_datasets(policy, lab_yours=20.0, lab_mine=20.0)
    assert dataset_of(str(policy), Metaworld, "") == "lab/mine"
    said = capsys.readouterr().err
    assert "never saw arm7_jaw in openx/metaworld: it acts as in lab/mine" in said
    assert "--acts-as names another of lab/yours, lab/mine" in said
    with pytest.raises(DataEngineError, match=r"not trained on arm7_jaw in 'lab/typo', but in lab/yours, lab/mine"):
        dataset_of(str(policy), Metaworld, "lab/typo")


def test_a_policy_that_is_older_or_damaged_is_asked_in_one_line(policy: Path) -> None:
    assert dataset_of(str(policy), Metaworld, "") == ""
    with pytest.raises(DataEngineError, match=r"but in datasets that it cannot tell apart"):
        dataset_of(str(policy), Metaworld, "lab/mine")
    for damage in (3, [], {}, {"arm7_jaw": 3}, {"drone": {}}):
        change(policy, "bodies", to=damage)
        with pytest.raises(DataEngineError, match=r"does not know embodiment 'arm7_jaw', it was trained on"):
            dataset_of(str(policy), Metaworld, "")
    change(policy, "bodies", to={"arm7_jaw": {"datasets": {"openx/metaworld": 3}}})
    assert dataset_of(str(policy), Metaworld, "") == "openx/metaworld"  # who loads it says what is wrong


def test_a_policy_takes_as_many_steps_as_it_is_told(policy: Path) -> None:
    seen = SimpleNamespace(
        embodiment="arm7_jaw", image=np.zeros((48, 64, 3), np.uint8), wrist=None, state=np.zeros(7, np.float32)
    )
    by_default, ten, two = (ActPolicy.load(policy, num_euler_steps=n).act(seen, "close the jar") for n in (None, 10, 2))
    np.testing.assert_array_equal(by_default, ten)
    assert not np.allclose(ten, two)


def test_where_each_size_of_a_batch_is_recorded_few_sizes_are_asked_for(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [
        SimpleNamespace(
            embodiment="arm7_jaw", image=np.full((8, 8, 3), i, np.uint8), wrist=None, state=np.zeros(7, np.float32)
        )
        for i in range(5)
    ]
    plain = ActPolicy.load(policy, "cpu")
    expected, plans = plain.act_batch(seen, ["close the jar"] * 5), plain.plan_batch(seen, ["close the jar"] * 5)
    sizes, filled = set(), ActPolicy.load(policy, "cpu")
    monkeypatch.setattr(ActPolicy, "replays_graphs", True)
    for name in ("sample", "plan"):
        was = getattr(filled.sampler, name)
        noted = lambda seen, *more, was=was: (sizes.add(len(seen.image)), was(seen, *more))[1]  # noqa: E731
        monkeypatch.setattr(filled.sampler, name, noted)
    np.testing.assert_allclose(filled.act_batch(seen, ["close the jar"] * 5), expected, atol=1e-5)
    np.testing.assert_allclose(filled.plan_batch(seen, ["close the jar"] * 5), plans, atol=1e-5)
    assert filled.act_batch(seen[:4], ["close the jar"] * 4).shape[0] == 4
    assert sizes == {4, 8}
