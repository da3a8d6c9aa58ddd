"""Further cameras: each has tokens of its own, and a policy does without those that are missing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.act import Act
from models.batch import ActBatch
from tests.support.small_act import make_act, make_batch, same, terms

BOTH = ("secondary", "wrist_2")


def batch_of(views: Tensor | None = None) -> ActBatch:
    """Two further cameras; the second row lacks the second of them."""
    if views is None:
        views = torch.randint(0, 256, (4, 2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    there = torch.ones(4, 2, dtype=torch.bool)
    there[1, 1] = False
    return replace(make_batch(), views=views, has_views=there)


def seeing(**changes: object) -> Act:
    wrist = make_act().config.wrist
    assert wrist is not None
    return make_act(more_cameras=BOTH, wrist=wrist.model_copy(update={"view_dropout": 0.0}), **changes).eval()


@pytest.mark.parametrize("camera", [0, 1])
def test_each_camera_counts_where_it_is_there_and_nowhere_else(camera: int) -> None:
    act, batch = seeing(), batch_of()
    assert batch.views is not None
    for row, counts in ((0, True), (1, camera == 0)):
        other = batch.views.clone()
        other[row, camera] = 255
        assert same(terms(act, batch), terms(act, replace(batch, views=other))) != counts
    actions = act.sample(batch)[1]
    other = batch.views.clone()
    other[0, camera] = 255
    changed = act.sample(replace(batch, views=other))[1]
    assert not torch.allclose(actions[0], changed[0])
    assert torch.equal(actions[2:], changed[2:])


def test_cameras_do_not_share_weights() -> None:
    act, batch = seeing(), batch_of()
    assert batch.views is not None
    assert not same(terms(act, batch), terms(act, replace(batch, views=batch.views.flip(1))))


def test_a_policy_of_more_cameras_acts_without_any() -> None:
    act = seeing()
    assert torch.isfinite(act.sample(make_batch())[1]).all()
    nothing = replace(batch_of(), has_views=torch.zeros(4, 2, dtype=torch.bool))
    torch.testing.assert_close(act.sample(make_batch())[1], act.sample(nothing)[1])


def test_the_plan_never_depends_on_further_cameras() -> None:
    act, batch = seeing(), batch_of()
    assert batch.views is not None
    assert torch.equal(act.plan(batch), act.plan(replace(batch, views=255 - batch.views)))


def test_views_are_dropped_in_training_each_by_itself() -> None:
    act, batch = make_act(more_cameras=BOTH), batch_of()
    generator = torch.Generator().manual_seed(0)
    kept = torch.stack([act._drop_views(batch, generator) for _ in range(200)])  # type: ignore[misc]
    assert 0.4 < float(kept[:, 0].float().mean()) < 0.6
    assert (kept[:, 0, 0] != kept[:, 0, 1]).any()
    assert not kept[:, 1, 1].any()


def test_a_batch_without_views_moves_no_running_statistics_and_every_weight_has_a_gradient() -> None:
    act = make_act(more_cameras=BOTH)
    before = {name: b.clone() for name, b in act.named_buffers() if ".views." in name}
    batch = replace(batch_of(), has_views=torch.zeros(4, 2, dtype=torch.bool))
    act.loss(batch, torch.Generator().manual_seed(0))[0].backward()
    assert before
    assert all(torch.equal(b, before[name]) for name, b in act.named_buffers() if name in before)
    assert all(p.grad is not None for name, p in act.named_parameters() if ".views." in name)


def test_cameras_need_the_shape_of_an_encoder_and_different_names() -> None:
    with pytest.raises(ValueError, match=r"more_cameras needs the shape of an encoder; give it one with model\.wrist"):
        make_act(more_cameras=BOTH, wrist=None)
    with pytest.raises(ValueError, match="more_cameras names one twice"):
        make_act(more_cameras=("wrist_2", "wrist_2"))
