"""Curation without pictures: 100,000 episodes of three bodies are measured, judged and compared, within CPU seconds.

Episodes are made here: arms that follow smooth ways, 30 to 90 steps long, a hundredth of them copies of others. Counted
is CPU time of one process over all its threads, so that cores do not matter: first everything, then a second run with
another threshold, which reads columns only. The peer is the same rules given one episode at a time.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from claims import Claim, say

from dataengine.curation.episode_rows import NUMBER_COLUMNS, rows_of
from dataengine.curation.stage import MeasuresNumbers
from dataengine.episode import Episode
from dataengine.store import Corpus, add_episodes
from dataengine.texts import whole_episode
from pipelines.curate import CurateConfig, run
from pipelines.curate.recipe import load_recipe

PART_EPISODES = 2500
BODIES = (("widowx", 5.0, "eef_delta", 7), ("sawyer", 20.0, "eef_delta", 7), ("ur5", 10.0, "eef_pose", 7))
COPIES = 0.01
MINUTE_S = 60.0
ONE_BY_ONE = 1000


def attempts(part: int) -> list[Episode]:
    """Make the episodes of one part."""
    draw = np.random.default_rng(part)
    body, hz, encoding, width = BODIES[part % len(BODIES)]
    made: list[Episode] = []
    for i in range(PART_EPISODES):
        if made and draw.random() < COPIES:
            old = made[int(draw.integers(len(made)))]
            state, action = old.state, old.action
        else:
            state, action = attempt(draw, int(draw.integers(30, 91)), encoding, width)
        time_ns = np.round(np.arange(len(state)) * 1e9 / hz).astype(np.int64)
        made.append(
            Episode(
                dataset=f"lab {part % 7}",
                source_record=f"{part}/{i}",
                source_uri="memory",
                embodiment=body,
                kind="robot",
                control_hz=hz,
                texts=whole_episode(["put the pot on the stove"], len(state)),
                time_ns=time_ns,
                cameras={},
                state=state,
                action=action,
                state_encoding="eef_pose",
                action_encoding=encoding,
            )
        )
    return made


def attempt(draw: np.random.Generator, steps: int, encoding: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(t, 7) state and action of one smooth way with some noise."""
    phase = np.linspace(0, 1, steps + 1)[:, None] * draw.uniform(2, 7, width) + draw.uniform(0, 6, width)
    way = np.array([0.4, 0, 0.2, 3.0, 0, 0, 0.5]) + np.sin(phase) * np.array([0.2, 0.2, 0.1, 0.1, 0.3, 0.5, 0.5])
    state = (way[:-1] + draw.normal(size=(steps, width)) * 0.0002).astype(np.float32)
    action = way[1:].astype(np.float32)
    if encoding == "eef_delta":
        action[:, :6] -= way[:-1, :6].astype(np.float32)
    return state, action


def cpu_s(config: CurateConfig) -> tuple[float, float, dict[str, int]]:
    """CPU and wall seconds of a curation, and what it dropped."""
    cpu, wall = time.process_time(), time.monotonic()
    report = run(config)
    return time.process_time() - cpu, time.monotonic() - wall, {r.rule: r.dropped for r in report.rules if r.dropped}


def one_by_one_s(corpus: Corpus, recipe: str) -> float:
    """CPU seconds an episode to measure without fragments."""
    stages = [stage for stage in load_recipe(recipe).values() if isinstance(stage, MeasuresNumbers)]
    table = corpus.fragment_table(corpus.fragment_ids()[0], NUMBER_COLUMNS)
    start = time.process_time()
    for row in range(ONE_BY_ONE):
        rows = rows_of(table, [row])
        for stage in stages:
            stage.measure(rows)
    return (time.process_time() - start) / ONE_BY_ONE


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=100_000)
    episodes = parser.parse_args().episodes
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.open_or_create(Path(folder) / "corpus")
        copies = 0
        for part in range(episodes // PART_EPISODES):
            made = attempts(part)
            copies += len(made) - len({id(e.state) for e in made})
            add_episodes(corpus, made, f"part {part}")
        episodes = len(corpus)
        steps = int(np.sum(corpus.table(["num_steps"])["num_steps"].to_numpy()))
        rules = Path(folder) / "numbers.yaml"
        names = [n for n, stage in load_recipe("strict").items() if isinstance(stage, MeasuresNumbers)]
        rules.write_text("".join(f"{name}: {{}}\n" for name in names))
        config = CurateConfig(corpus=corpus.uri, recipe=str(rules), page=False)
        first, wall, dropped = cpu_s(config)
        rules.write_text(rules.read_text().replace("drop_short: {}", "drop_short: {min_steps: 35}"))
        again, again_wall, _ = cpu_s(config)
        single = one_by_one_s(corpus, str(rules))
    print(f"{episodes:,} episodes, {steps:,} steps, {len(names)} rules: {', '.join(names)}")
    print(f"measured and judged in {first:.1f} s of CPU, {wall:.1f} s of wall; dropped {dropped}")
    assert dropped == {"drop_duplicates": copies}, f"planted {copies} copies and nothing else"
    print(f"another threshold: {again:.1f} s of CPU, {again_wall:.1f} s of wall")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    scaled = 100_000 / episodes
    say(
        [
            Claim("curate_100k_in_a_minute", MINUTE_S / (first * scaled), 1.0, "60 s of one core", "CPU seconds"),
            Claim("curate_by_fragment", single * episodes / first, 5.0, "one episode at a time", "CPU per episode"),
            Claim("curate_threshold_again", first / again, 2.0, "measuring anew", "CPU seconds"),
        ]
    )


if __name__ == "__main__":
    main()
