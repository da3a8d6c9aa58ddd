"""A tiny latent action model, untrained, whose codes tell pictures of the made corpus apart."""

import numpy as np
import simplejpeg
import torch

from dataengine.formats.resize import resize
from models.lam import Lam
from models.weights import save_model
from tests.support.shapes import lam_shape

SMALL = {
    "resolution": 32,
    "patch_size": 8,
    "encoder_depth": 1,
    "encoder_width": 32,
    "decoder_depth": 1,
    "decoder_width": 32,
    "use_proprio": False,
}


def video_of(jpegs, side):
    frames = np.stack([resize(simplejpeg.decode_jpeg(j), side, side) for j in jpegs])
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def make_lam(directory, jpegs, *, seed=0, num_frames=3, interval_s=0.2):
    """Save a model whose codebook is what it says of some frames."""
    torch.manual_seed(seed)
    lam = Lam(lam_shape("tiny", num_frames=num_frames, interval_s=interval_s, **SMALL)).eval()
    tokens = lam.encode(video_of(jpegs, lam.config.resolution)).tokens.reshape(-1, lam.config.latent_dim)
    with torch.no_grad():
        lam.vq.embedding.weight.copy_(far_apart(tokens, lam.config.num_codes))
    save_model(lam, directory)
    return lam


def far_apart(tokens, count):
    """Pick tokens, each the farthest from those before: with codes close together, rounding would decide."""
    picked = [tokens[0]]
    while len(picked) < count:
        picked.append(tokens[torch.cdist(tokens, torch.stack(picked)).min(dim=1).values.argmax()])
    return torch.stack(picked)
