"""Frames at rest: passed through, scaled, converted, or refused."""

import io

import av
import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import Interpolation
from PIL import Image

from dataengine.errors import RecordError
from dataengine.formats import jpeg


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 40)], axis=-1).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_jpeg_that_fits_keeps_its_bytes() -> None:
    data = simplejpeg.encode_jpeg(picture(), 71, "RGB", "444")
    grey = simplejpeg.encode_jpeg(np.ascontiguousarray(picture()[..., :1]), 90, "GRAY", "Gray")
    for one in (data, data + b"\0" * 10, grey):
        frames = jpeg.fit([one, one], 64)
        assert frames.jpegs == [one, one]
        assert (frames.height, frames.width, frames.native_height, frames.native_width) == (48, 64, 48, 64)


def test_what_is_larger_becomes_a_square() -> None:
    frames = jpeg.fit([jpeg.encode(picture(120, 160))], 64)
    assert (frames.height, frames.width, frames.native_height, frames.native_width) == (64, 64, 120, 160)
    stored = simplejpeg.decode_jpeg(frames.jpegs[0]).astype(int)
    assert np.abs(stored - picture(64, 64)).mean() < 3


def test_a_picture_is_scaled_alike_whatever_was_scaled_before_it() -> None:
    pictures = [picture(120, 160), picture(200, 90), picture(120, 160)[::-1], picture(70, 300)]
    apart = []
    for image in pictures:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        apart.append(frame.reformat(64, 64, format="rgb24", interpolation=Interpolation.AREA).to_ndarray())
    for i in (0, 1, 2, 3, 1, 0, 2):
        assert np.array_equal(jpeg.scale(pictures[i], 64), apart[i])


def test_a_png_becomes_a_jpeg_of_the_same_picture_whatever_was_declared() -> None:
    (data,) = jpeg.fit([png(picture())], 64).jpegs
    assert simplejpeg.decode_jpeg_header(data) == (48, 64, "YCbCr", "420")
    assert np.abs(simplejpeg.decode_jpeg(data).astype(int) - picture()).mean() < 3


def test_swapped_colours_are_put_right() -> None:
    (data,) = jpeg.fit([jpeg.encode(picture()[..., ::-1])], 64, bgr=True).jpegs
    assert np.abs(simplejpeg.decode_jpeg(data).astype(int) - picture()).mean() < 4


def test_cmyk_is_turned_into_colours_that_any_decoder_reads() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).convert("CMYK").save(buffer, "JPEG", quality=95)
    (data,) = jpeg.fit([buffer.getvalue()], 64).jpegs
    assert np.abs(simplejpeg.decode_jpeg(data).astype(int) - picture()).mean() < 6


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-200], "truncated JPEG: the end mark is missing"),
        (lambda data: b"", "not an image: starts with nothing"),
        (lambda data: b"hello world", "not an image: starts with 68656c6c6f20776f"),
        (lambda data: data[:2] + b"\0" * 400 + data[-2:], ""),
        (lambda data: png(picture())[:100], ""),
    ],
)
def test_a_damaged_image_is_named_by_its_frame(damage: object, reason: str) -> None:
    good = jpeg.encode(picture())
    with pytest.raises(RecordError, match=r"frame 1 \(\d+ bytes\): ") as error:
        jpeg.fit([good, damage(good)], 64)  # type: ignore[operator]
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_frames_of_one_camera_have_one_size() -> None:
    with pytest.raises(RecordError, match="frame 1 is 20x30, expected 48x64 as in frame 0"):
        jpeg.fit([jpeg.encode(picture()), jpeg.encode(picture(20, 30))], 64)


def test_headers_are_read_as_if_each_were_the_first() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", progressive=True, optimize=True, comment=b"\xff\xc0" * 20)
    plain, other = jpeg.encode(picture()), jpeg.encode(picture(48, 72))
    grey = simplejpeg.encode_jpeg(np.ascontiguousarray(picture()[..., :1]), 92, "GRAY", "Gray")
    size = plain.index((48).to_bytes(2, "big") + (64).to_bytes(2, "big"))
    taller = plain[:size] + (50).to_bytes(2, "big") + plain[size + 2 :]
    filled = plain[:2] + b"\xff\xff" + plain[2:]
    refilled = filled.replace(plain[2 : size + 4], taller[2 : size + 4])
    jpegs = [plain, plain, jpeg.encode(picture()[::-1]), other, taller, filled, refilled, buffer.getvalue(), grey]
    headers = jpeg.Headers()
    for data in jpegs + jpegs[::-1]:
        assert headers.read(data) == simplejpeg.decode_jpeg_header(data)[:3]
    assert len({headers.read(data) for data in jpegs}) == 4
    for cut in (3, size, len(plain) // 4):
        with pytest.raises(ValueError):
            headers.read(plain[:2] + b"\0" * cut)
