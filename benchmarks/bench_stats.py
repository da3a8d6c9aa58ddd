"""Statistics of 100,000 episodes in one pass: memory that does not grow with them, quantiles within the stated error.

Episodes are made here: the state and action of arms with tails, grippers and constants, 30 to 90 steps long. Memory is
the peak of a process that measures one tenth of them, and of another that measures all. What comes out is compared with
numpy on every step. Then one fragment more is measured, which reads that fragment only.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from claims import Claim, last_line, say

from dataengine.episode import Episode
from dataengine.store import Corpus, add_episodes
from dataengine.texts import whole_episode
from dataengine.windows import stats, stats_table
from pipelines.stats import StatsConfig, run

PART_EPISODES = 2500
BODIES = (("widowx", 5.0), ("sawyer", 20.0), ("ur5", 10.0))
LEAST_PER_S = 100_000 / 60


def attempts(part: int) -> list[Episode]:
    """Make the episodes of one part."""
    draw = np.random.default_rng(part)
    body, hz = BODIES[part % len(BODIES)]
    return [
        Episode(
            dataset=f"lab {part % 7}",
            source_record=f"{part}/{i}",
            source_uri="memory",
            embodiment=body,
            kind="robot",
            control_hz=hz,
            texts=whole_episode(["put the pot on the stove"], len(state)),
            time_ns=np.round(np.arange(len(state)) * 1e9 / hz).astype(np.int64),
            cameras={},
            state=state,
            action=action,
            state_encoding="eef_pose",
            action_encoding="eef_delta",
        )
        for i in range(PART_EPISODES)
        for state, action in [attempt(draw, int(draw.integers(30, 91)))]
    ]


def attempt(draw: np.random.Generator, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(t, 7) a wandering state, and deltas with heavy tails; the roll never changes, the gripper is open or closed."""
    delta = (0.01 * draw.standard_t(2, (steps, 7))).astype(np.float32)
    state = (draw.normal(size=7) * 0.3 + np.cumsum(delta, axis=0)).astype(np.float32)
    gripper = (np.arange(steps) > draw.integers(0, steps)).astype(np.float32)
    state[:, 3], delta[:, 3], state[:, 6], delta[:, 6] = 3.1, 0, gripper, gripper
    return state, delta


def grow(uri: str, first: int, stop: int) -> None:
    """Add parts to a corpus."""
    corpus = Corpus.open_or_create(uri)
    for part in range(first, stop):
        add_episodes(corpus, attempts(part), f"part {part}")


def worst_rank_error(corpus: Corpus) -> tuple[float, float]:
    """Compare every quantile and moment with numpy on all steps: the worst rank error, the worst relative moment."""
    rank, moment = 0.0, 0.0
    computed = stats.by_embodiment(stats_table.from_table(corpus.stats()))
    for body, _ in BODIES:
        for column in ("state", "action"):
            table = corpus.table([column], where=f"embodiment = '{body}'")
            rows = np.concatenate([c.flatten().to_numpy() for c in table[column].chunks]).reshape(-1, 7)
            one = getattr(computed[body], column)
            assert one.count == len(rows)
            assert (one.min == rows.min(axis=0)).all()
            assert (one.max == rows.max(axis=0)).all()
            wide = rows.astype(np.float64)
            for ours, theirs in ((one.mean, wide.mean(axis=0)), (one.std, wide.std(axis=0))):
                moment = max(moment, float((np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-3)).max()))
            for q, values in ((0.01, one.q01), (0.99, one.q99)):
                below, upto = (
                    (compare(rows, values.astype(np.float32))).mean(axis=0) for compare in (np.less, np.less_equal)
                )
                rank = max(rank, float((below - q).max()), float((q - upto).max()))
    return rank, moment


def peak_mb() -> float:
    """Most memory that this process has had; `getrusage` would count the parent that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=100_000)
    parser.add_argument("--measure", help="Only measure this corpus, and say what it took.")
    options = parser.parse_args()
    if options.measure:
        before = peak_mb()
        cpu, wall = time.process_time(), time.monotonic()
        report = run(StatsConfig(corpus=options.measure))
        took = {"cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall, "start_mb": before}
        took |= {"peak_mb": peak_mb()}
        print(json.dumps(took | report.model_dump(include={"episodes", "steps", "rank_error", "fragments_read"})))
        return
    parts = options.episodes // PART_EPISODES
    with tempfile.TemporaryDirectory() as folder:
        large, small = str(Path(folder) / "corpus"), str(Path(folder) / "small")
        grow(small, 0, max(parts // 10, 1))
        tenth = json.loads(last_line(__file__, "--measure", small))
        grow(large, 0, parts)
        whole = json.loads(last_line(__file__, "--measure", large))
        rank, moment = worst_rank_error(Corpus.open(large))
        again = json.loads(last_line(__file__, "--measure", large))
        grow(large, parts, parts + 1)
        more = json.loads(last_line(__file__, "--measure", large))
    per_s = whole["episodes"] / whole["cpu_s"]
    print(f"{whole['episodes']:,} episodes, {whole['steps']:,} steps, {whole['fragments_read']} fragments")
    print(f"measured in {whole['cpu_s']:.1f} s of CPU, {whole['wall_s']:.1f} s of wall: {per_s:,.0f} episodes/s of CPU")
    print(
        f"peak memory {whole['peak_mb']:.0f} MB, of a tenth {tenth['peak_mb']:.0f} MB, at start {whole['start_mb']:.0f}"
    )
    print(f"rank error: stated {whole['rank_error']:.4%}, found at most {rank:.4%}; moments to {moment:.1e}")
    print(f"again, nothing new: {again['cpu_s']:.1f} s of CPU; one fragment more: {more['cpu_s']:.1f} s")
    assert rank <= whole["rank_error"] + 1 / whole["steps"], "a quantile is further off than stated"
    assert (again["fragments_read"], more["fragments_read"]) == (0, 1)
    say(
        [
            Claim("stats_100k_in_a_minute", per_s / LEAST_PER_S, 1.0, "60 s of one core", "CPU seconds"),
            Claim("stats_flat_memory", tenth["peak_mb"] / whole["peak_mb"], 0.8, "a tenth of the episodes", "peak MB"),
            Claim("stats_within_error", whole["rank_error"] / max(rank, 1e-9), 1.0, "numpy on all steps", "rank error"),
            Claim("stats_incremental", whole["cpu_s"] / more["cpu_s"], 2.0, "measuring all anew", "CPU seconds"),
        ]
    )


if __name__ == "__main__":
    main()
