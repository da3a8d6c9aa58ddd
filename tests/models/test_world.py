import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from models.batch import WorldBatch
from models.world import World, WorldConfig
from pipelines.training.world.metrics import edge_distance, squared_error, ssim
from tests.support.shapes import world_shape

K, D, SIDE = 2, 4, 16


def make_world(**changes) -> World:
    torch.manual_seed(0)
    plain = {"resolution": SIDE, "patch_size": 4, "width": 32, "depth": 2, "heads": 2, "num_slots": K, "latent_dim": D}
    world = World(WorldConfig(**(plain | {"context": 2, "rollout": 3, "rollout_growth": 0.0} | changes)))
    with torch.no_grad():  # an untrained head predicts no change
        world.head.weight.normal_(std=0.05)
    return world


def make_batch(b=4, t=5, seed=0, side=SIDE) -> WorldBatch:
    """A bright bar that the latent action moves to the left or to the right."""
    draw = torch.Generator().manual_seed(seed)
    way = torch.randint(0, 2, (b, t - 1), generator=draw) * 2 - 1
    centre = torch.cat([torch.full((b, 1), side // 2), side // 2 + 2 * way.cumsum(1)], dim=1) % side
    video = torch.full((b, t, 3, side, side), 50, dtype=torch.uint8)
    columns = torch.arange(side)
    near = (columns - centre[..., None]).abs() < 2
    video = torch.where(near[:, :, None, None, :], torch.tensor(200, dtype=torch.uint8), video)
    latent = way[..., None, None].float().expand(b, t - 1, K, D).contiguous()
    return WorldBatch(video, torch.ones(b, t, dtype=torch.bool), latent, torch.ones(b, t - 1, dtype=torch.bool))


def test_a_rollout_of_one_step_is_the_prediction_and_a_longer_one_begins_with_it() -> None:
    world, batch = make_world().eval(), make_batch()
    history = world.prepare(batch.video[:, :2])
    with torch.no_grad():
        one = world(history, batch.latent[:, 1])
        torch.testing.assert_close(world.roll_out(history, batch.latent[:, 1:2])[:, 0], one)
        longer = world.roll_out(history, batch.latent[:, 1:4])
        torch.testing.assert_close(longer[:, 0], one)
        # The second step reads the first one's frame.
        second = world(torch.stack([history[:, 1], one.clamp(-1, 1)], dim=1), batch.latent[:, 2])
    torch.testing.assert_close(longer[:, 1], second)
    assert not torch.allclose(longer[:, 1], one)


def test_the_loss_of_one_step_is_the_error_of_the_prediction() -> None:
    world, batch = make_world(rollout=1).eval(), make_batch()
    frames = world.prepare(batch.video)
    with torch.no_grad():
        loss, figures = world.loss(batch)
        predicted = world(frames[:, :2], batch.latent[:, 1])
    torch.testing.assert_close(loss, (predicted - frames[:, 2]).square().mean())
    copied = (frames[:, 1] - frames[:, 2]).square().mean()
    torch.testing.assert_close(figures["over_copy_first"], loss / copied)


@pytest.mark.parametrize("training", [False, True])
def test_what_is_masked_never_changes_the_loss(training: bool) -> None:
    world, batch = make_world().train(training), make_batch()
    batch.frame_mask[0, 3:] = False
    batch.latent_mask[0, 2:] = False
    batch.latent_mask[1, 2] = False  # unreadable in the middle: what follows builds on a frame that nobody knows

    def loss() -> torch.Tensor:
        return world.loss(batch, torch.Generator().manual_seed(3))[0]

    before = loss()
    batch.video[0, 3:] = 255 - batch.video[0, 3:]
    batch.latent[0, 2:] += 5
    batch.latent[1, 2] -= 5
    batch.video[1, 3:] = 7
    torch.testing.assert_close(loss(), before)
    batch.video[0, 1] = 7
    assert loss() != before


def test_a_batch_of_which_nothing_counts_costs_nothing_and_breaks_nothing() -> None:
    world, batch = make_world(), make_batch()
    batch.latent_mask[:] = False
    loss, _ = world.loss(batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert loss == 0
    assert all(torch.isfinite(p.grad).all() for p in world.parameters() if p.grad is not None)


def test_an_untrained_model_repeats_the_frame() -> None:
    torch.manual_seed(0)
    world = World(world_shape("tiny"))
    video = torch.randint(0, 256, (1, 1, 3, 64, 64), dtype=torch.uint8)
    predicted = world.render(video, torch.randn(1, 3, 4, 32))
    assert torch.equal(predicted, video.expand(-1, 3, -1, -1, -1))


def test_one_picture_is_context_enough_and_older_ones_than_the_context_are_not_read() -> None:
    world, batch = make_world().eval(), make_batch()
    alone = world.render(batch.video[:, :1], batch.latent)
    assert torch.equal(alone, world.render(batch.video[:, [0, 0]], batch.latent))
    assert torch.equal(world.render(batch.video, batch.latent), world.render(batch.video[:, -2:], batch.latent))


def test_rollouts_grow_with_the_step_alone() -> None:
    world = make_world(rollout=4, rollout_growth=0.5)
    lengths = []
    for step in range(12):
        world.begin_step(step, 12)
        lengths.append(world.num_steps)
    assert lengths == [1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4]


def test_one_batch_is_learnt_by_heart_and_by_its_latents() -> None:
    world, batch = make_world(rollout=2), make_batch(b=8)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(world.parameters(), lr=3e-3)
    for step in range(250):
        loss, _ = world.loss(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    world.eval()
    _, figures = world.loss(batch)
    assert figures["over_copy_last"] < 0.02
    other = WorldBatch(batch.video, batch.frame_mask, -batch.latent, batch.latent_mask)
    assert world.loss(other)[0] > 20 * world.loss(batch)[0]


def test_bfloat16_moves_the_loss_by_little_and_frames_stay_whole() -> None:
    world, batch = make_world(), make_batch()
    exact, _ = world.loss(batch, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = world.loss(batch, torch.Generator().manual_seed(0))
    # What does not change must not be rounded to 8 bits on its way through the rollout.
    torch.nn.init.zeros_(world.head.weight)
    with torch.autocast("cpu", torch.bfloat16):
        still = world.roll_out(world.prepare(batch.video[:, :2]), batch.latent[:, :3])
    assert rough.dtype == still.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=2e-2, atol=0)
    assert torch.equal(still[:, -1], world.prepare(batch.video[:, 1]))


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    one = np.clip(np.cumsum(draw.normal(size=(2, 3, 24, 31)), axis=-1) / 12 + 0.5, 0, 1)
    return one, np.clip(one + draw.normal(size=one.shape) * 0.1, 0, 1)


def test_ssim_is_what_scipy_computes_from_its_definition() -> None:
    one, other = pictures()
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(x, window, axis=-1), window, axis=-2)[..., 5:-5, 5:-5]

    m1, m2 = blur(one), blur(other)
    v1, v2, both = blur(one**2) - m1**2, blur(other**2) - m2**2, blur(one * other) - m1 * m2
    c1, c2 = 0.01**2, 0.03**2
    wanted = (2 * m1 * m2 + c1) * (2 * both + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2))
    similarity = ssim(torch.from_numpy(one), torch.from_numpy(other))
    np.testing.assert_allclose(similarity, wanted.mean(axis=(1, 2, 3)), atol=1e-6)


def test_ssim_of_two_flat_pictures_has_a_closed_form() -> None:
    one, other = torch.full((1, 3, 16, 16), 0.25).double(), torch.full((1, 3, 16, 16), 0.75).double()
    wanted = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(one, other).item() == pytest.approx(wanted, abs=1e-5)


def test_equal_pictures_are_equal_and_blur_costs_edges() -> None:
    one = torch.from_numpy(pictures()[0])
    assert ssim(one, one).tolist() == pytest.approx([1, 1])
    assert edge_distance(one, one).tolist() == pytest.approx([0, 0], abs=1e-9)
    assert squared_error(one, one).tolist() == [0, 0]
    slightly, much = (torch.nn.functional.avg_pool2d(one, n, 1, n // 2) for n in (3, 7))
    assert (edge_distance(one, slightly) > 0).all()
    assert (edge_distance(one, much) > edge_distance(one, slightly)).all()
    # Brightness is no edge.
    assert (edge_distance(one, one + 0.2) < 1e-9).all()


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="resolution 65 is no multiple of patch_size 8"):
        world_shape("tiny", resolution=65)
    world = make_world(rollout=3)
    with pytest.raises(ValueError, match="clips of 3 frames are too short for rollouts of 3 steps"):
        world.loss(make_batch(t=3))
