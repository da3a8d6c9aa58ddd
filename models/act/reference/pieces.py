"""The actor's pieces one by one: encoders, positions, tables of sinusoids and of flow times."""

from collections.abc import Iterator

import torch
from torch import Tensor

from models import flow
from models.act.act import Act
from models.act.reference.folder import Reference
from models.layers.rope import rope
from models.layers.sinusoid import scalar_sinusoid, time_sinusoid
from models.layers.stack import positions_from

TOKEN_NAMES = {"steps_per_latent": "steps", "control_frequency": "frequency"}


@torch.no_grad()
def outputs(reference: Reference) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Give each output's name, our tensor, and which of its rows count (None: all)."""
    act = reference.model()
    yield from _parts(act, reference)
    for name, tensor in (*_positions(reference), *_tables(act, reference)):
        yield name, tensor, None


def _parts(act: Act, reference: Reference) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    x, seen = reference.inputs, reference.observation()
    assert act.latent is not None
    width = act.config.expert.width
    vision = act.vlm.vision(seen.image)
    yield "parts/siglip", vision, None
    yield "parts/projected", act.vlm.projector(vision), None
    tokens = act.vlm.embed_prefix(seen.image, seen.token_ids, seen.token_mask)
    yield "parts/vlm_embeds", tokens / act.config.vlm.text.embed_scale, None
    context = act.robot.context(seen, seen.has_wrist)
    yield "parts/context_tokens", context.tokens, context.valid_mask
    singles = reference.layout.single_tokens
    for token, name in zip(context.tokens.unbind(1)[-len(singles) :], singles, strict=True):
        row = token[:, None] if name == "state" else token  # theirs has an axis for states of the past
        yield f"parts/{TOKEN_NAMES.get(name, name)}_token", row, None
    if act.robot.context.wrist is not None:
        wrist = act.robot.context.wrist
        yield "parts/wrist_tokens", wrist(seen.wrist), None
        pixels = (seen.wrist.float() / 255.0 - wrist.mean) / wrist.std
        yield "parts/wrist_trunk", wrist.trunk(pixels), None
    t_latent, t_robot = (time_sinusoid(x[name], width) for name in ("t_latent", "t_robot"))
    yield "parts/time_latent", t_latent, None
    yield "parts/time_robot", t_robot, None
    yield "parts/latent_tokens", act.latent.encoder(x["x_t_latent"], t_latent), None
    yield "parts/robot_tokens", act.robot.encoder(x["x_t_robot"], seen.embodiment_id, t_robot), None


def _positions(reference: Reference) -> Iterator[tuple[str, Tensor]]:
    tokens, where = reference.layout.layout, torch.device("cpu")
    yield "positions/vlm", positions_from(1, tokens.num_vlm_tokens, where)
    yield "positions/latent", positions_from(1, tokens.num_latent_actions * tokens.codes_per_latent, where)
    both = positions_from(1, reference.layout.num_context + tokens.num_robot_tokens, where)
    yield "positions/context", both[: reference.layout.num_context]
    yield "positions/robot", both[reference.layout.num_context :]


def _tables(act: Act, reference: Reference) -> Iterator[tuple[str, Tensor]]:
    """Give values at the points that the reference names, which are its inputs here."""
    at = reference.outputs
    if "table/coupled_u" in at:
        t_latent, t_robot = flow.times_from(at["table/coupled_u"], act.config.flow)
        yield "table/coupled_u", at["table/coupled_u"]
        yield "table/coupled_t_latent", t_latent
        yield "table/coupled_t_robot", t_robot
    if "table/context_values" in at:
        values = at["table/context_values"]
        sinusoid = scalar_sinusoid(values)
        yield "table/context_values", values
        yield "table/context_sinusoid_256", sinusoid
        yield "table/context_sinusoid_256_bf16", sinusoid.bfloat16().float()
        for name, encoder in (
            ("frequency", act.robot.context.control_hz),
            ("steps", act.robot.context.steps_per_latent),
        ):
            if encoder is not None:
                yield f"table/{name}_tokens", encoder(values)
    if "table/time_values" in at:
        values = at["table/time_values"]
        yield "table/time_values", values
        yield "table/time_sinusoid", time_sinusoid(values, act.config.expert.width)
        yield "table/time_sinusoid_1024", time_sinusoid(values, 1024)
    for name, config in (("vlm", act.config.vlm.text), ("expert", act.config.expert)):
        if (cos := at.get(f"table/rope_cos_{name}")) is not None:
            table = rope(positions_from(1, cos.shape[0], cos.device), config.head_dim, config.rope_theta)
            yield f"table/rope_cos_{name}", table.cos.squeeze(1)
            below, above = table.sin.squeeze(1).chunk(2, dim=1)  # ours has the rotation's sign in it
            yield f"table/rope_sin_{name}", torch.cat([-below, above], dim=1)
