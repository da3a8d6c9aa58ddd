"""Plays episodes of LIBERO in simulators of another environment, and keeps each as it ends."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.evaluation.libero.arms import Arm, Played, job
from pipelines.evaluation.libero.crew import Crew, Simulator
from pipelines.evaluation.libero.server import served

Episode = tuple[Arm, int, int]
"""Who plays, the task, the start."""


def play_episodes(
    wanted: Sequence[Episode], python: Path, *, ahead: int | None = None
) -> Generator[tuple[Episode, Played], None, None]:
    """Yield episodes as they end; servers of the policies run as long.

    A simulator keeps to its scene among the `ahead` episodes that come next, None for all of them.
    """
    if not wanted:
        return
    config = wanted[0][0].config
    with ExitStack() as servers:
        addresses = {}
        for arm, _, _ in wanted:
            if arm.policy == "served" and arm.config.decider not in addresses:
                addresses[arm.config.decider] = servers.enter_context(served(arm.config))
        make = partial(
            Simulator, python, "play", suite=config.suite, side=config.image_size, quality=config.render_quality
        )
        jobs = [job(arm, task, start, addresses.get(arm.config.decider, "")) for arm, task, start in wanted]
        for index, answer in Crew(jobs, make, config.hang_s, ahead).play(config.workers):
            arm, task, start = wanted[index]
            played = _played(arm, task, start, answer)
            arm.keep(played)
            yield wanted[index], played


def _played(arm: Arm, task: int, start: int, answer: dict[str, Any]) -> Played:
    """Make of an answer what is kept."""
    if answer["event"] != "ended":
        return Played(task=task, start=start, lost=answer["why"])
    film = arm.film(task, start)
    facts = {key: value for key, value in answer.items() if key != "event"}
    relative = str(film.relative_to(arm.config.out)) if film.exists() else ""
    return Played(task=task, start=start, filmstrip=relative, **facts)
