import torch

from models.probe import Probe, fit_probe


def make(seed):
    return torch.Generator().manual_seed(seed)


def test_it_reads_what_is_there():
    x = torch.randn(600, 8, generator=make(0))
    y = torch.stack([x[:, 0].tanh(), x[:, 1] * 0.3 - x[:, 2] * 0.2], dim=1)
    probe = fit_probe(x[:500], y[:500], make(1), epochs=40)
    error = (probe(x[500:]) - y[500:]).abs().mean()
    trivial = (y[:500].median(dim=0).values - y[500:]).abs().mean()
    assert error < 0.25 * trivial


def test_noise_teaches_it_no_more_than_the_median():
    x, y = torch.randn(900, 8, generator=make(0)), torch.randn(900, 3, generator=make(2))
    probe = fit_probe(x[:600], y[:600], make(1), epochs=3)
    error = (probe(x[600:]) - y[600:]).abs().mean()
    trivial = (y[:600].median(dim=0).values - y[600:]).abs().mean()
    assert error > 0.95 * trivial


def test_before_the_first_epoch_it_says_the_median():
    x, y = torch.randn(101, 4, generator=make(0)), torch.randn(101, 3, generator=make(1))
    probe = fit_probe(x, y, make(2), epochs=0)
    torch.testing.assert_close(probe(x), y.median(dim=0).values.expand(101, 3))


def test_the_same_seed_gives_the_same_probe_and_another_seed_another():
    x, y = torch.randn(200, 4, generator=make(0)), torch.randn(200, 2, generator=make(1))
    one, again, other = (fit_probe(x, y, make(s), epochs=2)(x) for s in (5, 5, 6))
    torch.testing.assert_close(one, again, rtol=0, atol=0)
    assert not torch.equal(one, other)


def test_inputs_that_never_change_do_no_harm():
    x, y = torch.full((50, 3), 7.0), torch.randn(50, 2, generator=make(1))
    assert fit_probe(x, y, make(2), epochs=2)(x).isfinite().all()


def test_it_has_three_layers():
    assert sum(p.dim() == 2 for p in Probe(64, 10).parameters()) == 3
