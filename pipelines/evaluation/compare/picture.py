"""The evidence after each pair, as a picture: where it crosses the line, it is decided."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataengine.whole_file import whole_file
from pipelines.evaluation.compare.report import CompareReport


def draw(report: CompareReport, path: Path) -> None:
    """Write a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for one in report.comparisons:
        trials = np.arange(len(one.e_values) + 1)
        axes.step(trials, np.exp(_from_one(one.e_values)), where="post", label=f"{one.b} against {one.a}")
    needed = len(report.comparisons) / report.level
    axes.axhline(needed, linestyle="--", color="grey", label=f"decided from {needed:g} on")
    axes.set(yscale="log", xlabel="pairs", ylabel="evidence of a difference (e-value)", title=report.simulator)
    axes.legend(fontsize="small")
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _from_one(log_e_values: Sequence[float]) -> np.ndarray:
    return np.array([0.0, *log_e_values])
