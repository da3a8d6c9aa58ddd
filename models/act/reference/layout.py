"""What `config.json` of a reference says: sizes, and choices of which the actor knows one only."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.act.config import ActConfig, WristConfig
from models.act.wrist import MEAN, STD
from models.layers.config import StackConfig
from models.vlm.config import VisionConfig, VlmConfig

CONTEXT: Final = ("wrist", "has_wrist", "dataset", "steps_per_latent", "control_frequency", "state")

OUR_CONTEXT: Final = {"control_frequency": "control_hz"}
"""What the actor's settings call a token by another name."""


def _only(value: int | float) -> Any:
    """Accept a single number: the actor knows no other."""
    return Field(ge=value, le=value)


class _Part(BaseModel):
    """Keys that are read; others are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Vlm(_Part):
    width: int
    mlp_width: int
    rope_theta: float
    vocab_size: int
    final_norm: Literal[False]


class _Expert(_Part):
    width: int
    mlp_width: int
    rope_theta: float
    time_max_period: Annotated[float, _only(100.0)]
    final_norm: Literal[True]
    adaptive_mode: None = None


class _Joint(_Part):
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float = 1e-6
    logit_soft_cap: float | None = None
    attention_bias: Literal[False] = False
    attention_dropout: Annotated[float, _only(0.0)] = 0.0
    rope_layout: Literal["halves"] = "halves"
    attention_scale: Literal["1/sqrt(head_dim)"] = "1/sqrt(head_dim)"
    positions_start_at: Annotated[int, _only(1)] = 1


class _Siglip(_Part):
    width: int
    mlp_width: int
    num_layers: int
    num_heads: int
    image_size: int
    patch_size: int
    layer_norm_eps: float = 1e-6


class _Wrist(_Part):
    num_tokens: int
    trunk_widths: tuple[int, int, int, int]
    batch_norm_eps: Annotated[float, _only(1e-5)] = 1e-5
    batch_norm_momentum: Annotated[float, _only(0.1)] = 0.1
    heads: int
    head_dim: int
    image_size: int


class _Tokens(_Part):
    num_vlm_tokens: int
    num_image_tokens: int
    num_latent_actions: int
    codes_per_latent: int
    latent_dim: int
    num_robot_tokens: int
    num_state_tokens: Annotated[int, _only(1)] = 1
    latent_mask_ratio: float = 0.5
    latent_mask_all_hidden_prob: float = 0.5


class _Embodiment(_Part):
    state_dim: int
    action_dim: int


class _Context(_Part):
    order: tuple[str, ...] = CONTEXT
    scalar_sinusoid_width: Annotated[int, _only(256)] = 256
    scalar_max_period: Annotated[float, _only(1e4)] = 1e4
    num_dataset_rows: int
    num_has_wrist_rows: Annotated[int, _only(2)] = 2


class _Flow(_Part):
    sigma_min: float = 0.001
    t_max: float = 0.999
    num_inference_steps: int = Field(10, ge=1, le=10_000)
    final_action_clip: Annotated[float, _only(1.0)] = 1.0
    noise_at_t: Annotated[float, _only(0.0)] = 0.0


class _Loss(_Part):
    latent_coef: float = 1.0
    robot_coef: float = 1.0


class _Image(_Part):
    vlm_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    vlm_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    wrist_mean: tuple[float, float, float] = MEAN
    wrist_std: tuple[float, float, float] = STD


class Layout(_Part):
    """Sizes and choices of a reference."""

    vlm: _Vlm
    expert: _Expert
    joint: _Joint
    siglip: _Siglip
    wrist: _Wrist | None = None
    """None where nothing looks through a wrist camera."""
    layout: _Tokens
    embodiments: tuple[_Embodiment, ...] = Field(min_length=1)
    context: _Context
    flow: _Flow = _Flow()
    loss: _Loss = _Loss()
    image: _Image = _Image()

    @property
    def num_context(self) -> int:
        """Tokens of the context group."""
        return len(self.single_tokens) + (self.wrist.num_tokens if self.wrist else 0)

    @property
    def single_tokens(self) -> tuple[str, ...]:
        """Those of the context group that come one by one, after the wrist's."""
        return tuple(name for name in self.context.order if name != "wrist")

    def act_config(self, **changes: Any) -> ActConfig:
        """Say the same in the actor's own settings; raise ValueError where it cannot be of that shape."""
        joint, siglip, tokens, wrist = self.joint, self.siglip, self.layout, self.wrist
        shared = {
            "num_layers": joint.num_layers,
            "num_heads": joint.num_heads,
            "num_kv_heads": joint.num_kv_heads,
            "head_dim": joint.head_dim,
            "soft_cap": joint.logit_soft_cap or 0.0,
            "eps": joint.rms_norm_eps,
        }
        text, expert = (
            StackConfig(width=part.width, mlp_width=part.mlp_width, rope_theta=part.rope_theta, **shared)
            for part in (self.vlm, self.expert)
        )
        vision = VisionConfig(
            **siglip.model_dump(exclude={"layer_norm_eps"}),
            eps=siglip.layer_norm_eps,
            image_mean=self.image.vlm_mean,
            image_std=self.image.vlm_std,
        )
        length = tokens.num_vlm_tokens - tokens.num_image_tokens
        fields: dict[str, Any] = {
            "vlm": VlmConfig(vision=vision, text=text, vocab_size=self.vlm.vocab_size, text_length=length),
            "expert": expert,
            "wrist": wrist
            and WristConfig(
                image_size=wrist.image_size,
                widths=wrist.trunk_widths,
                num_tokens=wrist.num_tokens,
                num_heads=wrist.heads,
                head_dim=wrist.head_dim,
            ),
            "context": {OUR_CONTEXT.get(name, name): name in self.single_tokens for name in CONTEXT[1:]},
            "state_dims": tuple(e.state_dim for e in self.embodiments),
            "action_dims": tuple(e.action_dim for e in self.embodiments),
            "num_datasets": self.context.num_dataset_rows,
            "num_latents": tokens.num_latent_actions,
            "codes_per_latent": tokens.codes_per_latent,
            "latent_dim": tokens.latent_dim,
            "horizon": tokens.num_robot_tokens,
            "flow": {"sigma_min": self.flow.sigma_min, "t_max": self.flow.t_max},
            "num_euler_steps": self.flow.num_inference_steps,
            "latent_dropout": tokens.latent_mask_all_hidden_prob,
            "latent_keep_ratio": tokens.latent_mask_ratio,
        }
        return ActConfig(**{**fields, **changes})


def read_layout(stated: Mapping[str, Any]) -> Layout:
    """Check what `config.json` holds; raise ValueError that names the key, what was found and what was expected."""
    try:
        layout = Layout.model_validate(stated)
        config = layout.act_config()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or error.title
        seen = "" if first["type"] == "missing" else f"found {first['input']!r:.60}, "
        raise ValueError(f"{key}: {seen}{first['msg'].removeprefix('Value error, ')}") from None
    known = CONTEXT if layout.wrist else CONTEXT[1:]
    order = layout.context.order
    if order != tuple(name for name in known if name in order) or (layout.wrist and "wrist" not in order):
        raise ValueError(f"context.order: found {', '.join(order)}; expected some of {', '.join(known)}, in that order")
    if config.vlm.num_image_tokens != layout.layout.num_image_tokens:
        raise ValueError(
            f"layout.num_image_tokens: found {layout.layout.num_image_tokens}, expected "
            f"{config.vlm.num_image_tokens} as siglip has patches"
        )
    if (layout.image.wrist_mean, layout.image.wrist_std) != (MEAN, STD):
        raise ValueError(f"image: the wrist's mean and std are not ImageNet's, expected {MEAN} and {STD}")
    return layout
