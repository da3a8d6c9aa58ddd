"""Writes a reference's folder by plain functions over named weights, from the text of `golden_act/README.md` alone.

It shares no code with `models`: all streams go through each block together, under one mask, with no cache, and every
Euler step begins anew. There is no wrist camera here; the authors' own folder has one.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

LAYOUT: dict[str, Any] = {
    "vlm": {"width": 24, "mlp_width": 40, "rope_theta": 10000.0, "vocab_size": 50, "final_norm": False},
    "expert": {
        "width": 20,
        "mlp_width": 28,
        "rope_theta": 100.0,
        "time_max_period": 100.0,
        "time_sinusoid_width": 20,
        "final_norm": True,
        "adaptive_mode": None,
    },
    "joint": {
        "num_layers": 2,
        "num_heads": 6,
        "num_kv_heads": 3,
        "head_dim": 8,
        "rms_norm_eps": 1e-5,
        "logit_soft_cap": 30.0,
    },
    "siglip": {
        "width": 16,
        "mlp_width": 24,
        "num_layers": 1,
        "num_heads": 2,
        "image_size": 16,
        "patch_size": 8,
        "layer_norm_eps": 1e-5,
    },
    "wrist": None,
    "layout": {
        "num_vlm_tokens": 9,
        "num_image_tokens": 4,
        "num_latent_actions": 3,
        "codes_per_latent": 2,
        "latent_dim": 5,
        "num_robot_tokens": 3,
    },
    "embodiments": [{"state_dim": 4, "action_dim": 3}, {"state_dim": 6, "action_dim": 6}],
    "context": {
        "order": ["has_wrist", "dataset", "steps_per_latent", "control_frequency", "state"],
        "num_dataset_rows": 3,
    },
    "flow": {"num_inference_steps": 4},
}


class Policy:
    """The reference's arithmetic over weights by the authors' names."""

    def __init__(self, layout: dict[str, Any], seed: int = 0) -> None:
        self.c, self.joint = layout, layout["joint"]
        self.generator = torch.Generator().manual_seed(seed)
        self.w: dict[str, Tensor] = {}

    def weight(self, name: str, *shape: int) -> Tensor:
        """Draw a weight when it is first asked for."""
        if name not in self.w:
            spread = 1.0 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.3
            self.w[name] = torch.randn(shape, generator=self.generator) * spread
        return self.w[name]

    def linear(self, name: str, x: Tensor, out: int, bias: bool = True) -> Tensor:
        y = x @ self.weight(f"{name}.weight", out, x.shape[-1]).T
        return y + self.weight(f"{name}.bias", out) if bias else y

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        width, eps = x.shape[-1], self.c["siglip"]["layer_norm_eps"]
        return F.layer_norm(x, (width,), self.weight(f"{name}.weight", width), self.weight(f"{name}.bias", width), eps)

    def rms_norm(self, name: str, x: Tensor) -> Tensor:
        size = (x.square().mean(-1, keepdim=True) + self.joint["rms_norm_eps"]).sqrt()
        return x / size * (1 + self.weight(f"{name}.weight", x.shape[-1]))

    def siglip(self, image: Tensor) -> Tensor:
        c, top = self.c["siglip"], "vision_tower.vision_model"
        d, p, heads = c["width"], c["patch_size"], c["num_heads"]
        kernel = self.weight(f"{top}.embeddings.patch_embedding.weight", d, 3, p, p)
        bias = self.weight(f"{top}.embeddings.patch_embedding.bias", d)
        x = F.conv2d(image / 255 / 0.5 - 1, kernel, bias, stride=p).flatten(2).mT
        x = x + self.weight(f"{top}.embeddings.position_embedding.weight", x.shape[1], d)
        for i in range(c["num_layers"]):
            at = f"{top}.encoder.layers.{i}"
            y = self.layer_norm(f"{at}.layer_norm1", x)
            q, k, v = (
                self.linear(f"{at}.self_attn.{n}_proj", y, d).unflatten(-1, (heads, -1)).transpose(1, 2) for n in "qkv"
            )
            attention = (q @ k.mT / math.sqrt(d // heads)).softmax(-1)
            x = x + self.linear(f"{at}.self_attn.out_proj", (attention @ v).transpose(1, 2).flatten(2), d)
            y = self.linear(f"{at}.mlp.fc1", self.layer_norm(f"{at}.layer_norm2", x), c["mlp_width"])
            x = x + self.linear(f"{at}.mlp.fc2", F.gelu(y, approximate="tanh"), d)
        return self.layer_norm(f"{top}.post_layernorm", x)

    def time(self, t: Tensor) -> Tensor:
        half = self.c["expert"]["width"] // 2
        angles = torch.stack([t * 100.0 ** (-j / (half - 1)) for j in range(half)], dim=-1)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def scalar(self, name: str, value: Tensor) -> Tensor:
        angles = torch.stack([value * 10000.0 ** (-j / 128) for j in range(128)], dim=-1)
        width = self.c["expert"]["width"]
        e = self.linear(f"{name}.mlp.0", torch.cat([angles.cos(), angles.sin()], dim=-1), width)
        return self.linear(f"{name}.mlp.2", F.silu(e), width)

    def encode_action(self, name: str, x: Tensor, t: Tensor) -> Tensor:
        width = self.c["expert"]["width"]
        e = self.linear(f"{name}.linear_1", x, width)
        e = torch.cat([self.time(t)[:, None].expand_as(e), e], dim=-1)
        return self.linear(f"{name}.linear_3", F.silu(self.linear(f"{name}.linear_2", e, width)), width)

    def encode_state(self, x: dict[str, Tensor], i: int) -> Tensor:
        d, width = int(x["dataset_id"][i]), self.c["expert"]["width"]
        return self.linear(
            f"proprio_encoder.dataset_{d}", x["state"][i, :, : self.c["embodiments"][d]["state_dim"]], width
        )

    def streams(
        self, x: dict[str, Tensor], latent: Tensor, action: Tensor, t: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Tokens of every stream, each already multiplied by the root of its width."""
        c, width, b = self.c, self.c["expert"]["width"], len(x["dataset_id"])
        vlm = c["vlm"]["width"]
        table = self.weight("embed_tokens.weight", c["vlm"]["vocab_size"], vlm)
        embedded = table[x["token_ids"][:, c["layout"]["num_image_tokens"] :]] * vlm**0.5
        patches = self.linear("multi_modal_projector.linear", self.siglip(x["image"]), vlm)
        seen = torch.cat([patches, embedded], dim=1) * x["token_mask"][..., None]
        rows = []
        for i in range(b):
            d = int(x["dataset_id"][i])
            does = c["embodiments"][d]["action_dim"]
            rows.append(self.encode_action(f"action_encoder.dataset_{d}", action[i : i + 1, :, :does], t[1][i : i + 1]))
        singles = {
            "has_wrist": lambda: self.weight("wrist_camera_embedder.weight", 2, width)[0].expand(b, -1),
            "dataset": lambda: self.weight("dataset_embedder.weight", c["context"]["num_dataset_rows"], width)[
                x["dataset_id"]
            ],
            "steps_per_latent": lambda: self.scalar("la2ra_embedder", x["steps_per_latent"]),
            "control_frequency": lambda: self.scalar("freq_embedder", x["control_frequency"]),
            "state": lambda: torch.cat([self.encode_state(x, i) for i in range(b)]),
        }
        context = torch.stack([singles[name]() for name in c["context"]["order"]], dim=1)
        planned = self.encode_action("latent_action_encoder", latent, t[0])
        root = width**0.5
        return {
            "vlm": seen,
            "latent_action": planned * root,
            "context": context * root,
            "action": torch.cat(rows) * root,
        }

    def mask(self, x: dict[str, Tensor], visible: Tensor) -> Tensor:
        """Which row may attend to which column, sample by sample and token by token."""
        tokens = self.c["layout"]
        v, z = tokens["num_vlm_tokens"], visible.shape[1]
        kinds = ["v"] * v + ["l"] * z + ["c"] * len(self.c["context"]["order"]) + ["r"] * tokens["num_robot_tokens"]
        sees = {"v": "v", "l": "vl", "c": "vlc", "r": "vlcr"}
        allowed = torch.zeros(len(visible), len(kinds), len(kinds), dtype=torch.bool)
        for b in range(len(visible)):
            for i, row in enumerate(kinds):
                for j, column in enumerate(kinds):
                    ok = column in sees[row]
                    ok = ok and (column != "v" or bool(x["token_mask"][b, j]))
                    hidden = column == "l" and row in "cr" and not visible[b, j - v]
                    allowed[b, i, j] = ok and not hidden
        return allowed

    def velocities(
        self,
        x: dict[str, Tensor],
        latent: Tensor,
        action: Tensor,
        t: tuple[Tensor, Tensor],
        visible: Tensor,
        slip: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """One joint pass of all streams; `slip` multiplies the context."""
        j, streams = self.joint, self.streams(x, latent, action, t)
        streams["context"] = streams["context"] * slip
        expert = {"vlm": "vlm", "latent_action": "latent_action", "context": "action", "action": "action"}
        widths = {name: s.shape[1] for name, s in streams.items()}
        first = {"vlm": 1, "latent_action": 1, "context": 1, "action": 1 + widths["context"]}
        allowed = self.mask(x, visible)
        for i in range(j["num_layers"]):
            parts: dict[str, list[Tensor]] = {"q": [], "k": [], "v": []}
            for name, s in streams.items():
                at = f"joint_model.mixtures.{expert[name]}.layers.{i}"
                y = self.rms_norm(f"{at}.input_layernorm", s)
                theta = self.c["vlm" if name == "vlm" else "expert"]["rope_theta"]
                for n, heads in (("q", j["num_heads"]), ("k", j["num_kv_heads"]), ("v", j["num_kv_heads"])):
                    p = self.linear(f"{at}.self_attn.{n}_proj", y, heads * j["head_dim"], bias=False)
                    p = p.unflatten(-1, (heads, j["head_dim"]))
                    parts[n].append(p if n == "v" else rotate(p, first[name], theta))
            q, k, v = (torch.cat(parts[n], dim=1).transpose(1, 2) for n in "qkv")
            k, v = (p.repeat_interleave(j["num_heads"] // j["num_kv_heads"], dim=1) for p in (k, v))
            score = q @ k.mT / math.sqrt(j["head_dim"])
            if j["logit_soft_cap"]:
                score = j["logit_soft_cap"] * torch.tanh(score / j["logit_soft_cap"])
            score = score.masked_fill(~allowed[:, None], torch.finfo(score.dtype).min)
            mixed = (score.softmax(-1) @ v).transpose(1, 2).flatten(2).split(list(widths.values()), dim=1)
            for (name, s), m in zip(list(streams.items()), mixed, strict=True):
                at, c = f"joint_model.mixtures.{expert[name]}.layers.{i}", self.c["vlm" if name == "vlm" else "expert"]
                s = s + self.linear(f"{at}.self_attn.o_proj", m, c["width"], bias=False)
                y = self.rms_norm(f"{at}.post_attention_layernorm", s)
                gate = F.gelu(self.linear(f"{at}.mlp.gate_proj", y, c["mlp_width"], bias=False), approximate="tanh")
                up = self.linear(f"{at}.mlp.up_proj", y, c["mlp_width"], bias=False)
                streams[name] = s + self.linear(f"{at}.mlp.down_proj", gate * up, c["width"], bias=False)
        planned = self.rms_norm("joint_model.mixtures.latent_action.norm", streams["latent_action"])
        done = self.rms_norm("joint_model.mixtures.action.norm", streams["action"])
        moves = torch.zeros_like(action)
        for b in range(len(action)):
            d = int(x["dataset_id"][b])
            does = self.c["embodiments"][d]["action_dim"]
            moves[b, :, :does] = self.linear(f"action_decoder.dataset_{d}", done[b], does)
        return self.linear("latent_action_decoder", planned, self.c["layout"]["latent_dim"]), moves

    def sample(self, x: dict[str, Tensor], *, slip: bool, own_step: bool) -> tuple[Tensor, Tensor]:
        """Integrate both streams."""
        latent, action, steps = x["sample_latent_noise"], x["sample_robot_noise"], self.c["flow"]["num_inference_steps"]

        def latent_time(t: float) -> float:
            return 0.999 * (1 - max(0.0, 1 - t / 0.999) ** 0.3)

        everything, b = torch.ones(latent.shape[:2], dtype=torch.bool), len(latent)
        for k in range(steps):
            t, after = k / steps, (k + 1) / steps
            times = (torch.full((b,), latent_time(t)), torch.full((b,), t))
            scale = self.c["expert"]["width"] ** (k / 2) if slip else 1.0
            v_latent, v_robot = self.velocities(x, latent, action, times, everything, scale)
            latent = latent + v_latent * (latent_time(after) - latent_time(t) if own_step else 1 / steps)
            action = action + v_robot / steps
        return latent, action


def rotate(x: Tensor, first: int, theta: float) -> Tensor:
    """Turn each pair of numbers, half against half, as complex numbers."""
    half = x.shape[-1] // 2
    position = torch.arange(first, first + x.shape[1]).double()
    turn = position[:, None] * torch.tensor([theta ** (-2 * j / x.shape[-1]) for j in range(half)]).double()
    pair = (
        torch.complex(x[..., :half].double(), x[..., half:].double())
        * torch.polar(torch.ones_like(turn), turn)[:, None]
    )
    return torch.cat([pair.real, pair.imag], dim=-1).float()


def draw_inputs(layout: dict[str, Any], seed: int = 1) -> dict[str, Tensor]:
    """Draw what the policy is given: three samples, texts of three lengths."""
    g, tokens, b = torch.Generator().manual_seed(seed), layout["layout"], 3
    z, d, h = (
        tokens["num_latent_actions"] * tokens["codes_per_latent"],
        tokens["latent_dim"],
        tokens["num_robot_tokens"],
    )
    bodies = layout["embodiments"]
    s, a = max(e["state_dim"] for e in bodies), max(e["action_dim"] for e in bodies)
    n, side = tokens["num_image_tokens"], layout["siglip"]["image_size"]
    who = torch.arange(b) % len(bodies)
    length = n + torch.arange(b)[:, None] % (tokens["num_vlm_tokens"] - n) + 1
    token_mask = (torch.arange(tokens["num_vlm_tokens"]) < length).long()
    has = torch.tensor([[i < e["state_dim"] for i in range(s)] for e in bodies])[who]
    does = torch.tensor([[i < e["action_dim"] for i in range(a)] for e in bodies])[who]
    u = torch.rand(b, generator=g)
    x = {
        "image": torch.randint(0, 256, (b, 3, side, side), generator=g, dtype=torch.uint8),
        "token_ids": torch.randint(3, layout["vlm"]["vocab_size"], token_mask.shape, generator=g) * token_mask,
        "token_mask": token_mask,
        "dataset_id": who,
        "steps_per_latent": torch.tensor([3.0, 2.0, 7.0]),
        "control_frequency": torch.tensor([5.0, 30.0, 10.0]),
        "state": torch.randn(b, 1, s, generator=g) * has[:, None],
        "state_dim_mask": has,
        "action_dim_mask": does,
        "t_robot": 0.999 * (1 - u ** (2 / 3)),
        "t_latent": 0.999 * (1 - u ** (1 / 5)),
        "latents": torch.randn(b, z, d, generator=g),
        "actions": torch.randn(b, h, a, generator=g) * does[:, None],
        "latent_noise": torch.randn(b, z, d, generator=g),
        "robot_noise": torch.randn(b, h, a, generator=g),
        "sample_latent_noise": torch.randn(b, z, d, generator=g),
        "sample_robot_noise": torch.randn(b, h, a, generator=g),
        "latent_loss_mask": torch.rand(b, z, generator=g) < 0.8,
        "robot_loss_mask": torch.rand(b, h, generator=g) < 0.7,
        "latent_visible_half": (torch.rand(b, z, generator=g) < 0.5).to(torch.uint8),
    }
    for name, t in (("latent", x["t_latent"]), ("robot", x["t_robot"])):
        data, noise = x["latents" if name == "latent" else "actions"], x[f"{name}_noise"]
        x[f"x_t_{name}"] = (1 - 0.999 * t[:, None, None]) * noise + t[:, None, None] * data
    return x


def write(folder: Path, layout: dict[str, Any]) -> Path:
    """Write `config.json`, weights, inputs and outputs."""
    policy, x = Policy(layout), draw_inputs(layout)
    half = x["latent_visible_half"].bool()
    out: dict[str, Tensor] = {}
    for share, visible in (("all", torch.ones_like(half)), ("none", torch.zeros_like(half)), ("half", half)):
        times = (x["t_latent"], x["t_robot"])
        latent, robot = policy.velocities(x, x["x_t_latent"], x["x_t_robot"], times, visible)
        off = (latent - (x["latents"] - 0.999 * x["latent_noise"]))[x["latent_loss_mask"]]
        counts = x["robot_loss_mask"][..., None] & x["action_dim_mask"][:, None]
        far = (robot - (x["actions"] - 0.999 * x["robot_noise"]))[counts]
        losses = off.square().mean().reshape(1), far.square().mean().reshape(1)
        for run in (f"eval_{share}", *(["train_half"] if share == "half" else [])):
            out |= {f"{run}/latent_velocity": latent.clone(), f"{run}/robot_velocity": robot.clone()}
            out |= {f"{run}/loss_latent": losses[0].clone(), f"{run}/loss_robot": losses[1].clone()}
            out[f"{run}/loss_total"] = losses[0] + losses[1]
        alive = torch.ones(half.shape[0], policy.mask(x, half).shape[1], dtype=torch.bool)
        alive[:, : x["token_mask"].shape[1]] = x["token_mask"].bool()
        out[f"mask/{share}"] = (policy.mask(x, visible) & alive[..., None]).to(torch.uint8)
    for kind, slip, own in (("reference", True, False), ("clean", False, False), ("own_step", False, True)):
        latent, robot = policy.sample(x, slip=slip, own_step=own)
        out |= {f"sample_{kind}/latents": latent, f"sample_{kind}/robot_unclipped": robot}
        if not own:
            out[f"sample_{kind}/robot"] = robot.clamp(-1, 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(layout))
    for name, tensors in (("weights", policy.w), ("inputs", x), ("outputs", out)):
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")
    return folder
