"""Our actor gives the reference policy's numbers: same weights in, same velocities, losses, samples, gradients out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models import flow
from models.act.act import masked_mse
from models.act.masks import visible_mask_from
from models.act.reference.__main__ import main
from models.act.reference.compare import TOLERANCE, errors
from models.act.reference.folder import Reference, read
from models.act.reference.passes import Pass
from models.batch import ActBatch
from models.parts import Draws
from tests.support import reference_folder

GOLDEN = Path(__file__).parent / "golden_act"


@pytest.fixture(scope="module")
def golden() -> Reference:
    return read(GOLDEN)


@pytest.fixture(scope="module")
def other_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several K/V heads, no wrist camera, other widths, codes, bodies and steps."""
    return reference_folder.write(tmp_path_factory.mktemp("reference"), reference_folder.LAYOUT)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def test_every_output_equals_the_authors_code(golden: Reference) -> None:
    deviations = errors(GOLDEN)
    assert deviations.keys() >= golden.outputs.keys()
    assert deviations.keys() >= {"resnet18_trunk/features_train", "gradient_norms/robot_loss"}
    assert {name: error for name, error in deviations.items() if error > TOLERANCE} == {}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"joint": {"num_heads": 4, "num_kv_heads": 4, "logit_soft_cap": None, "num_layers": 3}},
        {
            "layout": {"num_latent_actions": 1, "codes_per_latent": 5, "num_robot_tokens": 1, "num_vlm_tokens": 6},
            "embodiments": [{"state_dim": 2, "action_dim": 5}],
            "context": {"order": ["dataset", "state"]},
        },
    ],
)
def test_every_output_of_another_layout_equals_plain_functions(tmp_path: Path, changes: dict[str, Any]) -> None:
    layout = {**reference_folder.LAYOUT, **{k: v for k, v in changes.items() if isinstance(v, list)}}
    layout |= {k: {**layout[k], **v} for k, v in changes.items() if isinstance(v, dict)}
    deviations = errors(reference_folder.write(tmp_path, layout))
    assert len(deviations) == 31
    assert max(deviations.values()) < TOLERANCE / 10


def test_the_command_prints_every_error_as_json(other_layout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(other_layout)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() == load_file(other_layout / "outputs.safetensors").keys()
    assert all(0 <= error <= TOLERANCE for error in printed.values())


@pytest.mark.parametrize("name", ["sample_reference/robot", "eval_none/robot_velocity", "mask/half"])
def test_the_command_fails_where_one_number_differs(
    other_layout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    change(other_layout, tmp_path, "outputs", lambda out: out[name].view(-1)[:1].add_(1))
    assert main([str(tmp_path)]) == 1
    caught = capsys.readouterr()
    assert {key for key, error in json.loads(caught.out).items() if error > TOLERANCE} == {name}
    assert f"most {name}" in caught.err


def change(source: Path, target: Path, file: str, edit: Callable[[dict[str, Tensor]], Any]) -> None:
    """Copy a reference with one of its files edited."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    tensors = {name: value.clone() for name, value in load_file(source / f"{file}.safetensors").items()}
    edit(tensors)
    save_file(tensors, target / f"{file}.safetensors")


def set_key(folder: Path, part: str, key: str, value: Any) -> None:
    stated = json.loads((folder / "config.json").read_text())
    stated[part][key] = value
    (folder / "config.json").write_text(json.dumps(stated))


DAMAGE: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "empty": (lambda _, to: None, "no config.json"),
    "no weights": (lambda of, to: shutil.copy(of / "config.json", to), "weights.safetensors: no such file"),
    "cut short": (
        lambda of, to: (
            change(of, to, "outputs", dict.copy),
            (to / "weights.safetensors").write_bytes((of / "weights.safetensors").read_bytes()[:5000]),
        ),
        "weights.safetensors: cut short",
    ),
    "unknown weight": (
        lambda of, to: change(of, to, "weights", lambda w: w.update(ema=torch.zeros(1))),
        "'ema' is no parameter",
    ),
    "missing weight": (
        lambda of, to: change(of, to, "weights", lambda w: w.pop("latent_action_decoder.bias")),
        "latent.decoder.bias: found none, expected (5,)",
    ),
    "missing input": (
        lambda of, to: change(of, to, "inputs", lambda x: x.pop("t_robot")),
        "t_robot: found none, expected (3,)",
    ),
    "unknown body": (
        lambda of, to: change(of, to, "inputs", lambda x: x["dataset_id"].add_(1)),
        "dataset_id: expected integers from 0 to 1",
    ),
    "missing output": (
        lambda of, to: change(of, to, "outputs", lambda out: out.pop("sample_reference/robot")),
        "no tensor 'sample_reference/robot'",
    ),
    "unknown output": (
        lambda of, to: change(of, to, "outputs", lambda out: out.update(loss=torch.zeros(1))),
        "'loss' is nothing that a reference holds",
    ),
    "shape of an output": (
        lambda of, to: change(of, to, "outputs", lambda out: out.update({"mask/all": torch.zeros(2, 2)})),
        "mask/all",
    ),
    "unknown choice": (
        lambda of, to: (change(of, to, "outputs", dict.copy), set_key(to, "joint", "rope_layout", "interleaved")),
        "joint.rope_layout: found 'interleaved'",
    ),
    "absurd size": (
        lambda of, to: (change(of, to, "outputs", dict.copy), set_key(to, "vlm", "vocab_size", 2**60)),
        "vocab_size: found 1152921504606846976",
    ),
    "huge size": (
        lambda of, to: (change(of, to, "outputs", dict.copy), set_key(to, "expert", "mlp_width", 65_000)),
        "weights.safetensors: latent.stack.blocks.0.mlp.down_proj.weight: found (20, 28), expected (20, 65000)",
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_folder_that_cannot_be_compared_costs_one_line(
    other_layout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    spoil, message = DAMAGE[damage]
    spoil(other_layout, tmp_path)
    assert main([str(tmp_path)]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    assert message in caught.err


def test_without_a_folder_the_command_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m models.act.reference DIR\n"


def test_the_robots_loss_trains_no_latent_parameter(golden: Reference) -> None:
    done = Pass(golden, "train_half")
    done.losses[1].backward()
    grads = {name: p.grad for name, p in done.act.named_parameters() if name.startswith("latent.")}
    assert grads
    assert all(g is None or not g.any() for g in grads.values())


def test_noisy_inputs_equal_the_reference(golden: Reference) -> None:
    x = golden.inputs
    close(flow.interpolate(x["latents"], x["latent_noise"], x["t_latent"]), x["x_t_latent"])
    t_latent, t_robot = flow.times_from(x["u"])
    close(t_latent.float(), x["t_latent"])
    close(t_robot.float(), x["t_robot"])


def test_the_coin_and_the_draws_decide_what_the_robot_attends_to(golden: Reference) -> None:
    x = golden.inputs
    visible = visible_mask_from(x["latent_mask_coins"], x["latent_mask_draws"], dropout=0.5, keep_ratio=0.5)
    assert torch.equal(visible, x["latent_visible_half"].bool())


class Given(Draws):
    """Random numbers that were drawn elsewhere, in the order in which the loss asks for them."""

    def __init__(self, *drawn: Tensor) -> None:
        super().__init__(torch.Generator(), 0, 1, 1)
        object.__setattr__(self, "drawn", list(drawn))

    def rows(self, draw: Callable[..., Tensor], shape: Any, device: torch.device) -> Tensor:
        noise: Tensor = self.drawn.pop(0)  # type: ignore[attr-defined]
        assert noise.shape == tuple(shape)
        return noise.float()


@pytest.mark.parametrize(("run", "dropout", "keep_ratio"), [("half", 0.5, 0.5), ("all", 0.0, 1.0), ("none", 1.0, 1.0)])
def test_the_loss_hides_the_latents_that_were_drawn(
    golden: Reference, run: str, dropout: float, keep_ratio: float
) -> None:
    x, out, seen = golden.inputs, golden.outputs, golden.observation()
    act = golden.model(latent_dropout=dropout, latent_keep_ratio=keep_ratio)
    moves = x["action_dim_mask"][:, None].expand_as(x["actions"])
    batch = ActBatch(
        **vars(seen),
        latent=x["latents"].unflatten(1, (6, 4)),
        latent_mask=torch.ones(4, 6, dtype=torch.bool),
        action=x["actions"],
        action_mask=moves,
    )
    draws = Given(
        torch.ones(4),  # no wrist view is dropped
        x["u"],
        x["latent_noise"],
        x["latent_mask_coins"],
        x["latent_mask_draws"],
        x["robot_noise"],
    )
    _, terms = act.loss(batch, draws)
    noise = x["robot_noise"]
    close(terms["robot"], masked_mse(out[f"eval_{run}/robot_velocity"], flow.velocity(x["actions"], noise), moves))
    latent = out[f"eval_{run}/latent_velocity"]
    close(terms["latent"], (latent - flow.velocity(x["latents"], x["latent_noise"])).square().mean())
