"""How a policy is evaluated."""

import torch

from dataengine.windows.window import WindowSpec
from models.act import Act
from pipelines.training.act.scores import evaluate
from tests.support.collators import act_collator, mixed_reader
from tests.support.readers import D, K
from tests.support.shapes import act_shape

SPEC = WindowSpec(interval_s=0.3, horizon=8, latent="lam", num_latents=2)


def test_steps_beyond_an_episodes_end_never_count_in_the_score() -> None:
    reader = mixed_reader()
    torch.manual_seed(0)
    act = Act(
        act_shape("tiny", state_dims=[7] * 4, action_dims=[7] * 4, num_datasets=4, codes_per_latent=K, latent_dim=D)
    )
    scores = [
        evaluate(
            act,
            reader,
            act_collator(reader, padded_actions=padded, horizon=8, use_wrist=False, state_dim=7, action_dim=7),
            SPEC,
            reader.episodes[3:],  # five steps, so that most of a chunk is beyond the end
            8,
        )
        for padded in ("repeat", "rest", "skip")
    ]
    assert scores[0].embodiments[0].windows == 5
    assert scores[0] == scores[1] == scores[2]
