"""The law of flow times and of the line from noise to data."""

from typing import Literal

from pydantic import Field

from models.config import Config

Times = Literal["coupled", "shared", "uniform"]


class FlowConfig(Config):
    """How far from noise a policy learns to denoise, and along which line."""

    times: Times = "coupled"
    """`coupled`: one draw drives two clocks, on which latents are always noisier than actions (villa-X). `shared`: both
    streams have the actions' time, dense near noise. `uniform`: both have one time, equally likely anywhere."""
    sigma_min: float = Field(0.001, ge=0.0, lt=1.0)
    """Noise that is left in the data at flow time 1."""
    t_max: float = Field(0.999, gt=0.0, le=1.0)
    """Latest flow time that is trained on."""
