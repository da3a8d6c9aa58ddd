"""Shape of the policy."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from models.config import MOST_PIXELS, MOST_ROWS, MOST_STEPS, MOST_WIDTH, Config, merged
from models.flow_config import FlowConfig
from models.layers.config import StackConfig
from models.lora_config import LoraConfig, LoraTarget
from models.vlm.config import VlmConfig

Width = Annotated[int, Field(ge=1, le=MOST_WIDTH)]
Dim = Annotated[int, Field(ge=0, le=MOST_WIDTH)]


MOST_SCORES = 1 << 28
"""Scores of one attention of both experts over all heads, for one observation: a gigabyte in float32. Chunks of a
thousand steps beside plans as long have a quarter of it."""


SHARED = ("num_layers", "num_heads", "num_kv_heads", "head_dim", "soft_cap")
"""What streams that attend jointly have in common."""


HEADS = ("robot.context.state.", "robot.encoder.", "robot.decoder.")
"""How names of weights begin that every embodiment has of its own."""


LORA_PREFIXES: Mapping[LoraTarget, str] = MappingProxyType(
    {
        "vision": "vlm.vision.",
        "projector": "vlm.projector",
        "language": "vlm.stack.",
        "latent": "latent.stack.",
        "robot": "robot.stack.",
    }
)
"""How names of modules begin that adapters of a part go to."""


Camera = Literal["secondary", "wrist_2"]
"""Cameras beside the main one and the wrist's that a policy may read."""


class WristConfig(Config):
    """Shape of the wrist camera's encoder: a ResNet-18 trunk, then learned queries that attend to its cells."""

    renamed = MappingProxyType({"drop": "view_dropout"})

    image_size: int = Field(224, ge=32, le=MOST_PIXELS)
    """Side of the square input picture; any picture is scaled to it."""
    widths: tuple[Width, Width, Width, Width] = (64, 128, 256, 512)
    """Channels of the trunk's four stages; the default is ResNet-18's own, so its published weights fit."""
    num_tokens: int = Field(16, ge=1, le=MOST_STEPS)
    """Learned queries, each a token for the robot expert."""
    num_heads: int = Field(8, ge=1, le=MOST_WIDTH)
    """Attention heads of the queries."""
    head_dim: int = Field(256, ge=1, le=MOST_WIDTH)
    """Width of a head."""
    view_dropout: float = Field(0.5, ge=0.0, le=1.0)
    """Probability in training that a row's wrist view is dropped (paper: 0.5; the authors' code: 0.75)."""


class ContextConfig(Config):
    """Which tokens tell the robot expert what it is about to move; wrist tokens are there where `wrist` has a shape."""

    has_wrist: bool = True
    """Whether there is a wrist view."""
    dataset: bool = True
    """Which dataset, hence which controller and scene."""
    steps_per_latent: bool = True
    """Control steps that one latent action spans (K); in the authors' code, not in the paper."""
    control_hz: bool = True
    """Control rate."""
    state: bool = True
    """What the robot feels."""


class ActConfig(Config):
    """Shape of the actor (villa-X, Chen et al. 2025, arXiv:2507.23682): three streams of tokens that attend jointly."""

    renamed = MappingProxyType(
        {
            "flow_draws": "num_flow_samples",
            "freeze_words": "freeze_token_embeddings",
            "latent_hidden": "latent_dropout",
            "latent_shown": "latent_keep_ratio",
        }
    )

    vlm: VlmConfig
    expert: StackConfig
    """Blocks of the latent expert and of the robot expert; layers, heads and head width equal the language model's."""
    wrist: WristConfig | None = None
    """None leaves the wrist view out."""
    more_cameras: tuple[Camera, ...] = Field((), max_length=len(get_args(Camera)))
    """Further cameras, each with an encoder of its own of the shape of `wrist`: `wrist_2` of a second arm, `secondary`
    that looks from elsewhere."""
    context: ContextConfig = ContextConfig()
    """Tokens of the robot expert beside those of the wrist view."""

    state_dims: tuple[Dim, ...] = Field(min_length=1, max_length=MOST_WIDTH)
    """Width of the state of every embodiment; the row is `embodiment_id`, and row 0 stays untrained."""
    action_dims: tuple[Dim, ...] = Field(min_length=1, max_length=MOST_WIDTH)
    """Width of the action of every embodiment, in the same rows."""
    num_datasets: int = Field(1, ge=1, le=MOST_ROWS)
    """Rows of the dataset table; row 0 stays untrained and unused."""

    use_latent: bool = True
    """False drops the latent expert: the paper's baseline "w/o latent"."""
    planner: Literal["flow", "autoregressive", "pretraining"] = "flow"
    """How plans come about: vectors are denoised (villa-X); codes follow one another, and the robot expert reads them
    (Go-1-style); or codes are predicted in the first part of the training alone, and nobody reads a plan (LAPA-style).
    """
    num_codes: int = Field(32, ge=2, le=MOST_ROWS)
    """Codes that there are, where codes are planned."""
    pretraining_fraction: float = Field(0.5, gt=0.0, lt=1.0)
    """Share of the training in which codes alone are learnt, with `planner: pretraining`."""
    num_latents: int = Field(6, ge=1, le=MOST_STEPS)
    """Latent actions planned ahead (n)."""
    codes_per_latent: int = Field(4, ge=1, le=MOST_STEPS)
    """Codes in one latent action (k)."""
    latent_dim: int = Field(32, ge=1, le=MOST_WIDTH)
    """Width of a code (d)."""
    latent_scale: float = Field(1.0, gt=0.0, le=1e6)
    """Root mean square of the codebook: latents are divided by it before noise of size 1 is added. The authors' code
    does not rescale (1)."""
    latent_dropout: float = Field(0.5, ge=0.0, le=1.0)
    """Probability in training that all latent tokens of a row are masked from the robot expert; at 1 in play, too."""
    latent_keep_ratio: float = Field(0.5, ge=0.0, le=1.0)
    """Otherwise, the share of latent tokens, drawn at random, that the robot expert attends to."""
    latent_mask_unit: Literal["code", "latent"] = "code"
    """What that share is drawn of: single codes, as the authors do, or whole latent actions."""
    detach_latent: bool = True
    """Keep the robot's loss from training the latent expert, as the authors do."""
    own_plan_ratio: float = Field(0.0, ge=0.0, le=1.0)
    """Probability in training that a row's robot expert reads the policy's own plan, not true latent actions. Ours."""
    clean_plan: bool = False
    """Let the robot expert read the plan without noise: true in training, wholly sampled in play. Ours."""
    prefix_dropout: float = Field(0.0, ge=0.0, le=1.0)
    """Probability in training that picture and text of a row are masked from the robot expert, which then reads the
    whole plan; at 1 in play, too. Ours."""

    horizon: int = Field(4, ge=1, le=MOST_STEPS)
    """Control steps in one chunk (h)."""
    max_inference_delay: int = Field(0, ge=0, le=MOST_STEPS)
    """Longest delay, in control steps, that training prepares for: up to so many first actions of a chunk are shown as
    executed already, and the rest learns to continue them (training-time real-time chunking, arXiv:2512.05964); 0 for
    none. Ours."""
    num_flow_samples: int = Field(1, ge=1, le=MOST_STEPS)
    """Samples of (noise, time) per row and training step, over one prefix cache. The authors take 1."""
    num_euler_steps: int = Field(10, ge=1, le=MOST_STEPS)
    """Euler steps from noise to actions at inference."""
    reference_latent_step: bool = False
    """Step latents by the robot's flow time, as the authors' sampler does, and not by their own."""
    flow: FlowConfig = FlowConfig()
    """Law of flow times and of the line from noise to data."""
    latent_weight: float = Field(1.0, ge=0.0, le=1e6)
    """Weight of the latent expert's loss."""
    robot_weight: float = Field(1.0, ge=0.0, le=1e6)
    """Weight of the robot expert's loss."""
    freeze_token_embeddings: bool = False
    """Do not train the token embeddings, as the authors do not train PaliGemma's."""
    freeze_vision: bool = False
    """Do not train the vision tower, as the paper does not when it fine-tunes to the Realman arm."""
    freeze_vlm: bool = False
    """Do not train the vision-language model at all."""
    lora: LoraConfig | None = None
    """Adapters, which are trained in place of the weights beside them; None trains these."""
    freeze_last_values: bool = False
    """Do not train the last value projection of the language model. The authors' code freezes that block whole, of
    which nothing else is used."""

    @property
    def denoises_plan(self) -> bool:
        """Tell whether plans are latent vectors that the latent expert denoises."""
        return self.use_latent and self.planner == "flow"

    @property
    def num_latent_tokens(self) -> int:
        """Tokens of the latent stream: one per code, codes inside time."""
        return self.num_latents * self.codes_per_latent

    @property
    def num_scores(self) -> int:
        """Scores of one attention of both experts, each padded to the longer one, to the prefix and one another."""
        tokens = 2 * max(self.num_latent_tokens if self.use_latent else 0, self.horizon)
        prefix = self.vlm.num_image_tokens + self.vlm.text_length
        return self.expert.num_heads * tokens * (prefix + tokens)

    @model_validator(mode="after")
    def _check(self) -> "ActConfig":
        if len(self.state_dims) != len(self.action_dims):
            raise ValueError(f"{len(self.state_dims)} state_dims but {len(self.action_dims)} action_dims")
        if min(self.state_dims) < 1 or min(self.action_dims) < 1:
            raise ValueError("every embodiment has at least 1 state and 1 action dimension; mask what it lacks")
        if self.max_inference_delay >= self.horizon:
            raise ValueError(
                f"max_inference_delay is {self.max_inference_delay}, which leaves nothing to learn of a chunk of "
                f"{self.horizon} actions; give less"
            )
        if self.num_scores > MOST_SCORES:
            raise ValueError(
                f"num_latents {self.num_latents} of {self.codes_per_latent} codes and horizon {self.horizon} are too "
                f"many to attend to one another: {self.num_scores} scores, expected at most {MOST_SCORES}"
            )
        if self.planner != "flow" and (self.own_plan_ratio or self.clean_plan or self.prefix_dropout):
            raise ValueError("own_plan_ratio, clean_plan and prefix_dropout are ways to read a plan of planner flow")
        if self.more_cameras and self.wrist is None:
            raise ValueError(
                "more_cameras needs the shape of an encoder; give it one with model.wrist.widths=[64, 128, 256, 512]"
            )
        if len(set(self.more_cameras)) < len(self.more_cameras):
            raise ValueError(f"more_cameras names one twice: {', '.join(self.more_cameras)}")
        for name in SHARED:
            text, expert = getattr(self.vlm.text, name), getattr(self.expert, name)
            if text != expert:
                raise ValueError(f"streams that attend jointly share {name}; the text has {text}, the expert {expert}")
        return self

    @classmethod
    def changed(cls, base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Lay changes over the settings of a preset, however deep; what streams share is set for both by one of them.

        Raise ValueError where the preset has no wrist encoder and the changes do not give one its size.
        """
        text, expert = (
            {key: value for key, value in given.items() if key in SHARED}
            for given in (_inner(_inner(changes, "vlm"), "text"), _inner(changes, "expert"))
        )
        if "vlm" in base and "expert" in base:
            base = merged(base, {"vlm": {"text": expert}, "expert": text})
        wrist = changes.get("wrist")
        if base.get("wrist") is None and isinstance(wrist, Mapping) and "widths" not in wrist:
            raise ValueError(
                f"this preset has no wrist encoder for model.wrist.{next(iter(wrist), '')} to change; its size "
                f"gives it one: model.wrist.widths=[64, 128, 256, 512]"
            )
        return merged(base, changes)


def _inner(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Give nested settings, none where there are none or something else for the model to refuse."""
    inner = settings.get(key)
    return inner if isinstance(inner, Mapping) else {}
