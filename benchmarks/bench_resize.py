"""One resizer for frames at rest: what it costs, how much it aliases and how much it blurs, beside what else there is.

Cost is CPU time of this process on one thread, the least of several passes. Aliasing is the deviation, in levels, from
the plain grey that waves too fine for the small picture ought to become; contrast is what is left of waves at half of
its Nyquist frequency, which ought to stay.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from claims import Claim, say
from frame_costs import pan
from numpy.typing import NDArray
from PIL import Image

from dataengine.formats.resize import resize, to_rgb

Picture = NDArray[np.uint8]
Resizer = Callable[[Picture, int], Picture]
CHOSEN, BEFORE = "ours", "Pillow bilinear"
CASES = ((256, 256, 224), (256, 256, 128), (128, 128, 64), (128, 128, 224), (480, 640, 256), (1080, 1920, 256))


def pillow(how: Image.Resampling) -> Resizer:
    return lambda image, side: np.asarray(Image.fromarray(image).resize((side, side), how))


def swscale(how: Interpolation) -> Resizer:
    scaler = VideoReformatter()

    def scale(image: Picture, side: int) -> Picture:
        frame = VideoFrame.from_numpy_buffer(image, format="rgb24")
        return scaler.reformat(frame, side, side, format="rgb24", interpolation=how, threads=1).to_ndarray()

    return scale


def torch_bilinear(image: Picture, side: int) -> Picture:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    scaled = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True).round().clamp(0, 255)
    return scaled.to(torch.uint8)[0].permute(1, 2, 0).numpy()


CONTENDERS: dict[str, Resizer] = {
    CHOSEN: lambda image, side: resize(image, side, side),
    "swscale area": swscale(Interpolation.AREA),
    "swscale bilinear": swscale(Interpolation.BILINEAR),
    BEFORE: pillow(Image.Resampling.BILINEAR),
    "Pillow box": pillow(Image.Resampling.BOX),
    "torch bilinear": torch_bilinear,
}


@dataclass(frozen=True)
class Quality:
    alias: float
    contrast: float


def cpu_us(work: Callable[[], object], repeats: int, count: int = 20) -> float:
    def once() -> float:
        began = time.process_time()
        for _ in range(count):
            work()
        return (time.process_time() - began) / count * 1e6

    once()
    return min(once() for _ in range(repeats))


def waves(height: int, width: int, side: int, cycles: float) -> Picture:
    """Draw waves of so many cycles per pixel of the small picture, at a slant."""
    y, x = np.mgrid[:height, :width]
    phase = 2 * np.pi * cycles * (0.8 * x * side / width + 0.6 * y * side / height)
    return np.repeat((127.5 + 100 * np.sin(phase))[..., None], 3, axis=-1).round().astype(np.uint8)


def quality(resizer: Resizer, height: int, width: int, side: int) -> Quality | None:
    """Judge a resizer where it makes pictures smaller."""
    finest = min(height, width) / side / 2  # cycles per small pixel that the large picture can hold
    if finest <= 0.5:
        return None
    too_fine = np.linspace(0.7, 0.9 * max(finest, 0.8), 8)  # beyond the Nyquist frequency along both axes
    alias = np.mean([resizer(waves(height, width, side, c), side)[2:-2, 2:-2].std() for c in too_fine])
    contrast = resizer(waves(height, width, side, 0.25), side)[2:-2, 2:-2].std() / (100 / np.sqrt(2))
    return Quality(float(alias), float(contrast))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    cost: dict[tuple[str, int], float] = {}
    for height, width, side in CASES:
        print(f"{height} x {width} to {side}")
        image = np.ascontiguousarray(pan(height, width)[0])
        for name, resizer in CONTENDERS.items():
            cost[name, height + side] = us = cpu_us(lambda r=resizer, i=image, s=side: r(i, s), repeats)
            apart = np.abs(resizer(image, side).astype(int) - torch_bilinear(image, side))
            judged = quality(resizer, height, width, side)
            errors = f", aliasing {judged.alias:4.1f}, contrast {judged.contrast:.2f}" if judged else ""
            print(
                f"  {name:16} {us:6.0f} us{errors}; from torch's {apart.mean():.2f}, at most {apart.max()}", flush=True
            )
    image = np.ascontiguousarray(pan(480, 640)[0])
    frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    one_pass = cpu_us(lambda: to_rgb(frame, 256, 256), repeats)
    two = cpu_us(lambda: CONTENDERS[BEFORE](to_rgb(frame, 480, 640), 256), repeats)
    print(
        f"a frame of a video, 480 x 640 to 256: {one_pass:.0f} us from its own colours, {two:.0f} us by way of Pillow"
    )
    say(
        [
            Claim("resize_in_the_loader", cost[BEFORE, 480] / cost[CHOSEN, 480], 1.0, "Pillow, bilinear", "CPU/frame"),
            Claim("resize_of_a_video", two / one_pass, 1.5, "RGB first, then Pillow", "CPU/frame"),
        ]
    )


if __name__ == "__main__":
    main()
