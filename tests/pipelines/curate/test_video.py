"""Clips: what a camera shows, checked by rules of the same form."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dataengine.curation.film import Film
from dataengine.curation.stages._neighbours import as_matrix
from dataengine.curation.stages.drop_blurred import DropBlurred
from dataengine.curation.stages.drop_broken_pictures import DropBrokenPictures
from dataengine.curation.stages.drop_duplicate_clips import DropDuplicateClips
from dataengine.curation.stages.drop_shot_cuts import DropShotCuts
from dataengine.curation.stages.drop_still_video import DropStillVideo
from tests.support.recordings import clip, pictures_of, resized, texture

HEALTHY = [clip(f"healthy {i}") for i in range(5)]


def verdict(stage, episode):
    numbers = stage.look(Film.of(episode))
    assert tuple(numbers) == stage.columns
    return stage.reject(numbers)


@pytest.mark.parametrize("stage", [DropStillVideo(), DropBlurred(), DropShotCuts()])
def test_healthy_clips_pass(stage):
    for episode in HEALTHY:
        assert verdict(stage, episode) is None


@pytest.mark.parametrize("stage", [DropStillVideo(), DropBlurred(), DropShotCuts()])
def test_a_clip_without_a_camera_or_of_one_frame_passes(stage):
    single = clip("one", pictures=pictures_of(HEALTHY[0])[:1])
    without = Film(0, lambda frames: [])
    for film in (Film.of(single), without):
        assert stage.reject(stage.look(film)) is None


def test_a_scene_in_which_only_the_light_changes_is_still():
    draw = np.random.default_rng(0)
    picture = pictures_of(HEALTHY[0])[0].astype(float)
    light = np.linspace(0, 25, 30)[:, None, None, None]
    frames = np.clip(picture + light + draw.normal(size=(30, *picture.shape)) * 3, 0, 255).astype(np.uint8)
    assert "the picture changes by" in verdict(DropStillVideo(), clip("light", pictures=frames))
    frames[15:, 20:34, 20:34] = 255 - frames[15:, 20:34, 20:34]
    assert verdict(DropStillVideo(), clip("thing", pictures=frames)) is None


@pytest.mark.parametrize(("radius", "kept"), [(0, True), (0.7, True), (5, False)])
def test_blur_is_found_whatever_is_shown(radius, kept):
    for episode in HEALTHY:
        frames = [Image.fromarray(p).filter(ImageFilter.GaussianBlur(radius)) for p in pictures_of(episode)]
        shown = clip("shown", pictures=np.stack([np.asarray(f) for f in frames]))
        assert (verdict(DropBlurred(), shown) is None) == kept


def test_a_few_smeared_frames_are_no_blurred_clip():
    frames = pictures_of(HEALTHY[1]).copy()
    for i in range(8):
        frames[i] = np.asarray(Image.fromarray(frames[i]).filter(ImageFilter.GaussianBlur(5)))
    assert verdict(DropBlurred(), clip("smeared", pictures=frames)) is None


def test_a_picture_of_nothing_is_not_called_blurred():
    plain = np.full((20, 64, 64, 3), 120, np.uint8)
    assert np.isnan(DropBlurred().look(Film.of(clip("plain", pictures=plain)))["blur"])


@pytest.mark.parametrize("at", [1, 5, 15, 29])
def test_a_cut_is_found_wherever_it_is(at):
    one, other = pictures_of(HEALTHY[0]), pictures_of(HEALTHY[3])
    film = clip("cut", pictures=np.concatenate([one[:at], other[at:]]))
    assert "a cut" in verdict(DropShotCuts(), film)


def test_two_cuts_close_together_do_not_hide_each_other():
    one, other = pictures_of(HEALTHY[0]), pictures_of(HEALTHY[3])
    film = clip("flash", pictures=np.concatenate([one[:14], other[14:17], one[17:]]))
    assert "a cut" in verdict(DropShotCuts(), film)


def test_another_exposure_and_a_swing_of_the_camera_are_no_cuts():
    frames = pictures_of(HEALTHY[2]).astype(int)
    frames[15:] = frames[15:] * 0.6
    assert verdict(DropShotCuts(), clip("exposure", pictures=frames.astype(np.uint8))) is None
    room = texture(3, 400).astype(np.uint8)
    offsets = np.concatenate([np.zeros(8), np.linspace(0, 330, 14), np.full(8, 330)]).astype(int)
    swing = np.stack([room[100:164, x : x + 64] for x in offsets])[..., None].repeat(3, axis=-1)
    assert verdict(DropShotCuts(), clip("swing", pictures=np.ascontiguousarray(swing))) is None


def scene_distance(a, b):
    import pyarrow as pa

    measures = [DropDuplicateClips().look(Film.of(x)) for x in (a, b)]
    one, other = as_matrix(pa.array([f["scene"] for f in measures], pa.list_(pa.int16()))) / 512
    shared = (measures[0]["scene_bands"] == measures[1]["scene_bands"])[1:].any()
    return float(np.sqrt(((one - other) ** 2).mean())), bool(shared)


def test_a_copy_of_other_size_codec_or_brightness_is_near_and_shares_a_band():
    for episode in HEALTHY:
        frames = pictures_of(episode)
        for name, copy in {
            "small": resized(frames, 40),
            "bright": np.clip(frames * 0.8 + 30, 0, 255).astype(np.uint8),
            "coarse": frames,
        }.items():
            distance, shared = scene_distance(episode, clip(name, pictures=copy, quality=40))
            assert distance < DropDuplicateClips().max_distance
            assert shared


def test_clips_before_one_background_are_far_apart():
    room = [clip(f"room {i}", background=5, shake=0.0) for i in range(6)]
    for i, one in enumerate(room):
        for other in room[:i]:
            assert scene_distance(one, other)[0] > 3 * DropDuplicateClips().max_distance


def test_a_clip_in_which_nothing_moves_has_no_signature():
    plain = clip("plain", pictures=np.full((20, 64, 64, 3), 120, np.uint8))
    assert DropDuplicateClips().look(Film.of(plain)) == {"scene": [], "scene_bands": [], "scene_content": []}


@pytest.mark.parametrize("frame", [0, 1, 17, 29])
@pytest.mark.parametrize("slot", ["primary", "wrist"])
def test_a_picture_that_does_not_decode_is_found_wherever_it_is(frame, slot):
    whole = HEALTHY[0]
    assert verdict(DropBrokenPictures(), whole) is None
    frames = whole.cameras["primary"]
    jpegs = list(frames.jpegs)
    jpegs[frame] = jpegs[frame][: jpegs[frame].index(b"\xff\xda") + 20] + b"\xff\xd9"
    broken = replace(whole, cameras={"primary": frames, slot: replace(frames, jpegs=jpegs)})
    reason = f"1 pictures do not decode, the first is frame {frame}; allowed 0"
    assert verdict(DropBrokenPictures(), broken) == reason
