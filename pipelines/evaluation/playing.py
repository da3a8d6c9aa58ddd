"""Plays starts in processes, and keeps every episode as it ends: what a simulator does costs one episode at most.

A simulator that raises loses its episode. One that hangs is ended with its process; one that kills its process is tried
once more alone. One that cannot be set up ends all, and so does whatever a policy does wrong: they would do so in
every episode.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.spread import spread
from pipelines.evaluation import rollouts
from pipelines.evaluation.actor import make_actor
from pipelines.evaluation.config import BASELINES
from pipelines.evaluation.contract import Start, refuse, seen_mismatches, start_of
from pipelines.evaluation.episodes import Outcome
from pipelines.evaluation.expectation import expectation
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import Simulator, make_simulator, plays_to_end, simulator_class
from pipelines.evaluation.simulators._watch import AtWork, Watch, left_at_work
from pipelines.evaluation.simulators._workers import WorkerDiedError, count, run_jobs
from pipelines.evaluation.unit import Unit
from pipelines.evaluation.video import write_video

STRIP_FRAMES = 8
STARTS_SEEN = 3
"""At which a policy's statistics are held against what the simulator shows."""
_checked: set[tuple[str, str]] = set()
_simulators: dict[tuple[str, str], list[Simulator]] = {}
"""Of this process, by simulator and task: making one costs more than a short episode."""


@dataclass(frozen=True)
class Job:
    """Starts of one policy on one task."""

    unit: Unit
    seeds: tuple[int, ...]


def play_all(
    jobs: Sequence[Job], processes: int, counted: Callable[[int], None] = lambda _number: None
) -> Generator[tuple[int, list[Outcome]], None, None]:
    """Yield (index of the job, outcomes in the order of its seeds) as jobs end."""
    waiting = dict(enumerate(jobs))
    for job in jobs:  # of a command that was killed: what hung then need not hang now
        left_at_work(_stem(job.unit))
    while waiting:
        order = [*waiting]
        try:
            for at, outcomes in run_jobs(_play_job, [waiting[i] for i in order], processes, counted):
                del waiting[order[at]]
                yield order[at], outcomes
        except WorkerDiedError:
            suspects = [(job, left) for job in waiting.values() for left in left_at_work(_stem(job.unit))]
            if not suspects:
                raise
            for job, left in suspects:
                _settle(job, left)


def _settle(job: Job, at: AtWork) -> None:
    """Find out whether it was this episode, or the setting up, that a process died of: play one alone.

    Raise DataEngineError where it was the setting up.
    """
    unit = job.unit
    if not at.hung:
        seed = next(iter(_missing(job)), None) if at.seed is None else at.seed
        if seed is None:
            return
        try:
            list(run_jobs(_play_job, [Job(unit, (seed,))], 1))
            return
        except WorkerDiedError:
            left = left_at_work(_stem(unit))
            if not left:
                raise
            at = left[0]
    lost = f"no answer within {unit.step_timeout_s:g} s" if at.hung else "the process died"
    if at.seed is None:
        longer = "; --step-timeout-s waits longer" if at.hung else ""
        raise DataEngineError(
            f"{unit.simulator} cannot be set up for {unit.task}: {lost}{longer}; finished episodes are kept"
        )
    unit.journal.append(Outcome(seed=at.seed, success=False, steps=0, lost=lost))


def _missing(job: Job) -> list[int]:
    """List the starts that are still to be played, or were played without being recorded."""
    known = job.unit.journal.read()
    return [seed for seed in job.seeds if seed not in known or _unrecorded(job.unit, known[seed])]


def _stem(unit: Unit) -> Path:
    return unit.journal.path.with_suffix("")


def _play_job(job: Job) -> list[Outcome]:
    """Play what was not played yet; called in a worker process."""
    unit, journal = job.unit, job.unit.journal
    known, missing = journal.read(), _missing(job)
    count(len(job.seeds) - len(missing))
    if missing:
        actor, watch = make_actor(unit), Watch(_stem(unit), unit.step_timeout_s)
        to_end = plays_to_end(simulator_class(unit.simulator))
        videos_left = unit.num_videos - sum(bool(one.video) for one in known.values())
        start = time.monotonic()
        for played in _played(unit, missing, actor, watch, films_all=videos_left > 0):
            has_video = not played.success and not played.lost and len(played.frames) > 1 and videos_left > 0
            videos_left -= has_video
            end = time.monotonic()
            known[played.seed] = Outcome(
                seed=played.seed,
                success=played.success,
                solved_ever=played.solved_ever if to_end else None,
                steps=played.steps,
                seconds=end - start,
                lost=played.lost,
                filmstrip=_filmstrip(unit, played) if played.seed in _filmed(unit, job.seeds) else "",
                video=_video(unit, played) if has_video else "",
            )
            start = end
            if unit.records and not played.lost:
                rollouts.keep(rollouts.file_of(unit.out, unit.journal.path.stem, played.seed), unit, played)
            journal.append(known[played.seed])
            count()
        watch.close()
    return [known[seed] for seed in job.seeds]


def _unrecorded(unit: Unit, outcome: Outcome) -> bool:
    """Tell whether an episode that was played before is to be recorded now."""
    path = rollouts.file_of(unit.out, unit.journal.path.stem, outcome.seed)
    return unit.records and not outcome.lost and not path.exists()


def _played(
    unit: Unit, seeds: Sequence[int], actor: _play.Actor, watch: Watch, *, films_all: bool
) -> Iterator[_play.Played]:
    """Play episodes in the simulators of this process."""
    pool = _simulators.setdefault((unit.simulator, unit.task), [])
    while len(pool) < min(unit.robots, len(seeds)):
        pool.append(_made(unit, watch))
    lost = [] if unit.policy in BASELINES else _check_contract(unit, pool, seeds, watch)
    yield from lost
    gone = {one.seed for one in lost}

    def another() -> Simulator:
        _simulators.pop((unit.simulator, unit.task), None)  # one of them failed: the next job makes all anew
        return _made(unit, watch)

    yield from _play.play(
        pool[: unit.robots],
        actor,
        [seed for seed in seeds if seed not in gone],
        execute=unit.execute,
        max_steps=unit.max_steps,
        num_filmed=sum(seed in _filmed(unit, seeds) for seed in seeds),
        films_all=films_all,
        records=unit.records,
        watch=watch.over,
        make=another,
    )


def _made(unit: Unit, watch: Watch) -> Simulator:
    """Set up a simulator, which may take no longer than an answer."""
    with watch.over(None):
        return make_simulator(unit.simulator, unit.task)


def _check_contract(unit: Unit, pool: list[Simulator], seeds: Sequence[int], watch: Watch) -> list[_play.Played]:
    """Refuse a policy that does not fit what the simulator shows, once in each process; give episodes lost meanwhile.

    A simulator that fails at a start loses that episode, as it does while it plays, and the next start is asked.
    """
    if (key := (unit.policy, unit.task)) in _checked:
        return []
    lost, starts, kind = list[_play.Played](), list[Start](), type(pool[0])
    for seed in seeds:
        try:
            with watch.over(seed):
                starts.append(start_of(pool[0], seed))
        except Exception as error:
            lost.append(_play.lost_episode(seed, 0, error))
            pool[0] = _made(unit, watch)
        if len(starts) == STARTS_SEEN:
            break
    if starts:
        expected = expectation(unit.policy, kind, unit.acts_as)
        refuse([*seen_mismatches(expected, kind.name, starts)], unit.accept, unit.policy)
        _checked.add(key)
    return lost


def _filmed(unit: Unit, seeds: Sequence[int]) -> Sequence[int]:
    return seeds[: unit.filmed]


def _filmstrip(unit: Unit, played: _play.Played) -> str:
    """Put some frames of an episode side by side, first and last among them."""
    if not played.frames:
        return ""
    import simplejpeg

    chosen = spread(len(played.frames), STRIP_FRAMES)
    strip = np.ascontiguousarray(np.concatenate([played.frames[i] for i in chosen], axis=1))
    path = unit.out / "filmstrips" / f"{unit.result_file.stem}-{played.seed}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(simplejpeg.encode_jpeg(strip, quality=90, colorspace="RGB"))
    return str(path.relative_to(unit.out))


def _video(unit: Unit, played: _play.Played) -> str:
    """Write what a policy saw in an episode, in the episode's own time."""
    path = unit.out / "videos" / f"{unit.result_file.stem}-{played.seed}.mp4"
    rate_hz = max(1, round(simulator_class(unit.simulator).control_hz / unit.execute))
    write_video(path, _even(played.frames), rate_hz, "libx264")
    return str(path.relative_to(unit.out))


def _even(frames: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Cut frames to even sides, which the codec needs."""
    for frame in frames:
        height, width = (side - side % 2 for side in frame.shape[:2])
        yield np.ascontiguousarray(frame[:height, :width])
