"""Latent actions of anybody's video, without a corpus: each file is a clip, read at the model's frame spacing.

Frames come at start + i / rate by the stream's own time stamps, and every i whose partner an interval later exists gets
what `Lam.encode` says of the clip i, i + K, i + 2K ... Files are decoded side by side while the model encodes others,
in segments, so that neither a long video nor many of them have to fit in memory.
"""

import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataengine.episode import spelt
from dataengine.errors import DataEngineError
from dataengine.framing import FRAME_SIZE, SQUASH, Fit, Framing, stated_framings
from dataengine.guard import little_memory, share_gb
from dataengine.machine import num_cores
from dataengine.progress import task
from dataengine.report import Report
from dataengine.windows import labels
from dataengine.windows.latents import VideoLatents, as_table, write_npz
from dataengine.windows.window import LatentInfo
from models.fingerprint import fingerprint
from pipelines.label.config import LabelVideoConfig
from pipelines.label.encode import Wanted, cut_windows, encode_windows, frames_seen
from pipelines.label.hold import HoldStillCounts
from pipelines.label.segments import Cutter, End, VideoSegment, decode_side_by_side

if TYPE_CHECKING:
    from models.lam import Lam

SPACING_SLACK = 0.01
"""How much longer or shorter than the interval a latent action may be, as a share."""
SUFFIXES = frozenset(
    ("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "ogv", "wmv", "flv", "3gp", "gif")
)
"""What counts as a video in a folder; a file that is named is tried whatever its name."""


class LabelledSegment(NamedTuple):
    """Latent actions of a segment of a video."""

    time_s: NDArray[np.float64]
    latent: NDArray[np.float32]
    codes: NDArray[np.int16]
    position: NDArray[np.int64]
    """(n,) which pair of its window each is."""


class LabelVideoReport(Report):
    """What was labelled, and what could not be."""

    out: str
    lam: str
    fingerprint: str
    k: int
    d: int
    interval_s: float
    fit: Fit
    frame_size: int
    """How frames came to rest on the way to the model, which sees squares."""
    videos: int
    """Videos with latent actions in `out`."""
    latents: int
    rejected: dict[str, str]
    """Videos that are left out, and why."""
    named_rejected: list[str]
    """Of these, files that were asked for by name rather than found in a folder."""
    codes_used: list[int]
    """By slot."""
    hold_still: float
    """Share of the latent actions whose codes are those that a repeated frame mostly gets."""
    seconds: float
    latents_per_s: float

    @property
    def ok(self) -> bool:
        """False when no video at all could be read, or one that was asked for by name could not."""
        return self.videos > 0 and not self.named_rejected

    def summary(self) -> str:
        """Say what was done, and a line for each video left out."""
        did = f"{self.out}: {self.latents} latent actions of {self.videos} videos, {self.interval_s:g} s each"
        lines = [f"{did}, {self.latents_per_s:.0f}/s ({self.seconds:.1f} s)"]
        lines.append(f"frames were scaled to {self.frame_size} pixels a side at most, fit {self.fit}")
        lines.append(f"codes used by slot: {', '.join(map(str, self.codes_used))}; {self.hold_still:.0%} hold still")
        lines.append(f"`villa show {self.out} --out codes.png` draws them")
        lines = lines if self.videos else [f"no video could be read, {self.out} is not written"]
        return "\n".join([*lines, *(f"left out: {Path(v).parent / why}" for v, why in self.rejected.items())])


def run(config: LabelVideoConfig) -> LabelVideoReport:
    """Label every video that can be read, and write all of it at the end."""
    from models.weights import load_lam
    from pipelines.device import pick_device

    start = time.monotonic()
    files = find_videos(config.videos)
    if config.out.suffix not in (".npz", ".lance"):
        raise DataEngineError(f"--out {config.out}: expected a name that ends in .npz or .lance")
    if config.out.exists():
        raise DataEngineError(f"--out {config.out}: is there already and is never overwritten; give another name")
    lam = load_lam(config.lam, pick_device(config.device))
    info = LatentInfo(
        name=labels.label_name(config.name or config.lam.resolve().name),
        fingerprint=fingerprint(config.lam),
        k=lam.config.num_slots,
        d=lam.config.latent_dim,
        interval_s=config.interval_s or lam.config.interval_s,
        past_frames=config.past_frames,
    )
    _stride(config, info)
    framing = framing_of(config)
    # The drivers of accelerators map memory as they please; beside them there is no limit.
    alone = next(lam.parameters()).device.type == "cpu"
    with little_memory(share_gb(workers=1)) if alone else nullcontext():
        labelled, rejected = label_videos(files, lam, info, config, framing)
    if labelled and config.out.suffix == ".npz":
        write_npz(config.out, info, labelled)
    elif labelled:
        from dataengine.store.plain_table import write_plain_table

        write_plain_table(config.out, as_table(info, labelled))
    seconds, count = time.monotonic() - start, sum(len(v.codes) for v in labelled)
    codes = np.concatenate([np.zeros((0, info.k), np.int16), *(v.codes for v in labelled)])
    return LabelVideoReport(
        out=str(config.out),
        lam=str(config.lam),
        fingerprint=info.fingerprint,
        k=info.k,
        d=info.d,
        interval_s=info.interval_s,
        fit=framing.fit,
        frame_size=framing.side,
        videos=len(labelled),
        latents=count,
        rejected={spelt(name): spelt(reason) for name, reason in rejected.items()},
        named_rejected=[spelt(name) for name in rejected if name in config.videos],
        codes_used=[len(np.unique(slot)) for slot in codes.T],
        hold_still=round(float(np.concatenate([v.holds.all(axis=1) for v in labelled]).mean()), 4) if labelled else 0.0,
        seconds=round(seconds, 3),
        latents_per_s=round(count / seconds, 1),
    )


def find_videos(paths: Sequence[str]) -> list[str]:
    """List the files that are named, and the videos of the folders that are, in order and each once."""
    files: dict[str, None] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower().lstrip(".") in SUFFIXES and p.is_file())
            if not inside:
                raise DataEngineError(
                    f"{given}: no video in this folder; known suffixes: {', '.join(sorted(SUFFIXES))}"
                )
            files |= dict.fromkeys(map(str, inside))
        else:
            files[given] = None
    return list(files)


def _stride(config: LabelVideoConfig, info: LatentInfo) -> int:
    """Count the latent actions that begin in an interval; raise ValueError where they are no whole number."""
    wanted = (config.rate_hz or 1 / info.interval_s) * info.interval_s
    stride = max(round(wanted), 1)
    if abs(wanted - stride) > SPACING_SLACK * stride:
        raise ValueError(
            f"rate_hz={config.rate_hz:g}: {wanted:.3g} latent actions would begin in the {info.interval_s:g} s that "
            f"each of them lasts, expected a whole number; take rate_hz={stride / info.interval_s:.6g}"
        )
    return stride


def framing_of(config: LabelVideoConfig) -> Framing:
    """Say how frames come to rest: as asked for, else as those that the model was trained on, else as by default.

    Raise DataEngineError where those came to rest in several ways, and nobody says in which these do.
    """
    from models.weights import CONFIG_NAME, read_config

    learnt = stated_framings(read_config(config.lam), config.lam / CONFIG_NAME)
    fits = sorted({framing.fit for framing in learnt.values()})
    if len(fits) > 1 and config.fit is None:
        said = ", ".join(f"{name} {framing.fit}" for name, framing in sorted(learnt.items()))
        raise DataEngineError(f"{config.lam}: was trained on frames of several fits ({said}); say which with --fit")
    alike = [framing.side for framing in learnt.values() if config.fit in (None, framing.fit)]
    side = config.frame_size or max(alike, default=FRAME_SIZE)
    return Framing(side, config.fit or (fits[0] if fits else SQUASH))


def label_videos(
    files: Sequence[str], lam: "Lam", info: LatentInfo, config: LabelVideoConfig, framing: Framing
) -> tuple[list[VideoLatents], dict[str, str]]:
    """Give the latent actions of the files that can be read, in their order, and why the others cannot."""
    stride = _stride(config, info)
    cutter = Cutter(
        rate_hz=config.rate_hz or 1 / info.interval_s,
        stride=stride,
        num_frames=frames_seen(lam, info.past_frames),
        side=lam.config.resolution,
        framing=framing,
    )
    threads = min(config.threads or num_cores(), len(files))
    parts: list[list[LabelledSegment]] = [[] for _ in files]
    held = [HoldStillCounts(cutter.num_frames - 1) for _ in files]
    rejected: dict[str, str] = {}
    waiting: list[VideoSegment] = []
    with task("label", len(files), "videos") as live, closing(decode_side_by_side(files, cutter, threads)) as decoded:
        for item in decoded:
            if isinstance(item, End):
                rejected |= {files[item.file]: item.reason} if item.reason else {}
                live.advance(1)
                continue
            held[item.file].ask(lam, item.frames, config.batch)
            waiting.append(item)
            if sum(len(segment.rows) for segment in waiting) >= config.batch:
                _encode(waiting, cutter, lam, config.batch, parts)
                waiting = []
        if waiting:
            _encode(waiting, cutter, lam, config.batch, parts)
    read = [i for i, name in enumerate(files) if name not in rejected]
    hold_codes = HoldStillCounts.commonest(held[i] for i in read)
    return [_joined(files[i], parts[i], hold_codes) for i in read], dict(sorted(rejected.items()))


def _encode(
    segments: Sequence[VideoSegment],
    cutter: Cutter,
    lam: "Lam",
    batch: int,
    parts: Sequence[list[LabelledSegment]],
) -> None:
    """Run the windows of several segments through the model together, and give each file its rows."""
    cuts = []
    for segment in segments:
        num_steps = segment.first + len(segment.frames)
        wanted = Wanted(episode_id="", num_steps=num_steps, stride=cutter.stride, rows=segment.rows)
        cuts.append(cut_windows(wanted, cutter.num_frames))
    begins = np.cumsum([0, *(len(segment.frames) for segment in segments)])
    index = np.concatenate(
        [begin - s.first + c.frames for begin, s, c in zip(begins, segments, cuts, strict=False)], dtype=np.int64
    )
    pixels = np.concatenate([segment.frames for segment in segments])
    all_latent, all_codes = encode_windows(lam, pixels, index, batch)
    first = 0
    for segment, cut in zip(segments, cuts, strict=True):
        pair = (first + cut.window, cut.position)
        first += len(cut.frames)
        parts[segment.file].append(LabelledSegment(segment.time_s, all_latent[pair], all_codes[pair], cut.position))


def _joined(name: str, parts: Sequence[LabelledSegment], hold_codes: NDArray[np.int16]) -> VideoLatents:
    time_s, latent, codes, positions = (np.concatenate(some) for some in zip(*parts, strict=True))
    return VideoLatents(video=name, time_s=time_s, latent=latent, codes=codes, hold_codes=hold_codes[positions])
