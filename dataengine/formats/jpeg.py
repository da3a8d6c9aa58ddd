"""Frames at rest are JPEG: made once, passed through where they already fit.

A JPEG within `frame_size` keeps its bytes. Anything larger is scaled once to `frame_size` square (`resize.py`, which
also scales frames of videos). Whatever has to be encoded gets quality 92 and 4:2:0.

Publishers ship JPEG and PNG, and nothing else is opened: other decoders of PIL run programs, or were never meant for
bytes of strangers. What passes through is not decoded, which would cost five times what all the rest of an ingest
does: its header, its end mark and missing sectors are looked at (`villa corpus verify --deep` decodes every picture).
"""

import io
from collections.abc import Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dataengine.episode import CameraFrames
from dataengine.errors import NoCameraError, RecordError
from dataengine.formats import lfs
from dataengine.formats.resize import at_rest
from dataengine.framing import Fit, Framing

QUALITY = 92
SUBSAMPLING = "420"
BLACK = 8
"""Levels below this are black; JPEG leaves a little noise."""
MAX_PIXELS = 2**25
"""The largest camera that anybody records robots or hands with has 8K, 33 million; a header that claims more would ask
for gigabytes."""
FORMATS = ("JPEG", "PNG")
DEEP = ("I", "F")
"""How names of PIL's modes begin that hold one channel of 16 or 32 bits."""
SECTOR = 512
LOOK_EVERY = SECTOR // 8
BLANKS = (b"\0" * 7, b"\xff" * 7)
"""What one byte in LOOK_EVERY shows where a disk or a download left out a sector; an encoder writes the like for plain
surfaces only."""
DAMAGE = (ValueError, MemoryError)
"""What `decode` raises on damaged images."""
START, END = b"\xff\xd8", b"\xff\xd9"
SCAN = 0xDA
"""Marker of the last segment of a header."""
SEGMENTS = frozenset([*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE])
"""Markers that a length follows."""
PLAIN_COLOURS = ("YCbCr", "Gray", "RGB")
"""What any decoder turns into RGB; CMYK is not among them."""


class Headers:
    """Reads the headers of one camera's JPEGs; where one begins with the very bytes of the last header, it is that."""

    def __init__(self) -> None:
        self._last: tuple[bytes, tuple[int, int, str]] | None = None

    def read(self, data: bytes) -> tuple[int, int, str]:
        """Return height, width and colours; raise ValueError where the header is damaged."""
        if self._last is not None and data.startswith(self._last[0]):
            return self._last[1]
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        end = _end_of_header(data)
        self._last = (data[:end], (height, width, colours)) if end else None
        return height, width, colours


def _end_of_header(data: bytes) -> int:
    """Find where the pixels of a JPEG start: behind the segments that begin with ff, a marker and a length.

    Decoders look no further for the header. Return 0 where the segments are not plainly one behind another.
    """
    at = len(START)
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker = data[at + 1]
        if marker not in SEGMENTS:
            return 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SCAN:
            return at if at <= len(data) else 0
    return 0


def encode(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGB image (height, width, 3)."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), QUALITY, "RGB", SUBSAMPLING)


def scale(image: NDArray[np.uint8], frame_size: int) -> NDArray[np.uint8]:
    """Former name of `at_rest(image, Framing(frame_size))`, for sources of one's own; goes with the next version."""
    return at_rest(image, Framing(frame_size))


def fit(images: Sequence[bytes], frame_size: int, *, how: Fit = "squash", bgr: bool = False) -> CameraFrames:
    """Make the encoded images of one camera into frames; `bgr` says that the publisher swapped red and blue.

    Raise RecordError when one is damaged or has another size than the first.
    """
    jpegs, native = [], None
    headers, framing = Headers(), Framing(frame_size, how)
    for i, data in enumerate(images):
        try:
            size, fitted = _fit_one(data, framing, headers, bgr=bgr)
        except NoCameraError as error:
            raise NoCameraError(f"frame {i} is {error}") from error
        except DAMAGE as error:
            raise RecordError(f"frame {i} ({len(data)} bytes): {_first_line(error)}") from error
        if size != (native := native or size):
            raise RecordError(f"frame {i} is {size[0]}x{size[1]}, expected {native[0]}x{native[1]} as in frame 0")
        jpegs.append(fitted)
    if native is None:
        raise RecordError("the camera has no frames")
    height, width = framing.size(*native)
    return CameraFrames(jpegs=jpegs, height=height, width=width, native_height=native[0], native_width=native[1])


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG to RGB (height, width, 3); magic bytes decide, for declared formats lie.

    Raise ValueError, in one line, at damage, and NoCameraError at distances.
    """
    if data.startswith(START):
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(height, width)
        if colours in PLAIN_COLOURS:
            return simplejpeg.decode_jpeg(data, "RGB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture.height, picture.width)
            if picture.mode.startswith(DEEP):
                raise NoCameraError(f"one channel of more than 8 bits ({picture.mode}): depth, no camera")
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError as error:
        start = data[:8].hex() or "nothing"
        raise ValueError(lfs.why(data, f"not an image: starts with {start}, expected JPEG or PNG")) from error
    except (NoCameraError, ValueError):
        raise
    except Exception as error:  # PIL raises what comes along: OSError, SyntaxError, struct.error, IndexError
        raise ValueError(_first_line(error)) from error


def is_black(data: bytes) -> bool:
    """Say whether an image shows nothing at all: some publishers store that for a camera that was not there."""
    try:
        return int(decode(data).max()) < BLACK
    except (*DAMAGE, NoCameraError):
        return False


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise ValueError(f"claims to be {height}x{width}, more than any camera")


def _fit_one(data: bytes, framing: Framing, headers: Headers, *, bgr: bool) -> tuple[tuple[int, int], bytes]:
    """Return the native size and the JPEG to store."""
    if data.startswith(START):
        height, width, colours = headers.read(data)
        _check_size(height, width)
        if END not in data[-64:]:  # some encoders pad after the end mark; a cut file has none
            raise ValueError("truncated JPEG: the end mark is missing")
        if framing.size(height, width) == (height, width) and colours in PLAIN_COLOURS and not bgr:
            looked_at = data[::LOOK_EVERY]
            if BLANKS[0] in looked_at or BLANKS[1] in looked_at:
                decode(data)
            return (height, width), data
    image = decode(data)
    if bgr:
        image = image[..., ::-1]
    return image.shape[:2], encode(at_rest(image, framing))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
