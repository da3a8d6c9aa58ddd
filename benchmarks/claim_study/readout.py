"""Do latent actions mean the same in another task? Reads actions out of labels by ridge regression.

    python benchmarks/claim_study/readout.py --out runs/claim

The readout learns from `others` (eight tasks with actions) and is tried on `clips` of the six tasks that are played,
whose true actions the recordings keep, and on `others` by five-fold cross-validation over episodes. Mean absolute error
of K actions of the hand, in units of their standard deviation over `others`; beside it that of always naming their
median.
"""

import argparse
from pathlib import Path

import numpy as np
from corpus import episode, parts
from numpy.typing import NDArray

from dataengine.shards.reader import ShardReader
from dataengine.sources.openx.metaworld import METRES_PER_STEP
from dataengine.windows.window import steps_per_latent

RIDGE = 1.0
Floats = NDArray[np.float64]


def pairs(reader: ShardReader, actions: dict[str, Floats], dataset: str, lam: str) -> tuple[Floats, Floats, Floats]:
    """Give latents (n, k d), the actions (n, K 3) that they span, and a number for each one's episode (n,)."""
    latents, wanted, owner = [], [], []
    for e in reader.episodes:
        if e.dataset != dataset:
            continue
        stride = steps_per_latent(e.control_hz, reader.latent_info(lam).interval_s)
        latent, codes = reader.latent(e.row, lam)
        own = reader.action(e.row)
        moves = actions[e.episode_id] if own is None else own[:, :3].astype(np.float64)
        for row in np.flatnonzero(codes[:, 0] >= 0):
            latents.append(latent[row].ravel())
            wanted.append(moves[row : row + stride].ravel())
            owner.append(e.row)
    return np.array(latents, np.float64), np.array(wanted), np.array(owner, np.float64)


def fit(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Solve ridge regression with an intercept."""
    mean_x, mean_y = x.mean(0), y.mean(0)
    x = x - mean_x
    weight = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - mean_y))
    return weight, mean_y - mean_x @ weight


def error(x: Floats, y: Floats, model: tuple[Floats, Floats], scale: Floats) -> float:
    """Mean absolute error in units of `scale`."""
    return float((np.abs(x @ model[0] + model[1] - y) / scale).mean())


def main() -> None:
    """Print a row for each latent action model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/claim"))
    out = parser.parse_args().out.resolve()
    actions = {
        episode(one, dataset).episode_id: one.raw_action[:, :3].astype(np.float64) * METRES_PER_STEP
        for dataset, _, recorded in parts(out)
        if dataset == "clips"
        for one in recorded
    }
    reader = ShardReader(out / "shards")
    print("| labels | others, held-out episodes | median | clips of other tasks | median |\n|---|---|---|---|---|")
    for lam in reader.latents:
        x, y, owner = pairs(reader, actions, "others", lam)
        scale = y.std(0) + 1e-9
        folds = np.unique(owner, return_inverse=True)[1] % 5
        inside = [error(x[folds == i], y[folds == i], fit(x[folds != i], y[folds != i]), scale) for i in range(5)]
        there_x, there_y, _ = pairs(reader, actions, "clips", lam)
        trivial = [float((np.abs(one - np.median(one, 0)) / scale).mean()) for one in (y, there_y)]
        across = error(there_x, there_y, fit(x, y), scale)
        print(f"| {lam} | {np.mean(inside):.3f} | {trivial[0]:.3f} | {across:.3f} | {trivial[1]:.3f} |")


if __name__ == "__main__":
    main()
