"""Errors of each robot as a picture: over the steps of a chunk, and for each value beside the baselines."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataengine.whole_file import whole_file
from pipelines.evaluation.openloop.errors import NAMES, Errors

MOST_ROWS = 8


def draw(groups: Sequence[Errors], path: Path) -> None:
    """Write a PNG, a row for each robot in a dataset."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = groups[:MOST_ROWS]
    figure = Figure(figsize=(11, 3.2 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(shown), 2, squeeze=False)
    for (steps, values), one in zip(axes, shown, strict=True):
        for i, name in enumerate(NAMES):
            steps.plot(np.arange(1, len(one.by_step[name]) + 1), one.by_step[name], marker=".", label=name)
            relative = np.array(one.by_value[name]) / np.maximum(one.by_value["mean"], 1e-12)
            at = np.arange(len(one.names)) + 0.27 * (i - 1)
            values.bar(at, np.where(np.array(one.by_value["mean"]) > 0, relative, 0.0), 0.25, label=name)
        steps.set(title=f"{one.embodiment} in {one.dataset}", xlabel="step of the chunk", ylabel="normalised error")
        values.set(title="against the mean action's", ylabel="error, share")
        values.set_xticks(np.arange(len(one.names)), one.names, rotation=30)
        steps.legend(fontsize="small")
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
