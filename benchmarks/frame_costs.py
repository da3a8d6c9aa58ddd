"""What a frame costs on its way into the corpus, by what the publisher ships: the rates that docs/scale.md counts with.

Pictures are a smooth scene that a noisy camera pans over; CPU time of this process, one thread, median of five passes.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg

from dataengine.formats import jpeg
from dataengine.formats.video import video

FRAME_SIZE = 256
NUM_FRAMES = 90
REPEATS = 5


def pan(height: int, width: int) -> list[np.ndarray]:
    """Look at a scene through a window that moves two pixels a frame."""
    random = np.random.default_rng(0)
    tall, wide = height + 2 * NUM_FRAMES, width + 2 * NUM_FRAMES
    coarse = random.integers(0, 255, (tall // 40 + 2, wide // 40 + 2, 3)).astype(np.float32)
    rows, columns = np.arange(tall) / 40, np.arange(wide) / 40
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    upper = coarse[top][:, left] * (1 - right) + coarse[top][:, left + 1] * right
    lower = coarse[top + 1][:, left] * (1 - right) + coarse[top + 1][:, left + 1] * right
    scene = upper * (1 - down) + lower * down
    noise = 4 * random.standard_normal((height, width, 3), dtype=np.float32)
    views = (scene[2 * i : 2 * i + height, 2 * i : 2 * i + width] for i in range(NUM_FRAMES))
    return [np.clip(view + np.roll(noise, 7 * i, 1), 0, 255).astype(np.uint8) for i, view in enumerate(views)]


def us_per_frame(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.process_time()
        work()
        return (time.process_time() - began) / NUM_FRAMES * 1e6

    once()
    return statistics.median(once() for _ in range(REPEATS))


def main() -> None:
    for height, width in ((256, 256), (256, 320), (480, 640), (512, 640)):
        frames = [simplejpeg.encode_jpeg(image, 90, "RGB", "420") for image in pan(height, width)]
        kb = statistics.mean(map(len, frames)) / 1e3
        fitted = jpeg.fit(frames, FRAME_SIZE).jpegs
        cost = us_per_frame(lambda frames=frames: jpeg.fit(frames, FRAME_SIZE))
        size = statistics.mean(map(len, fitted)) / 1e3
        print(
            f"JPEG {height:4} x {width:4}, {kb:3.0f} KB      {cost:6.0f} us a frame, {size:4.0f} KB stored", flush=True
        )
    kinds: tuple[tuple[video.Codec, int, int], ...] = (
        ("vp9", 240, 320),
        ("h264", 480, 640),
        ("av1", 480, 640),
        ("h264", 1080, 1920),
    )
    with tempfile.TemporaryDirectory() as folder:
        for codec, height, width in kinds:
            path = Path(folder, f"{codec}_{height}.mp4")
            video.encode(path, pan(height, width), 30.0, codec)
            for kept_hz in (None, 10.0):
                cost = us_per_frame(lambda path=path, kept_hz=kept_hz: video.decode(path, FRAME_SIZE, kept_hz))
                kept = "all frames kept" if kept_hz is None else "every third kept"
                print(f"{codec:4} {height:4} x {width:4}, {kept:16} {cost:6.0f} us a decoded frame", flush=True)


if __name__ == "__main__":
    main()
