"""Policies with random weights, saved as `villa train act` saves them."""

import torch

from dataengine.vector_layout import VectorLayout
from models.act import Act
from models.weights import save_model
from pipelines.training.tokenizer import Tokenizer
from tests.support.readers import MadeReader, make_episode, statistics
from tests.support.shapes import act_shape

TEXTS = ["close the jar", "open the jar"]
LAYOUT = VectorLayout.of("eef_delta", 7)


def save_policy(folder, *, robots=("arm7_jaw",), rates_hz=None, wrist=False, seed=0, latent=None, **shape):
    """Write a policy for robots of 7 values at 10 Hz, whose actions are motions of a hand in metres and radians."""
    episodes = [make_episode(i, embodiment=name, embodiment_id=i + 1) for i, name in enumerate(robots)]
    statistics_json = {name: one.to_json() for name, one in statistics(MadeReader(episodes)).items()}
    for one in statistics_json.values():
        one["action"] |= {"encoding": "eef_delta", "names": list(LAYOUT.names), "units": list(LAYOUT.units)}
        one["action"]["grippers"] = [6]
        one["state"] |= {"encoding": "eef_pose", "names": list(LAYOUT.names), "units": list(LAYOUT.units)}
    bodies = {
        name: {"embodiment_id": i + 1, "dataset_id": 1, "control_hz": hz, "steps_per_latent": 3}
        for i, (name, hz) in enumerate(zip(robots, rates_hz or (10.0,) * len(robots), strict=True))
    }
    if wrist:
        shape["wrist"] = {"image_size": 32, "widths": [8, 8, 8, 8], "num_tokens": 2, "num_heads": 2, "head_dim": 8}
    dims = (7,) * (len(robots) + 1)
    torch.manual_seed(seed)
    shape = {"horizon": 4, **shape}
    model = Act(act_shape("tiny", state_dims=dims, action_dims=dims, num_datasets=2, **shape))
    save_model(model, folder, {"bodies": bodies, "statistics": statistics_json, "latent": latent})
    (folder / "tokenizer.json").write_text(Tokenizer.train(TEXTS, 300).text)
    return folder
