"""Random windows of eight frames: out of prepared frames, as a corpus holds them, against out of the source video.

Prepared frames are JPEGs of 256 pixels, one each tenth of a second, as `villa ingest` leaves them; eight are decoded.
From the video a window seeks to the key frame before it, decodes up to its end, and scales eight frames, exact by their
times. H.264 with key frames 250 frames apart. CPU time of this process, one thread, contenders in turns; a minute and a
half of it, most of which goes to the 1080p video.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import simplejpeg
from bench_clips import RATE_HZ, SIDE, instants, nearest, write
from claims import Claim, say

from dataengine.formats.resize import to_rgb
from dataengine.formats.video.stream import frames_from, open_video
from dataengine.formats.video.video import decode

VIDEOS = {"480p30": ("854x480", 30, 40, 250, 12.0), "1080p60": ("1920x1080", 60, 20, 250, 80.0)}
NUM_FRAMES = 8


def prepared(jpegs: list[bytes], starts_s: np.ndarray) -> None:
    for start_s in starts_s:
        first = round(start_s * RATE_HZ)
        for jpeg in jpegs[first : first + NUM_FRAMES]:
            simplejpeg.decode_jpeg(jpeg, "RGB")


def from_source(path: Path, starts_s: np.ndarray) -> None:
    with open_video(path) as (container, stream):
        for start_s in starts_s:
            due_s = instants(start_s, start_s + NUM_FRAMES / RATE_HZ)
            for frame in nearest(frames_from(container, stream, start_s), due_s):
                to_rgb(frame, SIDE, SIDE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--videos", nargs="+", choices=VIDEOS, default=list(VIDEOS))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    claims = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.videos:
            size, rate, seconds, gop, goal = VIDEOS[name]
            path = Path(folder) / f"{name}.mp4"
            write(path, size, rate, seconds, gop)
            jpegs = list(decode(path, SIDE, RATE_HZ).frames.jpegs)
            starts_s = np.round(np.random.default_rng(0).uniform(0, seconds - 2, args.windows), 1)
            times = {"prepared": [], "source": []}
            for _ in range(args.repeats):
                for contender, work in (("prepared", prepared), ("source", from_source)):
                    before = time.process_time()
                    work(jpegs if work is prepared else path, starts_s)
                    times[contender].append((time.process_time() - before) / args.windows)
            ours, peer = (statistics.median(times[contender]) for contender in ("prepared", "source"))
            print(f"{name}: prepared {ours * 1e3:.2f} ms, source {peer * 1e3:.0f} ms a window")
            claims.append(Claim(f"prepared windows, {name}", peer / ours, goal, "PyAV, exact seek", "ms a window"))
    say(claims)


if __name__ == "__main__":
    main()
