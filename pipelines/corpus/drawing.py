"""Pictures of `villa show`: strips of frames, states and actions over time, codes of latent actions over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataengine import texts
from dataengine.camera_names import camera_title
from dataengine.errors import DataEngineError, RecordError
from dataengine.formats import files
from dataengine.spread import spread
from dataengine.windows.labels import NO_CODE, codes_column
from dataengine.windows.window import LatentInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dataengine.store.read.episode import StoredEpisode

PICTURES = (".png", ".pdf", ".svg")
MADE_BY = "villa show"
"""Stands in every picture that is drawn: one of these may be replaced."""
MAX_BYTES = 2**27
"""Of a picture that it drew."""
FRAME_INCHES = 1.3
CODE_INCHES = 0.16
"""Height of a slot's row of codes."""
GREY, WHITE = 0.85, 1.0
COLOURS = 20
GREYS = (14, 15)
"""Of these colours."""
MOST_NUMBERS = 60
"""Latent actions in a row whose codes have room for their numbers."""
GAP = 1.5
"""Begins of latent actions further apart than this many spacings are parted."""


def check_out(out: Path) -> None:
    """Raise DataEngineError where no picture may be drawn."""
    if out.suffix not in PICTURES:
        raise DataEngineError(f"--out {out}: expected a name that ends in {', '.join(PICTURES)}")
    if out.exists() and not _is_ours(out):
        raise DataEngineError(f"--out {out}: is there already and `villa show` did not draw it; give another name")


def _is_ours(picture: Path) -> bool:
    try:
        return MADE_BY.encode() in files.read_bytes(picture, MAX_BYTES)
    except RecordError:  # a pipe, for example, which would be waited for
        return False


def panels(heights: Sequence[float], num_frames: int, title: str) -> tuple["Figure", Sequence["Axes"]]:
    """Make a figure of panels below one another, their heights in inches, as wide as a strip of frames."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(num_frames * FRAME_INCHES, 6), sum(heights) + 0.8), layout="constrained")
    figure.suptitle(title, fontsize=10, wrap=True)
    axes: Any = figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0] if heights else ()
    return figure, axes


def save(figure: "Figure", out: Path) -> None:
    """Write the picture, with the mark that it is ours."""
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, metadata={"Software" if out.suffix == ".png" else "Creator": MADE_BY})


def draw_episode(episode: "StoredEpisode", out: Path, num_frames: int, models: Sequence[LatentInfo]) -> None:
    """Draw a strip of frames for each camera, states and actions over time, and what models label it with."""
    steps = spread(episode.num_steps, num_frames)
    curves = {name: vector for name in ("state", "action") if (vector := getattr(episode, name)) is not None}
    codes = _codes(episode, models)
    heights = [FRAME_INCHES] * len(episode.cameras) + [1.6 * FRAME_INCHES] * len(curves)
    heights += [code_inches(values.shape[1]) for _, values in codes]
    said = texts.summary(episode.texts, episode.num_steps)
    figure, axes = panels(heights, len(steps), f"{episode.dataset} · {episode.episode_id} · {said}")
    next_axes, seconds = iter(axes), np.asarray(episode.time_ns) / 1e9
    for slot in episode.cameras:
        title, frames = camera_title(slot, episode.notes), episode.frames(slot, steps.tolist())
        draw_strip(next(next_axes), title, frames, seconds[steps])
    for name in curves:
        _draw_curves(next(next_axes), episode, name, seconds)
    for info, values in codes:
        step_s = 1 / episode.control_hz
        draw_codes(next(next_axes), f"codes of {info.name}", seconds, values, step_s)
    save(figure, out)


def _codes(episode: "StoredEpisode", models: Sequence[LatentInfo]) -> list[tuple[LatentInfo, NDArray[np.int16]]]:
    """Read the codes (t, k) that models gave an episode."""
    columns = ((info, episode.column(codes_column(info.name))) for info in models)
    return [(info, np.array(flat, np.int16).reshape(-1, info.k)) for info, flat in columns if flat]


def draw_strip(axis: "Axes", title: str, frames: NDArray[np.uint8], seconds: NDArray[np.floating]) -> None:
    """Set frames (n, height, width, 3) side by side."""
    axis.imshow(np.concatenate(list(frames), axis=1))
    width = frames.shape[2]
    axis.set_xticks([(i + 0.5) * width for i in range(len(frames))], [f"{s:.1f} s" for s in seconds], fontsize=7)
    axis.set_yticks([])
    axis.set_ylabel(title, fontsize=8)


def _draw_curves(axis: "Axes", episode: "StoredEpisode", name: str, seconds: NDArray[np.floating]) -> None:
    """Draw the values of a canonical vector, named as its publisher or its layout does."""
    from matplotlib import colormaps

    layout = episode.layout(name)
    axis.set_prop_cycle(color=[colormaps["tab20"](i) for i in range(COLOURS)])
    for i, values in enumerate(getattr(episode, name).T):
        axis.plot(seconds, values, linewidth=1, label=layout.name(i))
    axis.set_ylabel(name, fontsize=8)
    axis.margins(x=0.01)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6, ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def code_inches(num_slots: int) -> float:
    """Say how high a panel of codes is."""
    return 0.3 + CODE_INCHES * num_slots


def draw_codes(
    axis: "Axes",
    title: str,
    begins_s: NDArray[np.floating],
    codes: NDArray[np.integer],
    step_s: float,
    holds: NDArray[np.bool_] | None = None,
) -> None:
    """Draw codes (n, k) over the times (n,) at which they begin: a row for each slot, a colour for each code.

    Codes that hold (n, k) are grey, times without a latent action white.
    """
    from matplotlib import colormaps

    palette = np.delete(colormaps["tab20"](range(COLOURS))[:, :3], GREYS, axis=0)
    colours = palette[codes % len(palette)]
    if holds is not None:
        colours[holds] = GREY
    colours[codes == NO_CODE] = WHITE
    edges, cells = _cells(begins_s, step_s)
    shown = np.where((cells < 0)[:, None, None], WHITE, colours[cells])
    num_slots = codes.shape[1]
    axis.pcolormesh(edges, np.arange(num_slots + 1) - 0.5, shown.transpose(1, 0, 2))
    axis.invert_yaxis()
    axis.set_yticks(range(num_slots))
    axis.set_ylabel(title, fontsize=8)
    axis.set_xlabel("s", fontsize=7)
    axis.tick_params(labelsize=7)
    if len(codes) <= MOST_NUMBERS:
        for begin, row in zip(begins_s, codes, strict=True):
            for slot, code in enumerate(row):
                if code != NO_CODE:
                    axis.text(begin + step_s / 2, slot, str(code), ha="center", va="center", fontsize=5)


def _cells(begins_s: NDArray[np.floating], step_s: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Lay out cells of time: their n + 1 edges, and which latent action each holds, -1 for none."""
    edges, cells = [], []
    for i, begin in enumerate(begins_s.tolist()):
        following = begins_s[i + 1] if i + 1 < len(begins_s) else np.inf
        edges.append(begin)
        cells.append(i)
        if following > begin + GAP * step_s:
            edges.append(begin + step_s)
            cells.append(-1)
    return np.array(edges), np.array(cells[:-1], np.int64)
