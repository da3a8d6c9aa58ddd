"""Labelled clips of one video: one pass over it against a seek for each clip, and against bare decoding.

Labels are like those of EPIC-KITCHENS-100 (median 1.96 s, mean 3.7 s, one every 4 s, 28 % overlap the next), or like
Ego4D's narrations (4.9 s each, one every 2.7 s). A clip has 10 frames in a second, 256 pixels square, as JPEG. CPU time
of this process with one thread, contenders in turns, median of the repeats. decord takes part where it is installed.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import simplejpeg
from claims import Claim, say

from dataengine.formats.resize import to_rgb
from dataengine.formats.video.cut import cut
from dataengine.formats.video.picture import Shrinker
from dataengine.formats.video.stream import frames_from, open_video, timed_frames

try:
    import decord
except ImportError:
    decord = None

SIDE, RATE_HZ = 256, 10.0
VIDEOS = {
    "480p30, a key frame every 250": ("854x480", 30, 180, 250),
    "1080p60, a key frame every 250": ("1920x1080", 60, 140, 250),
    "480p30, a key frame every 30": ("854x480", 30, 180, 30),
}
Ranges = Sequence[tuple[float, float]]


def write(path: Path, size: str, rate: int, seconds: int, gop: int) -> None:
    scene = f"testsrc2=s={size}:r={rate}:d={seconds},noise=alls=6:allf=t"
    encoder = f"-c:v libx264 -threads 1 -preset veryfast -crf 23 -g {gop} -pix_fmt yuv420p".split()
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", scene, *encoder, str(path)], check=True)


def epic(seconds: float) -> Ranges:
    """Lengths are quantiles of a lognormal distribution, so that a short video has the same mean as a long one."""
    count = round(seconds / 4)
    quantiles = [statistics.NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)]
    lengths = np.random.default_rng(0).permutation(1.96 * np.exp(1.13 * np.array(quantiles)))
    at, segments = 0.5, []
    spare = (seconds - 1 - lengths.sum() * 0.87) / count  # what is left for pauses
    for i, lasts in enumerate(lengths):
        if at + 0.4 > seconds:
            break
        segments.append((at, min(at + float(lasts), seconds)))
        at += lasts * 0.55 if i % 7 in (2, 5) else lasts + max(1.4 * spare, 0.05)
    return segments


def narrations(seconds: float) -> Ranges:
    points = np.cumsum(np.random.default_rng(0).exponential(2.7, int(seconds)))
    return [(max(t - 2.45, 0), t + 2.45) for t in points if t + 2.45 < seconds]


def instants(start_s: float, end_s: float) -> np.ndarray:
    return start_s + np.arange(int(np.ceil((end_s - start_s) * RATE_HZ - 1e-6))) / RATE_HZ


def one_pass(path: Path, ranges: Ranges) -> int:
    return sum(len(clip.frames.jpegs) for _, clip in cut(path, ranges, SIDE, RATE_HZ))


def nearest(frames: Iterator[tuple[float, Any]], due_s: np.ndarray) -> Iterator[Any]:
    """Give the frame for each instant that is the nearest one to it."""
    before, k = next(frames), 0
    for now in frames:
        while k < len(due_s) and due_s[k] <= (before[0] + now[0]) / 2:
            yield before[1]
            k += 1
        if k == len(due_s):
            return
        before = now
    yield from [before[1]] * (len(due_s) - k)


def seek_each(path: Path, ranges: Ranges, *, anew: bool = False) -> int:
    count = 0
    with open_video(path) as kept:
        for start_s, end_s in ranges:
            if anew:
                with open_video(path) as (container, stream):
                    count += seek(container, stream, start_s, end_s)
            else:
                count += seek(*kept, start_s, end_s)
    return count


def seek(container: Any, stream: Any, start_s: float, end_s: float) -> int:
    shrinker = Shrinker(SIDE)
    frames = frames_from(container, stream, start_s)
    return sum(bool(shrinker.take(frame)) for frame in nearest(frames, instants(start_s, end_s)))


def decord_each(path: Path, ranges: Ranges) -> int:
    """Scale with decord's own filter, which costs less than ours and gives other pixels."""
    reader = decord.VideoReader(str(path), width=SIDE, height=SIDE, num_threads=1)
    rate, count = reader.get_avg_fps(), 0
    for start_s, end_s in ranges:
        due = np.clip(np.round(instants(start_s, end_s) * rate), 0, len(reader) - 1).astype(int)
        for picture in reader.get_batch(due).asnumpy():
            simplejpeg.encode_jpeg(picture, 92, "RGB", "420")
            count += 1
    return count


def bare(path: Path, ranges: Ranges) -> int:
    """Decode from start to end; scale and encode each frame once that a clip wants, without knowing of clips."""
    with open_video(path) as (container, stream):
        rate = float(stream.average_rate)
        wanted = {int(i) for start_s, end_s in ranges for i in np.round(instants(start_s, end_s) * rate)}
        last = max(wanted)
        for i, frame in enumerate(container.decode(stream)):
            if i in wanted:
                simplejpeg.encode_jpeg(to_rgb(frame, SIDE, SIDE), 92, "RGB", "420")
            if i >= last:
                break
    return sum(len(instants(*bounds)) for bounds in ranges)


CONTENDERS: dict[str, Callable[[Path, Ranges], int]] = {
    "one pass": one_pass,
    "seek per clip, PyAV": seek_each,
    "open and seek per clip, PyAV": lambda path, ranges: seek_each(path, ranges, anew=True),
    "seek per clip, decord": decord_each,
    "bare decoding": bare,
}
GOALS = {"bare decoding": 0.85}


def compare(name: str, path: Path, ranges: Ranges, repeats: int) -> list[Claim]:
    names = [each for each in CONTENDERS if decord is not None or "decord" not in each]
    costs: dict[str, list[float]] = {each: [] for each in names}
    for _ in range(repeats):
        for each in names:
            began = time.process_time()
            count = CONTENDERS[each](path, ranges)
            costs[each].append((time.process_time() - began) / count)
    lasts = np.array([end_s - start_s for start_s, end_s in ranges])
    overlap = np.mean([ranges[i][1] > ranges[i + 1][0] for i in range(len(ranges) - 1)])
    print(
        f"\n{name}: {len(ranges)} clips, median {np.median(lasts):.2f} s, mean {lasts.mean():.2f} s, "
        f"{100 * overlap:.0f} % overlap the next, {count} frames",
        flush=True,
    )
    median = {each: statistics.median(seconds) for each, seconds in costs.items()}
    for each in names:
        ratio = median[each] / median["one pass"]
        lowest, highest = (1e3 * bound(costs[each]) for bound in (min, max))
        print(
            f"{each:30} {1e3 * median[each]:6.2f} ms of CPU a frame [{lowest:.2f} to {highest:.2f}], "
            f"{ratio:.2f} x one pass",
            flush=True,
        )
    return [
        Claim(f"clips in one pass, {name}", median[each] / median["one pass"], GOALS.get(each, 4.0), each, "x")
        for each in names[1:]
    ]


def seek_cost(path: Path) -> None:
    """Say what a seek costs until its first frame is there, in frames of plain decoding."""
    with open_video(path) as (container, stream):
        keys = [float(e.timestamp * stream.time_base) for e in stream.index_entries if e.is_keyframe][1:]
        began = time.process_time()
        count = sum(1 for _ in zip(range(300), timed_frames(container.demux(stream)), strict=False))
        frame_s, seeks = (time.process_time() - began) / count, []
        for key_s in keys * 3:
            began = time.process_time()
            next(frames_from(container, stream, key_s + 0.1))
            seeks.append(time.process_time() - began)
    print(f"a seek costs {statistics.median(seeks) / frame_s:.1f} frames", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the videos' lengths")
    asked = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        raise SystemExit("ffmpeg is needed on PATH: it writes the videos")
    print(f"PyAV {av.__version__}, decord {decord.__version__ if decord else 'is not installed'}")
    claims = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        for name, (size, rate, full_s, gop) in VIDEOS.items():
            seconds = round(full_s * asked.share)
            write(path, size, rate, seconds, gop)
            claims += compare(f"{name}, EPIC's labels", path, epic(seconds), asked.repeats)
            seek_cost(path)
            if name == next(iter(VIDEOS)):
                compare(f"{name}, narrations", path, narrations(seconds), asked.repeats)
    say(claims)


if __name__ == "__main__":
    main()
