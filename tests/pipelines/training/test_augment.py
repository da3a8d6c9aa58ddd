"""Crops and colours: alike within a clip, different between clips, and equal on any number of ranks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator

from dataengine.windows.window import WindowSpec, cut_window
from pipelines.training.act.config import TrainActConfig
from pipelines.training.augment import Augment, Changes, augment, change, draw, generator_of
from pipelines.training.lam.lam import TrainLamConfig
from tests.support.collators import act_collator, lam_collator
from tests.support.readers import MadeReader, make_episode
from tests.support.toy import losses, make_run

ALL = Augment(crop_area=(0.5, 0.9), crop_aspect=(0.75, 1.333), brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05)


def noise(b: int, t: int, side: int = 24) -> torch.Tensor:
    """Blotches of colour."""
    small = torch.rand(b, 3, 6, 6, generator=Generator().manual_seed(1)) * 160 + 48
    return (
        torch.nn.functional.interpolate(small, (side, side), mode="bicubic")
        .to(torch.uint8)[:, None]
        .repeat(1, t, 1, 1, 1)
    )


def vary(video: torch.Tensor, settings: Augment, seed: int = 0) -> torch.Tensor:
    return change(
        video, draw(settings, len(video), Generator().manual_seed(seed)), crops=settings.crops, colours=settings.colours
    )


def clips() -> tuple:
    reader = MadeReader([make_episode(row) for row in range(4)])
    collator = lam_collator(reader)
    spec = WindowSpec(num_frames=3, interval_s=0.3)
    return collator, [cut_window(reader, spec, row, row) for row in range(4)]


def test_all_frames_of_a_clip_vary_alike_and_clips_differ() -> None:
    varied = vary(noise(5, 3), ALL)
    assert varied.dtype == torch.uint8
    assert (varied == varied[:, :1]).all()
    same = noise(1, 1).repeat(5, 1, 1, 1, 1)
    assert len({one.numpy().tobytes() for one in vary(same, ALL)}) == 5


def test_off_is_off_and_a_seed_is_a_seed() -> None:
    collator, windows = clips()
    batch = collator.collate(windows)
    assert augment(batch, Augment(), Generator()) is batch
    first, again, other = (augment(batch, ALL, generator_of(3, step)).video for step in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not Augment().crops
    assert not Augment(crop_area=(0.9, 0.9)).colours


def test_a_crop_is_what_pillow_cuts() -> None:
    video = noise(1, 2, side=48)
    # Half of each side, its middle a quarter of the way from the centre to the right and to the top.
    crop = torch.tensor([[[0.5, 0.0, 0.25], [0.0, 0.5, -0.25]]])
    plain = Changes(crop, torch.eye(3)[None], torch.ones(1), torch.zeros(1))
    cropped = change(video, plain, crops=True, colours=False)[0, 1].permute(1, 2, 0).numpy()
    picture = Image.fromarray(video[0, 0].permute(1, 2, 0).numpy())
    expected = np.asarray(picture.resize((48, 48), Image.Resampling.BILINEAR, box=(18, 6, 42, 30)))
    assert np.abs(cropped.astype(int) - expected)[2:-2, 2:-2].max() <= 1


@pytest.mark.parametrize("area", [(0.3, 0.5), (0.9, 0.9)])
def test_crops_lie_inside_the_picture_and_have_the_stated_area(area: tuple[float, float]) -> None:
    crop = draw(Augment(crop_area=area, crop_aspect=(0.9, 1.1)), 1000, Generator().manual_seed(0)).crop
    width, height = crop[:, 0, 0], crop[:, 1, 1]
    low, high = area
    assert (width * height).min() >= low - 1e-4
    assert (width * height).max() <= high + 1e-4
    assert (crop[:, 0, 2].abs() + width).max() <= 1 + 1e-6
    assert (crop[:, 1, 2].abs() + height).max() <= 1 + 1e-6
    assert (crop[:, 0, 2].abs() + width).max() > 0.98


def test_each_colour_setting_moves_its_own_quantity_by_no_more_than_it_says() -> None:
    video = noise(64, 1)
    mean = video.float().mean((1, 3, 4))

    def moved(**settings: float) -> torch.Tensor:
        return vary(video, Augment(**settings)).float()

    brighter = moved(brightness=0.1).mean((1, 3, 4)) - mean
    assert 20 < brighter.abs().max() < 26
    contrast = moved(contrast=0.2).std((1, 3, 4)) / video.float().std((1, 3, 4))
    assert 0.78 < contrast.min() < 0.9 < 1.1 < contrast.max() < 1.22
    assert (moved(contrast=0.2).mean((1, 3, 4)) - mean).abs().max() < 1
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for settings in ({"hue": 0.05}, {"saturation": 0.3}):
        shift = (moved(**settings) - video) * luma
        assert shift.sum(2).abs().max() < 2.5
        assert (moved(**settings) - video).abs().max() > 4
    grey = torch.full((4, 1, 3, 8, 8), 90, dtype=torch.uint8)
    assert torch.equal(vary(grey, Augment(hue=0.5, saturation=1.0)), grey)


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_ranks_together_see_what_one_alone_would_see(num_ranks: int) -> None:
    collator, windows = clips()
    whole = augment(collator.collate(windows), ALL, generator_of(0, 5)).video.clone()
    share = 4 // num_ranks
    parts = [
        augment(collator.collate(windows[i : i + share]), ALL, generator_of(0, 5), i, 4).video
        for i in range(0, 4, share)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_a_policys_wrist_is_coloured_but_not_cropped_and_absent_ones_stay_black() -> None:
    reader = MadeReader([make_episode(0, cameras=("primary", "wrist")), make_episode(1)])
    spec = WindowSpec(interval_s=0.3, optional_slots=("wrist",), horizon=6, latent="lam", num_latents=2)
    made = act_collator(reader).collate([cut_window(reader, spec, row, 2) for row in (0, 1)])
    batch = replace(made, image=made.image.clone(), wrist=made.wrist.clone())
    varied = augment(batch, ALL, generator_of(0, 0))
    assert not torch.equal(varied.image, batch.image)
    assert not torch.equal(varied.wrist[0], batch.wrist[0])
    assert not varied.wrist[1].any()
    cropped = augment(batch, Augment(crop_area=(0.5, 0.5)), generator_of(0, 0))
    assert not torch.equal(cropped.image, batch.image)
    assert torch.equal(cropped.wrist, batch.wrist)


def test_a_run_that_varies_its_pictures_resumes_to_the_same_losses(tmp_path) -> None:
    varied = {"augment": ALL, "grad_accumulation_steps": 2}
    make_run(tmp_path / "whole", **varied).train()
    while not make_run(tmp_path / "parts", max_minutes=1e-9, **varied).train().finished:
        pass
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    make_run(tmp_path / "plain", grad_accumulation_steps=2).train()
    assert losses(tmp_path / "plain") != losses(tmp_path / "whole")


def test_presets_vary_pictures_as_villa_x_does_and_tiny_ones_do_not() -> None:
    def lam(preset: str, **settings: object) -> Augment:
        return TrainLamConfig(data="d", out="o", preset=preset, **settings).augment

    assert lam("tiny") == Augment()
    assert lam("paper").crop_area == (0.8, 1.0)
    assert lam("paper", augment={"hue": 0.0}) == lam("paper").model_copy(update={"hue": 0.0})
    act = TrainActConfig(data="d", out="o", preset="paper", vlm="random").augment
    assert not act.crops
    assert (act.brightness, act.hue) == (0.1, 0.05)


def test_impossible_crops_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"crop_area is \[0.9, 0.5\], expected shares above 0 up to 1, the least"):
        Augment(crop_area=(0.9, 0.5))
    with pytest.raises(ValueError, match="crop_aspect is"):
        Augment(crop_aspect=(0.0, 1.0))
