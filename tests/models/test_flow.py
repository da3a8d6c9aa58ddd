"""Flow matching: the straight line, the two clocks, and where integration lands."""

import pytest
import torch

from models import flow


def test_the_line_starts_at_noise_and_its_slope_is_the_target() -> None:
    data, noise = torch.randn(4, 3, 2, dtype=torch.float64), torch.randn(4, 3, 2, dtype=torch.float64)
    t = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
    x, dt = flow.interpolate(data, noise, t), 1e-3
    assert torch.equal(x[0], noise[0])
    torch.testing.assert_close(x[3], data[3] + flow.VILLA_X.sigma_min * noise[3])
    slope = (flow.interpolate(data, noise, t + dt) - x) / dt
    torch.testing.assert_close(slope, flow.velocity(data, noise))


def test_one_draw_drives_both_clocks_and_latents_are_never_less_noisy() -> None:
    u = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t_latent, t_robot = flow.times_from(u)
    assert (t_latent <= t_robot).all()
    torch.testing.assert_close(flow.latent_time(t_robot), t_latent)
    # 1 - t / 0.999 has the means of Beta(1.5, 1) and Beta(5, 1)
    assert float((1 - t_robot / flow.VILLA_X.t_max).mean()) == pytest.approx(1.5 / 2.5, abs=0.005)
    assert float((1 - t_latent / flow.VILLA_X.t_max).mean()) == pytest.approx(5 / 6, abs=0.005)


def test_drawn_times_follow_their_generator() -> None:
    a, b = (flow.sample_times(8, torch.device("cpu"), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    assert torch.equal(flow.latent_time(a[1]), a[0]) or torch.allclose(flow.latent_time(a[1]), a[0], atol=1e-6)


@pytest.mark.parametrize("num_steps", [1, 4, 10])
def test_the_exact_velocity_carries_both_streams_to_the_data(num_steps: int) -> None:
    data, noise = torch.randn(5, 3), torch.randn(5, 3)
    exact = flow.velocity(data, noise)
    for nodes in flow.time_grid(num_steps, torch.device("cpu")):
        x = noise
        for i in range(num_steps):
            x = x + exact * (nodes[i + 1] - nodes[i])
        torch.testing.assert_close(x, data, atol=0.01, rtol=0.0)


def test_zero_noise_is_repeatable_and_normal_noise_follows_its_generator() -> None:
    cpu = torch.device("cpu")
    assert not flow.initial_noise((2, 3), "zero", cpu, None).any()
    a, b = (flow.initial_noise((2, 3), "normal", cpu, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.any()
