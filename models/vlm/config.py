"""Shape of the vision-language model."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.config import MOST_LAYERS, MOST_PATCHES, MOST_PIXELS, MOST_ROWS, MOST_STEPS, MOST_WIDTH, Config
from models.layers.config import StackConfig

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=1e-6, le=1e6)]


class VisionConfig(Config):
    """Shape of the vision tower (SigLIP, Zhai et al. 2023, arXiv:2303.15343)."""

    image_size: int = Field(224, ge=8, le=MOST_PIXELS)
    """Side of the square input picture; any picture is scaled to it."""
    patch_size: int = Field(14, ge=2, le=MOST_PIXELS)
    """Pixels per side of one token's patch; a power of two for the convolutional stem."""
    width: int = Field(1152, ge=1, le=MOST_WIDTH)
    """Width of a token."""
    mlp_width: int = Field(4304, ge=1, le=MOST_WIDTH)
    """Hidden width of the feed-forward layers."""
    num_layers: int = Field(27, ge=0, le=MOST_LAYERS)
    """Layers; 0 leaves the stem alone."""
    num_heads: int = Field(16, ge=1, le=MOST_WIDTH)
    """Attention heads."""
    eps: float = Field(1e-6, gt=0, le=1)
    """Of the norms."""
    image_mean: tuple[Share, Share, Share] = (0.5, 0.5, 0.5)
    """Taken from red, green and blue, 0 to 1, before they enter."""
    image_std: tuple[Spread, Spread, Spread] = (0.5, 0.5, 0.5)
    """They are divided by it then: by SigLIP's values, pixels become -1 to 1."""
    stem: Literal["patch", "conv"] = "patch"
    """`patch` is SigLIP's one strided convolution. `conv` halves the picture step by step before the blocks: early
    convolutions let a small transformer learn from few pictures (Xiao et al. 2021, arXiv:2106.14881)."""
    stem_width: int = Field(32, ge=1, le=MOST_WIDTH)
    """Channels after the first convolution of the `conv` stem; they double at every halving, up to `width`."""

    @property
    def num_tokens(self) -> int:
        """Tokens per picture."""
        return (self.image_size // self.patch_size) ** 2

    @model_validator(mode="after")
    def _check(self) -> "VisionConfig":
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.num_tokens > MOST_PATCHES:
            raise ValueError(f"image_size {self.image_size} has {self.num_tokens} patches, at most {MOST_PATCHES}")
        if self.stem == "conv" and self.patch_size.bit_count() != 1:
            raise ValueError(
                f"a conv stem halves the picture, so patch_size must be a power of 2, not {self.patch_size}"
            )
        return self


class PromptConfig(Config):
    """What surrounds an instruction, as the model's weights expect it."""

    bos_id: int | None = Field(2, ge=0, le=MOST_ROWS)
    """Token that begins the text; PaliGemma's. None for a model that has none."""
    suffix: str = Field("\n", max_length=200)
    """What the text ends with."""


class VlmConfig(Config):
    """Shape of the vision-language model (PaliGemma, Beyer et al. 2024, arXiv:2407.07726)."""

    vision: VisionConfig = VisionConfig()
    text: StackConfig
    vocab_size: int = Field(257216, ge=4, le=MOST_ROWS)
    """Tokens that there are embeddings for; a tokenizer may have fewer."""
    text_length: int = Field(20, ge=1, le=MOST_STEPS)
    """Most text tokens the model expects, BOS and newline included; the authors' code uses 20, the paper says 128."""
    pixel_shuffle: int = Field(1, ge=1, le=64)
    """Side of the square of patches that become one token (Shi et al. 2016, arXiv:1609.05158): fewer, wider tokens for
    the language model. Idefics3 and SmolVLM use it; 1 leaves patches alone."""
    causal: bool = False
    """Tokens attend to themselves and those before, as in most language models; PaliGemma's attend to all."""
    prompt: PromptConfig = PromptConfig()

    @property
    def num_image_tokens(self) -> int:
        """Tokens of the picture that enter the language model."""
        return self.vision.num_tokens // self.pixel_shuffle**2

    @model_validator(mode="after")
    def _check(self) -> "VlmConfig":
        side = self.vision.image_size // self.vision.patch_size
        if side % self.pixel_shuffle:
            raise ValueError(f"pixel_shuffle {self.pixel_shuffle} does not divide the grid of {side} x {side} patches")
        return self
