"""Frames at rest: passed through, scaled, converted, or refused."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from dataengine.errors import NoCameraError, RecordError
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


def claiming(data: bytes, height: int, width: int) -> bytes:
    """Write another size into the header of a JPEG."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def blank_png(height: int, width: int) -> bytes:
    """A PNG of one colour, some kilobytes whatever its size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(b"\0" * (1 + width * 3)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_size_that_no_camera_has_is_refused_before_a_picture_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    monkeypatch.setattr(Image.Image, "convert", None)
    for data in (claiming(jpeg.encode(picture()), 65500, 65500), blank_png(11_000, 4_000)):
        with pytest.raises(ValueError, match=r"claims to be \d+x\d+, more than any camera"):
            jpeg.decode(data)
        with pytest.raises(RecordError, match=r"frame 0 \(\d+ bytes\): claims to be"):
            jpeg.fit([data], 64)
        assert not jpeg.is_black(data)


@pytest.mark.parametrize("kind", ["EPS", "TIFF", "ICO", "TGA", "BMP", "GIF", "WEBP"])
def test_nothing_but_jpeg_and_png_is_opened(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "gs"
    run.write_text(f"#!/bin/sh\ntouch {tmp_path}/was_run\n")
    run.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, kind)
    with pytest.raises(RecordError, match=r"frame 0 .* not an image: starts with .*, expected JPEG or PNG"):
        jpeg.fit([buffer.getvalue()], 64)
    assert not (tmp_path / "was_run").exists()


def test_depth_is_no_camera_and_grey_is() -> None:
    depth = np.tile(np.linspace(400, 3000, 64).astype(np.uint16), (48, 1))
    with pytest.raises(NoCameraError, match="frame 0 is one channel of more than 8 bits"):
        jpeg.fit([png(depth)], 64)
    assert not jpeg.is_black(png(np.zeros_like(depth)))
    grey = picture()[..., 0]
    (data,) = jpeg.fit([png(grey)], 64).jpegs
    assert np.abs(simplejpeg.decode_jpeg(data).astype(int) - grey[..., None]).mean() < 3


def test_a_sector_that_is_missing_in_a_picture_that_passes_through_is_found(rng: np.random.Generator) -> None:
    noise = jpeg.encode(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8))
    for hole in (b"\0", b"\xff"):
        for at in range(1500, 1500 + 64, 7):
            with pytest.raises(RecordError, match=r"frame 1 \(\d+ bytes\): "):
                jpeg.fit([noise, noise[:at] + hole * 512 + noise[at + 512 :]], 128)


def test_a_plain_picture_may_hold_long_blanks() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (640, 640)).save(buffer, "JPEG", optimize=True, comment=b"\0" * 600)
    data = buffer.getvalue()
    assert b"\0" * 512 in data
    assert jpeg.fit([data], 640).jpegs == [data]


@pytest.mark.parametrize("error", [IndexError("x"), struct.error("y"), KeyError("z"), MemoryError()])
def test_whatever_pil_raises_is_an_error_of_the_record(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*argv: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(RecordError, match=r"frame 0 \(\d+ bytes\): "):
        jpeg.fit([png(picture())], 64)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
