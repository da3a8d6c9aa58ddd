import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given
from hypothesis import strategies as st

from dataengine.formats.resize import resize
from models.lam import Lam
from pipelines.label.encode import CHUNK_FRAMES, Encoder, Wanted, cut_windows, pieces
from tests.support.shapes import lam_shape

TINY = {"encoder_depth": 1, "encoder_width": 32, "decoder_depth": 1, "decoder_width": 32, "resolution": 32}


def make_lam(num_frames):
    torch.manual_seed(0)
    lam = Lam(lam_shape("tiny", num_frames=num_frames, patch_size=8, **TINY)).eval()
    with torch.no_grad():
        # An untrained codebook is tiny: spread it out, so that frames fall on different codes.
        lam.vq.embedding.weight.normal_(generator=torch.Generator().manual_seed(1))
    return lam


class Jpegs:
    """A corpus as far as the encoder knows it."""

    def __init__(self, **episodes):
        self.episodes = episodes
        self.calls = 0

    def jpegs(self, slot, wanted):
        self.calls += 1
        return [self.episodes[episode_id][frame] for episode_id, frame in wanted]


def encode_pictures(pictures):
    return [simplejpeg.encode_jpeg(p, quality=95) for p in pictures]


def make_pictures(num_steps, seed, height=40, width=56):
    return np.random.default_rng(seed).integers(0, 256, (num_steps, height, width, 3), dtype=np.uint8)


def every_row(num_steps, stride, episode_id="a"):
    rows = np.arange(max(num_steps - stride, 0))
    return Wanted(episode_id=episode_id, num_steps=num_steps, stride=stride, rows=rows)


def clip_by_clip(lam, jpegs, stride):
    """What the labels are defined to be: `encode` of the clips p, p + K, p + 2K ..., each on its own."""
    side = lam.config.resolution
    frames = np.stack([resize(simplejpeg.decode_jpeg(j), side, side) for j in jpegs])
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    latent = np.zeros((len(jpegs), lam.config.num_slots, lam.config.latent_dim), dtype=np.float32)
    codes = np.full(latent.shape[:2], -1, dtype=np.int16)
    for phase in range(min(stride, len(jpegs))):
        clip = video[phase::stride]
        if len(clip) > 1:
            encoded = lam.encode(clip)
            rows = slice(phase, len(jpegs) - stride, stride)
            latent[rows], codes[rows] = encoded.quantized[0].numpy(), encoded.codes[0].numpy()
    return latent[: max(len(jpegs) - stride, 0)], codes[: max(len(jpegs) - stride, 0)]


@pytest.mark.parametrize("num_frames", [2, 3, 5])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_labels_are_what_encode_says_of_every_clip(num_frames, batch):
    lam = make_lam(num_frames)
    lengths = {"long": (41, 3), "short": (7, 4), "two": (2, 1), "still": (5, 5), "one": (1, 2), "even": (24, 1)}
    corpus = Jpegs(**{name: encode_pictures(make_pictures(n, i)) for i, (name, (n, _)) in enumerate(lengths.items())})
    encoder = Encoder(corpus, lam, slot="primary", batch=batch, threads=2)
    encoded = list(encoder.encode([every_row(n, stride, name) for name, (n, stride) in lengths.items()]))
    encoder.close()
    for (name, (_, stride)), one in zip(lengths.items(), encoded, strict=True):
        latent, codes = clip_by_clip(lam, corpus.episodes[name], stride)
        np.testing.assert_array_equal(one.codes, codes, err_msg=name)
        np.testing.assert_array_equal(one.latent, latent, err_msg=name)
        assert not one.unreadable.any()
    assert len({tuple(row) for one in encoded for row in one.codes}) > 5


@given(st.integers(2, 60), st.integers(1, 12), st.integers(2, 8), st.data())
def test_every_window_lies_in_its_clip_and_holds_its_pair(num_steps, stride, num_frames, data):
    every = np.arange(max(num_steps - stride, 0))
    rows = np.array([i for i in every if data.draw(st.booleans())], dtype=np.int64)
    windows = cut_windows(Wanted(episode_id="a", num_steps=num_steps, stride=stride, rows=rows), num_frames)
    assert windows.frames.shape[1] == num_frames
    np.testing.assert_array_equal(windows.needed[windows.local], windows.frames)
    for row, window, position in zip(rows, windows.window, windows.position, strict=True):
        frames = windows.frames[window]
        assert (frames[position], frames[position + 1]) == (row, row + stride)
        assert frames.max() < num_steps
        assert set(frames % stride) == {row % stride}
    if len(rows) == len(every):
        # No pair is encoded twice: a window more for every pair beyond a clip's first window.
        clips = [len(range(p, num_steps, stride)) for p in range(min(stride, num_steps))]
        assert len(windows.frames) == sum(max(n - num_frames, 0) + 1 for n in clips if n > 1)


def test_a_broken_picture_costs_only_the_latents_that_look_at_it():
    lam = make_lam(3)
    jpegs = encode_pictures(make_pictures(20, 0))
    early = Jpegs(a=[b"no jpeg" if i == 4 else jpeg for i, jpeg in enumerate(jpegs)])
    (latents,) = Encoder(early, lam, slot="primary", batch=8).encode([every_row(20, 2)])
    assert set(np.flatnonzero(latents.unreadable)) == {2, 4, 6}  # not 0, whose window ends in it
    (whole,) = Encoder(Jpegs(a=jpegs), lam, slot="primary", batch=8).encode([every_row(20, 2)])
    broken = Jpegs(a=[b"no jpeg" if i == 10 else jpeg for i, jpeg in enumerate(jpegs)])
    (latents,) = Encoder(broken, lam, slot="primary", batch=8).encode([every_row(20, 2)])
    assert set(np.flatnonzero(latents.unreadable)) == {8, 10, 12}  # 12 looks back at it
    assert (latents.codes[latents.unreadable] == -1).all()
    assert (latents.latent[latents.unreadable] == 0).all()
    np.testing.assert_array_equal(latents.codes[~latents.unreadable], whole.codes[~latents.unreadable])


def test_a_long_episode_in_pieces_gives_the_same():
    lam = make_lam(4)
    corpus = Jpegs(a=encode_pictures(make_pictures(90, 0)))
    encoder = Encoder(corpus, lam, slot="primary", batch=16)
    (whole,) = encoder.encode([every_row(90, 3)])
    parts = list(encoder.encode(pieces(every_row(90, 3), num_rows=13)))
    assert len(parts) == 7
    np.testing.assert_array_equal(np.concatenate([p.codes for p in parts]), whole.codes)


def test_frames_are_read_in_large_batches():
    lam = make_lam(2)
    small = encode_pictures(make_pictures(8, 0))
    corpus = Jpegs(**{f"e{i}": small for i in range(130)})
    encoder = Encoder(corpus, lam, slot="primary", batch=256)
    encoded = list(encoder.encode([every_row(8, 1, name) for name in corpus.episodes]))
    assert len(encoded) == 130
    assert corpus.calls == -(-130 * 8 // CHUNK_FRAMES)


def test_asking_for_nothing_gives_nothing():
    encoder = Encoder(Jpegs(), make_lam(2), slot="primary")
    assert list(encoder.encode([])) == []
