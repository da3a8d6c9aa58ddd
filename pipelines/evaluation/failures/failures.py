"""`villa eval failures`: which training episodes move like the rollouts that failed.

Rollouts get latent actions from the model that labelled the corpus, one for each of its intervals, end to end; so do
training episodes. Sequences are compared by dynamic time warping (`warping.py`), in units of the mean distance between
two latent actions of the corpus.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine import progress, texts
from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from dataengine.formats.resize import at_rest, resize
from dataengine.framing import Framing, stated_framings
from dataengine.spread import spread
from dataengine.windows.episode_info import EpisodeInfo, is_held_out
from dataengine.windows.window import EpisodeReader, LatentInfo, steps_per_latent
from pipelines.evaluation.failures import warping
from pipelines.evaluation.failures.config import FailuresConfig
from pipelines.evaluation.failures.report import FailuresReport, MinedRollout, NearEpisode, Usual
from pipelines.evaluation.failures.rollouts import Rollout, read_rollouts
from pipelines.evaluation.pictures import decoded
from pipelines.output.folder import OutputFolder, claimed, sources_at

if TYPE_CHECKING:
    from models.lam import Lam

MOST_LATENTS = 64
"""Of a long episode, evenly spread, so that comparing takes no longer than labelling."""
SCALED_BY = 512
"""Latent actions whose mean distance is the unit."""
USUAL_OF = 100
"""Training episodes whose nearest other is looked up."""
LEAST_USUAL = 5


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training episode and its latent actions."""

    episode: EpisodeInfo
    rows: NDArray[np.int64]
    """(n,) first frames."""
    latent: NDArray[np.float32]
    """(n, w)"""


def run(config: FailuresConfig) -> FailuresReport:
    """Explain the failures among all rollouts of a folder or corpus."""
    return mine(config, read_rollouts(config.rollouts))


def mine(config: FailuresConfig, rollouts: Sequence[Rollout]) -> FailuresReport:
    """Find the training episodes nearest to each failure, and write table and page."""
    from pipelines.evaluation.failures.page import write_page

    rollouts = _of_one_policy(config, rollouts)
    with claimed(config.out, "eval failures", sources=sources_at(config.corpus)) as out:
        out.claim("index.html", "failures.json")
        report = _mine(config, rollouts, out)
        write_page(out, report)
        out.write("failures.json", report.model_dump_json(indent=1))
    return report


def _of_one_policy(config: FailuresConfig, rollouts: Sequence[Rollout]) -> list[Rollout]:
    names = sorted({one.policy for one in rollouts})
    if config.policy and config.policy not in names:
        raise DataEngineError(f"{config.rollouts}: no rollouts of '{config.policy}', only of {', '.join(names)}")
    if not config.policy and len(names) > 1:
        raise DataEngineError(f"{config.rollouts}: rollouts of {', '.join(names)}; say which with --policy NAME")
    return [one for one in rollouts if one.policy == (config.policy or names[0])]


def _mine(config: FailuresConfig, rollouts: Sequence[Rollout], out: OutputFolder) -> FailuresReport:
    """Read both sides, compare them, and draw the failures."""
    from models.fingerprint import fingerprint
    from models.weights import load_lam, read_config
    from pipelines.device import pick_device
    from pipelines.label.rows import info_of
    from pipelines.training.data import open_reader

    lam, reader = load_lam(config.lam, pick_device(config.device)), open_reader(config.corpus)
    info, left_out = info_of(reader, lam, fingerprint(config.lam)), Counter[str]()
    framings = {*stated_framings(read_config(config.lam), config.lam).values()}
    framing = framings.pop() if len(framings) == 1 else Framing()
    failed = [one for one in rollouts if not one.success]
    solved = _spread([one for one in rollouts if one.success], config.most)
    trained = _read_training(config, _candidates(config, reader, rollouts), lam, reader, info, left_out)
    scale, usual = _unit(trained), _usual_of(trained)
    mined: list[MinedRollout] = []
    out.remove("pictures/*")
    with progress.task("compare", min(len(failed), config.most) + len(solved), "rollouts") as live:
        for one in [*_spread(failed, config.most), *solved]:
            live.advance(1)
            try:
                rows, latent = _read_rollout(lam, one, info, framing)
            except jpeg.DAMAGE:
                left_out["rollouts with a broken picture"] += 1
                continue
            others = [each for each in trained if each.episode.episode_id != one.episode_id]
            if len(rows) and others:
                far = warping.distances(latent, [each.latent for each in others])
                order = np.argsort(far, kind="stable")[: config.nearest]
                near = [(others[i], float(far[i]) / scale) for i in order]
                mined.append(_mined(one, near, len(rows), usual / scale))
                if not one.success:
                    mined[-1].picture = f"pictures/{len(mined) - 1:03d}.jpg"
                    _draw(out, mined[-1].picture, reader, one, rows, latent, [each for each, _ in near])
            else:
                left_out["rollouts shorter than a latent action"] += 1
    return FailuresReport(
        rollouts=config.rollouts,
        corpus=config.corpus,
        lam=str(config.lam),
        policy=rollouts[0].policy,
        num_failures=len(failed),
        num_successes=len(rollouts) - len(failed),
        compared_with=len(trained),
        interval_s=info.interval_s,
        failures=[one for one in mined if not one.success],
        usual_failure=_usual([one for one in mined if not one.success]),
        usual_success=_usual([one for one in mined if one.success]),
        usual_training=round(float(usual.mean()) / scale, 4) if len(usual) else None,
        left_out=dict(left_out),
        out=str(config.out),
        page=str(config.out / "index.html"),
    )


def _spread(rollouts: Sequence[Rollout], most: int) -> list[Rollout]:
    return [rollouts[i] for i in spread(len(rollouts), most)]


def _candidates(config: FailuresConfig, reader: EpisodeReader, rollouts: Sequence[Rollout]) -> list[EpisodeInfo]:
    """List the episodes to compare with; raise DataEngineError where there are none."""
    robots = {one.embodiment for one in rollouts}
    of_datasets = [e for e in reader.episodes if not config.datasets or e.dataset in config.datasets]
    if not of_datasets:
        known = ", ".join(sorted({e.dataset for e in reader.episodes}))
        raise DataEngineError(f"{config.corpus}: has no dataset {', '.join(config.datasets)}, only {known}")
    wanted = [e for e in of_datasets if config.all_embodiments or e.embodiment in robots]
    if not wanted:
        known = ", ".join(sorted({e.embodiment for e in of_datasets}))
        raise DataEngineError(
            f"{config.corpus}: has no episode of {', '.join(sorted(robots))}, as in the rollouts, only of {known}; "
            f"--all-embodiments compares with those"
        )
    return wanted


def _read_training(
    config: FailuresConfig,
    wanted: Sequence[EpisodeInfo],
    lam: "Lam",
    reader: EpisodeReader,
    info: LatentInfo,
    left_out: Counter[str],
) -> list[Trained]:
    """Read the sequences of the episodes that training saw; raise DataEngineError where none is left."""
    from pipelines.label.rows import read_rows

    trained = []
    with progress.task("training episodes", len(wanted), "episodes") as live:
        for episode in wanted:
            live.advance(1)
            rows = _rows(episode.num_steps, steps_per_latent(episode.control_hz, info.interval_s))
            if is_held_out(episode, config.val_fraction):
                left_out[f"episodes that training held out (val_fraction {config.val_fraction:g})"] += 1
                continue
            if "primary" not in episode.cameras or not len(rows):
                left_out["training episodes without the camera, or too short"] += 1
                continue
            try:
                latent, codes = read_rows(lam, reader, episode, rows, info)
            except ValueError:  # a broken picture
                left_out["training episodes with a broken picture"] += 1
                continue
            known_rows = codes[:, 0] >= 0
            if known_rows.any():
                flat = latent[known_rows].reshape(int(known_rows.sum()), -1)
                trained.append(Trained(episode=episode, rows=rows[known_rows], latent=flat))
    if not trained:
        raise DataEngineError(
            f"{config.corpus}: none of {len(wanted)} episodes is left to compare with at val_fraction "
            f"{config.val_fraction:g}"
        )
    return trained


def _rows(num_steps: int, stride: int) -> NDArray[np.int64]:
    """First frames of latent actions end to end, evenly thinned out where they are very many."""
    rows = np.arange(0, num_steps - stride, stride)
    return rows[spread(len(rows), MOST_LATENTS)]


def _read_rollout(
    lam: "Lam", rollout: Rollout, info: LatentInfo, framing: Framing
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give first frames (n,) and latent actions (n, w) of a rollout, from its pictures as training had them."""
    from pipelines.label.encode import Wanted
    from pipelines.label.rows import encode_rows

    side, stride = lam.config.resolution, steps_per_latent(rollout.control_hz, info.interval_s)
    rows = _rows(rollout.num_steps, stride)
    wanted = Wanted(episode_id=rollout.name, num_steps=rollout.num_steps, stride=stride, rows=rows)

    def pictures(frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([resize(at_rest(one, framing), side, side) for one in rollout.look(frames.tolist())])

    latent, _ = encode_rows(lam, wanted, pictures, past_frames=info.past_frames)
    return rows, latent.reshape(len(rows), info.k * info.d)


def _unit(trained: Sequence[Trained]) -> float:
    """Mean distance between two latent actions of the corpus; 1 where all are equal."""
    latent = np.concatenate([each.latent for each in trained])
    some = latent[spread(len(latent), SCALED_BY)]
    far = warping.apart(some, some)
    return float(far.sum() / max(len(some) * (len(some) - 1), 1)) or 1.0


def _usual_of(trained: Sequence[Trained]) -> NDArray[np.float64]:
    """Distances of some training episodes to their nearest other; none where they are few."""
    if len(trained) < LEAST_USUAL:
        return np.zeros(0)
    at = spread(len(trained), USUAL_OF)
    latents = [each.latent for each in trained]
    far = np.stack([warping.distances(latents[i], latents) for i in at])
    far[np.arange(len(at)), at] = np.inf
    return far.min(axis=1)


def _mined(
    rollout: Rollout, near: Sequence[tuple[Trained, float]], latents: int, usual: NDArray[np.float64]
) -> MinedRollout:
    return MinedRollout(
        name=rollout.name,
        task=rollout.task,
        instruction=rollout.instruction,
        success=rollout.success,
        steps=rollout.num_steps,
        latents=latents,
        nearest=[
            NearEpisode(
                episode_id=each.episode.episode_id,
                dataset=each.episode.dataset,
                embodiment=each.episode.embodiment,
                instruction=texts.said_at(each.episode.texts, 0),
                distance=round(distance, 4),
            )
            for each, distance in near
        ],
        farther_than=round(float((usual < near[0][1]).mean()), 4) if len(usual) else None,
    )


def _usual(mined: Sequence[MinedRollout]) -> Usual | None:
    if not mined:
        return None
    return Usual(
        rollouts=len(mined),
        distance=round(float(np.mean([one.nearest[0].distance for one in mined])), 4),
        same_instruction=round(float(np.mean([one.same_instruction for one in mined])), 4),
    )


def _draw(
    out: OutputFolder,
    name: str,
    reader: EpisodeReader,
    rollout: Rollout,
    rows: NDArray[np.int64],
    latent: NDArray[np.float32],
    near: Sequence[Trained],
) -> None:
    """Save frames of a rollout above those of the nearest episodes that they are aligned with."""
    import simplejpeg

    from pipelines.evaluation.plan import stack

    at = spread(len(rows), COLUMNS)
    strips = [rollout.look(rows[at].tolist())]
    for each in near:
        aligned = each.rows[warping.alignment(latent, each.latent)[at]]
        strips.append(decoded(reader, each.episode, "primary", aligned))
    picture = np.ascontiguousarray(stack([[resize(one, SIDE, SIDE) for one in strip] for strip in strips]))
    out.path(name).write_bytes(simplejpeg.encode_jpeg(picture, quality=88))


COLUMNS, SIDE = 8, 112
"""Frames of a rollout that are shown, and their side in pixels."""
