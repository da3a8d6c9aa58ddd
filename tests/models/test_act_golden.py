"""Our actor gives the reference policy's numbers: same weights in, same velocities, losses, samples, gradients out."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models import flow
from models.act import Act
from models.act.act import LatentCache, PrefixCache, masked_mse
from models.act.config import WristConfig
from models.act.context import Context
from models.act.masks import latent_attention_mask, robot_attention_mask, visible_mask_from
from models.act.wrist import WristEncoder
from models.layers.sinusoid import scalar_sinusoid, time_sinusoid
from tests.models import act_reference as reference

RUNS = ("eval_all", "eval_none", "eval_half", "train_half")
TOLERANCE = 1e-4


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def visible_in(run: str) -> Tensor:
    """Which latent tokens the robot may see in a run."""
    half = reference.vectors("inputs")["latent_visible_half"].bool()
    return {"all": torch.ones_like(half), "none": torch.zeros_like(half), "half": half}[run.split("_")[1]]


class Pass:
    """One forward of the toy model on the reference's noisy inputs, with every block's tokens kept."""

    def __init__(self, run: str, act: Act | None = None) -> None:
        x = reference.vectors("inputs")
        self.act = act or reference.model()
        self.act.train(run.startswith("train"))
        self.tokens: dict[str, Tensor] = {}
        stacks = {"vlm": self.act.vlm.stack, "latent": self.act.latent.stack, "robot": self.act.robot.stack}
        hooks = [
            block.register_forward_hook(self._keep(f"layer{i}/{name}"))
            for name, stack in stacks.items()
            for i, block in enumerate(stack.blocks)
        ]
        seen = reference.observation()
        self.prefix: PrefixCache = self.act.encode_prefix(seen)
        self.context: Context = self.act.robot.context(seen, seen.has_wrist)
        counts = torch.ones(4, reference.NUM_LATENT, dtype=torch.bool)
        self.latent_velocity, kv_cache = self.act.latent(x["x_t_latent"], x["t_latent"], self.prefix, counts)
        self.robot_velocity = self.act.robot(
            x["x_t_robot"],
            x["t_robot"],
            self.prefix,
            self.context,
            LatentCache([kv.detach() for kv in kv_cache], visible_in(run)),
            torch.ones(4, 4, dtype=torch.bool),
            seen.embodiment_id,
        )
        for hook in hooks:
            hook.remove()

    def _keep(self, name: str) -> Any:
        def hook(module: Any, args: Any, out: tuple[Tensor, Any]) -> None:
            self.tokens[name] = out[0]

        return hook

    def losses(self) -> tuple[Tensor, Tensor]:
        """The two terms, (latent, robot)."""
        x = reference.vectors("inputs")
        latent = masked_mse(
            self.latent_velocity, flow.velocity(x["latents"], x["latent_noise"]), x["latent_loss_mask"][..., None]
        )
        counts = x["robot_loss_mask"][..., None] & x["action_dim_mask"][:, None]
        return latent, masked_mse(self.robot_velocity, flow.velocity(x["actions"], x["robot_noise"]), counts)


@pytest.mark.parametrize("run", RUNS)
def test_velocities_and_losses_equal_the_reference(run: str) -> None:
    out = reference.vectors("outputs")
    done = Pass(run)
    close(done.latent_velocity, out[f"{run}/latent_velocity"])
    close(done.robot_velocity, out[f"{run}/robot_velocity"])
    latent, robot = done.losses()
    close(latent.reshape(1), out[f"{run}/loss_latent"])
    close(robot.reshape(1), out[f"{run}/loss_robot"])
    close((latent + robot).reshape(1), out[f"{run}/loss_total"])


@pytest.mark.parametrize("run", RUNS)
def test_every_block_leaves_the_same_tokens(run: str) -> None:
    out, readable = reference.vectors("outputs"), reference.vectors("outputs")["mask/all"]
    tokens = Pass(run).tokens
    alive = readable.diagonal(dim1=1, dim2=2).bool()  # rows that somebody reads
    c = reference.NUM_CONTEXT
    first = {"vlm": 0, "latent": 10, "context": 34, "robot": 44}
    compared = 0
    for layer in range(3):
        robot = tokens[f"layer{layer}/robot"]
        ours = {"latent": tokens[f"layer{layer}/latent"], "robot": robot[:, -4:]}
        if layer < 2:
            ours |= {"vlm": tokens[f"layer{layer}/vlm"], "context": robot[:, :c]}
        for name, x in ours.items():
            rows = alive[:, first[name] : first[name] + x.shape[1]]
            close(x[rows], out[f"{run}/layer{layer}/{name}"][rows])
            compared += 1
    assert compared == 10


@pytest.mark.parametrize("run", ["eval_all", "eval_none", "eval_half"])
def test_masks_equal_the_reference_in_every_row_that_is_read(run: str) -> None:
    x, theirs = reference.vectors("inputs"), reference.vectors("outputs")[f"mask/{run.split('_')[1]}"].bool()
    done = Pass(run)
    prefix_mask, context_mask = done.prefix.prefix_mask, done.context.valid_mask
    alive = theirs.diagonal(dim1=1, dim2=2)
    latent = latent_attention_mask(prefix_mask, torch.ones_like(x["latent_loss_mask"]))
    steps = torch.ones(4, 4, dtype=torch.bool)
    robot = robot_attention_mask(prefix_mask, visible_in(run), context_mask, steps)
    assert torch.equal(latent[alive[:, 10:34]], theirs[:, 10:34, :34][alive[:, 10:34]])
    assert torch.equal(robot[alive[:, 34:]], theirs[:, 34:][alive[:, 34:]])


def test_the_parts_equal_the_reference() -> None:
    x, out = reference.vectors("inputs"), reference.vectors("outputs")
    act, seen = reference.model(), reference.observation()
    tokens = act.vlm.embed_prefix(seen.image, seen.token_ids, seen.token_mask)
    close(tokens, out["parts/vlm_embeds"] * 64**0.5)
    close(act.robot.context(seen, seen.has_wrist).tokens, out["parts/context_tokens"])
    close(act.robot.context.wrist(seen.wrist), out["parts/wrist_tokens"])
    close(act.latent.encoder(x["x_t_latent"], time_sinusoid(x["t_latent"], 32)), out["parts/latent_tokens"])
    robot = act.robot.encoder(x["x_t_robot"], seen.embodiment_id, time_sinusoid(x["t_robot"], 32))
    close(robot, out["parts/robot_tokens"])


def test_training_uses_and_updates_the_batch_norm_statistics_of_the_whole_batch() -> None:
    out, act = reference.vectors("outputs"), reference.model().train()
    seen = reference.observation()
    act.robot.context(seen, seen.has_wrist)
    norm = act.robot.context.wrist.trunk.bn1
    close(norm.running_mean, out["train_half/bn1_running_mean_after"])
    close(norm.running_var, out["train_half/bn1_running_var_after"])


@pytest.mark.parametrize("term", ["latent_loss", "robot_loss"])
def test_each_loss_reaches_the_same_parameters_with_the_same_strength(term: str) -> None:
    done = Pass("train_half")
    done.losses()[term == "robot_loss"].backward()
    ours = {name: p.grad for name, p in done.act.named_parameters()}
    compared = 0
    for theirs, norms in reference.gradient_norms().items():
        name = reference.our_name(theirs)
        if name not in ours:
            continue
        grad, expected = ours[name], norms[term] or 0.0
        found = 0.0 if grad is None else float(grad.norm())
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-5), name
        compared += 1
    assert compared == len(ours)
    if term == "robot_loss":
        assert all(g is None or not g.any() for name, g in ours.items() if name.startswith("latent."))


@pytest.mark.parametrize(("kind", "reference_step"), [("sample_clean", True), ("sample_own_step", False)])
def test_samples_equal_the_reference(kind: str, reference_step: bool) -> None:
    x, out = reference.vectors("inputs"), reference.vectors("outputs")
    act = reference.model(reference_latent_step=reference_step)
    with torch.no_grad():
        latent, robot = act.denoise(reference.observation(), x["sample_latent_noise"], x["sample_robot_noise"])
        alone, _ = act.denoise(reference.observation(), x["sample_latent_noise"], None)
    close(latent, out[f"{kind}/latents"])
    close(robot, out[f"{kind}/robot_unclipped"])
    close(alone, out[f"{kind}/latents"])


def test_flow_times_and_sinusoids_equal_the_reference() -> None:
    x, out = reference.vectors("inputs"), reference.vectors("outputs")
    t_latent, t_robot = flow.time_grid(10, torch.device("cpu"))
    close(t_latent, out["sample_own_step/t_latent_nodes"])
    close(t_robot[:-1], out["sample/t_robot_steps"])
    t_latent, t_robot = flow.times_from(out["table/coupled_u"])
    close(t_latent, out["table/coupled_t_latent"])
    close(t_robot, out["table/coupled_t_robot"])
    close(flow.latent_time(t_robot), out["table/coupled_t_latent"])
    close(flow.interpolate(x["latents"], x["latent_noise"], x["t_latent"]), x["x_t_latent"])
    close(time_sinusoid(out["table/time_values"], 1024), out["table/time_sinusoid_1024"])
    close(scalar_sinusoid(out["table/context_values"]), out["table/context_sinusoid_256"])


def test_the_coin_and_the_draws_decide_what_the_robot_attends_to() -> None:
    x = reference.vectors("inputs")
    visible = visible_mask_from(x["latent_mask_coins"], x["latent_mask_draws"], dropout=0.5, keep_ratio=0.5)
    assert torch.equal(visible, x["latent_visible_half"].bool())


def test_the_full_size_trunk_equals_resnet_18() -> None:
    golden = reference.vectors("resnet18_trunk")
    trunk = WristEncoder(WristConfig(), width=8).trunk
    state = trunk.state_dict()
    names = sorted((n for n in state if "num_batches" not in n), key=_torchvision_order)
    assert len(names) == 100
    for k, name in enumerate(names):
        u = reference.formula(k, state[name].shape)
        if state[name].dim() == 4:
            u = 1.2 * 12**0.5 * u / state[name][0].numel() ** 0.5
        elif name.endswith("running_var"):
            u = 1.0 + 0.8 * u
        elif name.endswith("weight"):
            u = 0.7 + 0.4 * u
        else:
            u = 0.4 * u
        state[name] = u.float()
    trunk.load_state_dict(state)
    encoder = WristEncoder(WristConfig(image_size=64), width=8)
    encoder.trunk = trunk
    pixels = (golden["wrist_image"].permute(0, 3, 1, 2) / 255.0 - encoder.mean) / encoder.std
    with torch.no_grad():
        close(trunk.eval()(pixels), golden["features_eval"])
        close(trunk.train()(pixels), golden["features_train"])


def _torchvision_order(name: str) -> str:
    """Sort as the reference numbered its tensors: by place in a Sequential (conv 0, norm 1, stages 4 to 7)."""
    stem = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    first, rest = name.split(".", 1)
    return f"{stem[first]}.{rest}"
