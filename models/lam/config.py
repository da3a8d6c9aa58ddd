"""Settings of the latent action model."""

from typing import Literal

from pydantic import Field, model_validator

from models.config import MOST_LAYERS, MOST_PATCHES, MOST_PIXELS, MOST_ROWS, MOST_STEPS, MOST_WIDTH, Config


class LamConfig(Config):
    """Shape and recipe of the latent action model (villa-X, arXiv:2507.23682).

    The defaults are what its authors released, as far as they published it.
    """

    resolution: int = Field(224, ge=8, le=MOST_PIXELS)
    """Side in pixels that every frame is scaled to; the aspect ratio is not kept."""
    patch_size: int = Field(14, ge=2, le=MOST_PIXELS)
    """Side of a patch in pixels; a patch is a token."""
    num_frames: int = Field(8, ge=2, le=MOST_STEPS)
    """Longest clip encoded at once; a clip of t frames yields t - 1 latent actions."""
    interval_s: float = Field(0.7, gt=0, le=3600)
    """Time between neighbouring frames. Unpublished; 0.7 s gives the authors' 2 and 3 control steps."""

    encoder_depth: int = Field(12, ge=1, le=MOST_LAYERS)
    """Layers of the inverse dynamics model; each attends over space, then over time."""
    encoder_width: int = Field(768, ge=8, le=MOST_WIDTH)
    """Width of its tokens."""
    encoder_heads: int = Field(32, ge=1, le=MOST_WIDTH)
    """Its attention heads."""
    mlp_ratio: float = Field(4.0, gt=0, le=64)
    """Hidden width of the encoder's feed-forward layers, in encoder widths; the other layers always use 4."""
    encoder_qk_norm: bool = True
    """Normalise its queries and keys."""
    pooling: Literal["released", "difference"] = "released"
    """How two frames' tokens become one set: `released` is the published mean; `difference` learns motion sooner."""
    num_slots: int = Field(4, ge=1, le=MOST_STEPS)
    """Codes in one latent action (k)."""
    latent_dim: int = Field(32, ge=1, le=MOST_WIDTH)
    """Width of a code (d)."""
    map_heads: int = Field(24, ge=1, le=MOST_WIDTH)
    """Heads of the attention pooling (MAP) that gives latent actions."""
    query_std: float = Field(0.02, gt=0, le=100)
    """Standard deviation of the pooling's queries at initialisation."""

    num_codes: int = Field(32, ge=2, le=MOST_ROWS)
    """One codebook, shared by the slots."""
    commitment: float = Field(0.25, ge=0, le=1e6)
    """Weight of pulling tokens towards their codes (beta)."""
    normalize_latents: bool = False
    """Normalise tokens over the batch (no parameters) before they are quantised."""
    warmup_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the run in which latents stay continuous; then k-means++ on recent tokens starts the codebook."""
    revive_below: float = Field(0.0, ge=0, lt=1)
    """A code used less than this share of the average is moved onto a recent token; 0 leaves it dead."""

    decoder_depth: int = Field(12, ge=1, le=MOST_LAYERS)
    """Layers of the visual forward model."""
    decoder_width: int = Field(768, ge=8, le=MOST_WIDTH)
    """Width of its tokens."""
    decoder_heads: int = Field(16, ge=1, le=MOST_WIDTH)
    """Its attention heads."""
    decoder_qk_norm: bool = True
    """Normalise its queries and keys."""
    conditioning: Literal["token", "film"] = "token"
    """How the latent action enters the visual forward model: a prepended token (published), or scales and shifts."""
    residual_output: bool = False
    """Predict the change of the picture, from zero: training then starts at the error of copying the frame."""

    use_proprio: bool = True
    """Train the proprio forward model too; without it the latents are grounded in pixels alone."""
    use_context: bool = True
    """Condition the proprio forward model on the dataset, which stands for the embodiment, and on the control rate."""
    state_dim: int = Field(14, ge=1, le=MOST_WIDTH)
    """Widest state vector; narrower batches are padded."""
    action_dim: int = Field(14, ge=1, le=MOST_WIDTH)
    """Widest action vector; narrower batches are padded."""
    max_horizon: int = Field(40, ge=1, le=MOST_STEPS)
    """Most control steps between neighbouring frames; batches with fewer are welcome."""
    num_datasets: int = Field(64, ge=1, le=MOST_ROWS)
    """Ids run from 0, which means unknown, to this number."""
    proprio_hidden: int = Field(1024, ge=1, le=MOST_WIDTH)
    """Hidden width of the proprio forward model."""
    context_width: int = Field(128, ge=2, le=MOST_WIDTH)
    """Width of a dataset's row, and of the encoded control rate."""
    proprio_weight: float = Field(1.0, ge=0, le=1e6)
    """Weight of the proprio error in the loss, 1 in villa-X; more helps where many clips have no actions."""
    context_dropout: float = Field(0.1, ge=0, le=1)
    """Probability in training that a clip's dataset id becomes 0, so that id 0 works for robots never seen."""

    @model_validator(mode="after")
    def _fits(self) -> "LamConfig":
        if self.resolution % self.patch_size:
            raise ValueError(f"resolution {self.resolution} is no multiple of patch_size {self.patch_size}")
        if self.num_patches > MOST_PATCHES:
            raise ValueError(f"resolution {self.resolution} has {self.num_patches} patches, at most {MOST_PATCHES}")
        if self.encoder_width * self.mlp_ratio < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio:g} leaves no hidden unit of width {self.encoder_width}")
        for part, width, heads in (
            ("encoder", self.encoder_width, self.encoder_heads),
            ("map", self.encoder_width, self.map_heads),
            ("decoder", self.decoder_width, self.decoder_heads),
        ):
            if width % heads or width % 4:
                raise ValueError(f"{part} width {width} must be a multiple of 4 and of its {heads} heads")
        return self

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.resolution // self.patch_size

    @property
    def num_patches(self) -> int:
        """Patches of one frame (n)."""
        return self.grid**2

    @property
    def latent_width(self) -> int:
        """Width of a whole latent action, slots after one another."""
        return self.num_slots * self.latent_dim
