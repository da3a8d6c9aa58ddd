"""Real-time chunking: the guidance is the paper's, with the network's Jacobian, and it makes chunks continue."""

import math

import pytest
import torch

from models import guidance
from models.act import Act
from models.act.realtime import Executing, sample_continuing
from models.batch import Observation
from tests.support.shapes import act_shape


def test_steps_that_are_executed_weigh_one_and_the_overlap_less_and_less():
    weights = guidance.weights(8, torch.tensor([2, 0, 3]), torch.tensor([5, 8, 3]))
    c = [(5 - i) / 4 for i in (2, 3, 4)]
    overlap = [one * (math.exp(one) - 1) / (math.e - 1) for one in c]
    torch.testing.assert_close(weights[0], torch.tensor([1, 1, *overlap, 0, 0, 0]))
    assert weights[2].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("t", "expected"), [(0.0, 5.0), (1.0, 5.0), (0.5, 2.0), (0.2, 0.68 / 0.16), (0.05, 5.0)])
def test_the_error_counts_as_published_and_no_more_than_beta(t, expected):
    assert guidance.strength(t) == pytest.approx(expected)


def test_corrections_go_back_through_the_networks_own_jacobian():
    """A linear denoiser of two streams, of which everything is known."""
    torch.manual_seed(0)
    h, a, z, t = 4, 2, 3, 0.4
    own, other = torch.randn(h * a, h * a), torch.randn(h * a, z)
    x, latent = torch.randn(1, h * a, requires_grad=True), torch.randn(1, z, requires_grad=True)
    clean = x + (1 - t) * (x @ own.T + latent @ other.T + 0.3)
    given, weight = torch.randn(1, h, a), torch.tensor([[1.0, 0.6, 0.1, 0.0]])
    of_x, of_latent = guidance.corrections(clean.view(1, h, a), (x, latent), given, weight, t)
    error = (weight[..., None] * (given - clean.view(1, h, a))).flatten(1).detach()
    count = (t**2 + (1 - t) ** 2) / (t * (1 - t))
    torch.testing.assert_close(of_x, count * error @ (torch.eye(h * a) + (1 - t) * own))
    torch.testing.assert_close(of_latent, count * error @ ((1 - t) * other))


def test_guided_samples_of_an_exact_gaussian_continue_and_stay_plausible():
    """Steps of a smooth Gaussian chunk, whose denoiser is linear and known: the next chunk begins as given."""
    torch.manual_seed(0)
    h, steps, n = 12, 20, 4000
    index = torch.arange(h).float()
    covariance = torch.exp(-((index[:, None] - index) ** 2) / 18.0) + 1e-3 * torch.eye(h)
    root = torch.linalg.cholesky(covariance)
    given = (torch.randn(n, h) @ root.T)[..., None]
    weight = guidance.weights(h, torch.tensor([4]), torch.tensor([8])).expand(n, h)

    def sampled(beta):
        x = torch.randn(n, h, 1)
        for i in range(steps):
            t = i / steps
            x = x.detach().requires_grad_()
            total = t * t * covariance + (1 - t) ** 2 * torch.eye(h)
            to_data = torch.linalg.solve(total, t * covariance)  # E[data | x] = x @ to_data
            data = (x[..., 0] @ to_data)[..., None]
            velocity = (data - x) / (1 - t)
            (back,) = guidance.corrections(x + (1 - t) * velocity, (x,), given, weight, t, beta)
            x = x + (velocity + (back if beta else 0)) / steps
        return x.detach()

    def off(x, part):
        return float((x - given)[:, part].square().mean().sqrt())

    free, guided = sampled(0.0), sampled(5.0)
    assert off(guided, slice(0, 4)) < 0.2 < 1.0 < off(free, slice(0, 4))
    jumps = [float((x[:, 4, 0] - given[:, 3, 0]).square().mean().sqrt()) for x in (given, guided, free)]
    assert jumps[1] < 1.5 * jumps[0]
    assert jumps[2] > 3 * jumps[0]
    assert float(guided[:, -2:].std()) < 1.6  # the free steps are no noise


def observation(b):
    g = torch.Generator().manual_seed(0)
    side = shape().vlm.vision.image_size
    length = shape().vlm.text_length
    return Observation(
        image=torch.randint(0, 256, (b, 3, side, side), dtype=torch.uint8, generator=g),
        wrist=torch.zeros(b, 3, side, side, dtype=torch.uint8),
        has_wrist=torch.zeros(b, dtype=torch.bool),
        token_ids=torch.randint(1, 200, (b, length), generator=g),
        token_mask=torch.ones(b, length, dtype=torch.bool),
        state=torch.randn(b, 7, generator=g),
        state_mask=torch.ones(b, 7, dtype=torch.bool),
        embodiment_id=torch.ones(b, dtype=torch.long),
        dataset_id=torch.ones(b, dtype=torch.long),
        steps_per_latent=torch.full((b,), 3.0),
        control_hz=torch.full((b,), 10.0),
    )


def shape():
    return act_shape("tiny", state_dims=(7, 7), action_dims=(7, 7), num_datasets=2, horizon=8)


def test_an_actor_without_anything_to_continue_samples_as_ever_and_else_bends_to_it():
    torch.manual_seed(0)
    act, seen = Act(shape()).eval(), observation(2)
    given = torch.rand(2, 8, 7) - 0.5
    latent, plain = act.sample(seen)
    for delay, length in ((0, 0), (3, 6)):
        executing = Executing(given, torch.tensor([length] * 2), torch.tensor([delay] * 2))
        planned, chunk = sample_continuing(act, seen, executing)
        if length == 0:
            torch.testing.assert_close((planned, chunk), (latent, plain))
        else:
            assert (chunk - given)[:, :3].abs().mean() < 0.3 * (plain - given)[:, :3].abs().mean()
            assert (planned - latent).abs().max() > 0  # the plan gives way, too
    assert all(p.grad is None for p in act.parameters())
