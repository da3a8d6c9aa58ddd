"""The latent action model (LAM): what changes between two frames, as codes that robots and human hands share."""

from models.lam.config import LamConfig
from models.lam.lam import Lam, Latents

__all__ = ["Lam", "LamConfig", "Latents"]
