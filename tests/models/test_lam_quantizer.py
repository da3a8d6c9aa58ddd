"""The codebook: gradients through it, how it starts, how it stays in use, and that a resumed run goes on exactly."""

import pytest
import torch
import torch.nn.functional as F

from models.lam.vq import Quantizer, kmeans
from models.parts import Draws
from tests.support.shapes import lam_shape

NUM_STEPS = 100


def make_quantizer(**changes) -> Quantizer:
    torch.manual_seed(0)
    return Quantizer(lam_shape("tiny", **changes))


def clustered_tokens(num_clusters=32, b=64, seed=0) -> torch.Tensor:
    centres = 2 * torch.randn(num_clusters, 16, generator=torch.Generator().manual_seed(7))
    g = torch.Generator().manual_seed(seed)
    member = torch.randint(num_clusters, (b, 2, 4), generator=g)
    return centres[member] + 0.1 * torch.randn(b, 2, 4, 16, generator=g)


def test_codes_are_the_nearest_rows():
    vq, tokens = make_quantizer(), torch.randn(3, 2, 4, 16)
    expected = torch.cdist(tokens.flatten(0, 2), vq.embedding.weight).argmin(dim=1).view(3, 2, 4)
    assert torch.equal(vq(tokens).codes, expected)


def test_gradients_pass_straight_through_to_the_tokens():
    vq, tokens = make_quantizer(warmup_fraction=0.0), torch.randn(3, 2, 4, 16, requires_grad=True)
    quantized = vq(tokens)
    assert torch.allclose(quantized.latents, vq.lookup(quantized.codes), atol=1e-6)
    weight = torch.randn_like(tokens)
    (quantized.latents * weight).sum().backward()
    assert torch.equal(tokens.grad, weight)
    assert vq.embedding.weight.grad is None


def test_the_loss_pulls_tokens_a_quarter_as_hard_as_codes():
    vq, tokens = make_quantizer(warmup_fraction=0.0), torch.randn(3, 2, 4, 16, requires_grad=True)
    quantized = vq(tokens)
    quantized.loss.backward()
    error = F.mse_loss(vq.lookup(quantized.codes), tokens)
    assert quantized.loss.item() == pytest.approx(1.25 * error.item(), rel=1e-5)
    pull = torch.zeros_like(vq.embedding.weight).index_add(0, quantized.codes.flatten(), tokens.grad.flatten(0, 2))
    assert torch.allclose(vq.embedding.weight.grad, -4 * pull, atol=1e-6)


def test_latents_are_continuous_until_the_warm_up_is_over():
    vq, tokens = make_quantizer(warmup_fraction=0.3), clustered_tokens()
    moved = []
    for step in range(NUM_STEPS):
        moved.append(vq.begin_step(step, NUM_STEPS))
        quantized = vq(tokens)
        assert torch.equal(quantized.latents, tokens) == (step < 30)
        assert (quantized.loss == 0) == (step < 30)
    assert moved.index(True) == 30


def test_kmeans_starts_a_codebook_that_is_all_in_use():
    vq = make_quantizer(warmup_fraction=0.3)
    for step in range(31):
        vq.begin_step(step, NUM_STEPS)
        vq(clustered_tokens(seed=step))
    fresh = vq(clustered_tokens(seed=99))
    assert fresh.codes.unique().numel() >= 28
    assert F.mse_loss(fresh.latents, clustered_tokens(seed=99)) < 0.5


def test_kmeans_finds_clusters_and_survives_fewer_points_than_centres():
    g = torch.Generator().manual_seed(0)
    rows = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]).repeat(50, 1)
    assert {tuple(row) for row in kmeans(rows, 3, g).tolist()} == {(0.0, 0.0), (10.0, 0.0), (0.0, 10.0)}
    assert kmeans(rows[:2], 4, g).isfinite().all()


@pytest.mark.parametrize("revive_below", [0.05, 0.0])
def test_dead_codes_are_moved_onto_recent_tokens(revive_below):
    vq = make_quantizer(warmup_fraction=0.0, revive_below=revive_below)
    with torch.no_grad():
        vq.embedding.weight[8:] += 100.0  # far from every token
    for step in range(NUM_STEPS):
        vq.begin_step(step, NUM_STEPS)
        vq(clustered_tokens(seed=step))
    used = vq(clustered_tokens(seed=999)).codes.unique().numel()
    assert used >= 20 if revive_below else used <= 8


def test_a_revived_code_gets_time_to_prove_itself():
    vq = make_quantizer(warmup_fraction=0.0)
    vq(clustered_tokens())
    vq.end_step()
    vq.usage[:, 3] = 0.0
    codebook = vq.embedding.weight.clone()
    assert vq.begin_step(10, NUM_STEPS)
    assert (vq.embedding.weight != codebook).any(dim=1).nonzero().tolist() == [[3]]
    assert not vq.begin_step(20, NUM_STEPS)


def test_memory_is_a_ring_that_spans_batches():
    vq = make_quantizer()
    for value in range(40):
        vq(torch.full((64, 2, 4, 16), float(value)))
        vq.end_step()
    assert vq.recent[:, 0].unique().tolist() == [float(v) for v in range(24, 40)]


@pytest.mark.parametrize(("num_clips", "shares"), [(64, (32, 32)), (64, (1, 15, 48)), (150, (37, 50, 63))])
def test_what_a_step_shows_does_not_depend_on_its_parts(num_clips, shares):
    """Nor on their order: parts of other ranks come at any time."""
    tokens = torch.randn(num_clips, 3, 4, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(num_clips)[:, None] % 4 > torch.arange(3)
    whole, parted = make_quantizer(), make_quantizer()
    starts = [sum(shares[:i]) for i in range(len(shares))]
    for _ in range(3):
        whole(tokens, mask)
        whole.end_step()
        for first, share in reversed(list(zip(starts, shares, strict=True))):
            rows = slice(first, first + share)
            parted(tokens[rows], mask[rows], random=Draws(torch.Generator(), first, share, num_clips))
        parted.end_step()
    for name, value in whole.named_buffers():
        assert torch.equal(value, parted.get_buffer(name)), name
    assert whole.num_seen == 3 * min(256, num_clips * 12 // -(-num_clips * 12 // 256))


def test_evaluation_leaves_the_schedule_alone():
    vq = make_quantizer().eval()
    before = {name: value.clone() for name, value in vq.state_dict().items()}
    vq(clustered_tokens())
    assert all(torch.equal(value, before[name]) for name, value in vq.state_dict().items())


@pytest.mark.parametrize("stop", [10, 29, 30, 31, 57])
def test_a_resumed_run_continues_exactly(stop):
    def train(vq, steps):
        optimizer = torch.optim.SGD(vq.parameters(), lr=0.1)
        for step in steps:
            vq.begin_step(step, NUM_STEPS)
            optimizer.zero_grad()
            vq(clustered_tokens(num_clusters=6 if step < 40 else 32, seed=step)).loss.backward()
            optimizer.step()
            vq.end_step()
        return vq.state_dict()

    never_stopped = train(make_quantizer(), range(NUM_STEPS))
    halfway = train(make_quantizer(), range(stop))
    resumed = make_quantizer()
    resumed.load_state_dict({name: value.clone() for name, value in halfway.items()})
    resumed = train(resumed, range(stop, NUM_STEPS))
    assert all(torch.equal(value, resumed[name]) for name, value in never_stopped.items())
