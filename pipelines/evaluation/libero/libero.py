"""`villa eval libero`: a policy in closed loop in LIBERO, through the server that robots talk to as well.

The simulators are processes of another environment (`make sim-libero`); they know the policy's address and nothing of
torch. Every episode is kept as it ends: the same command goes on after a kill.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dataengine import progress
from dataengine.errors import DataEngineError
from pipelines.evaluation.libero.arms import Arm, Played, arms, check_policy, job
from pipelines.evaluation.libero.calibrate import status
from pipelines.evaluation.libero.config import LiberoConfig
from pipelines.evaluation.libero.crew import Crew, Simulator
from pipelines.evaluation.libero.environment import ask, find_python
from pipelines.evaluation.libero.results import LiberoReport, arm_result, published
from pipelines.evaluation.libero.server import served
from pipelines.output.folder import claimed

Episode = tuple[Arm, int, int]
"""Who plays, the task, the start."""


def run(config: LiberoConfig) -> LiberoReport:
    """Play what has no result yet, and put all results together."""
    python = find_python(config.python)
    check_policy(config)
    versions = ask(python, "versions")
    calibration = status(config.calibrations, versions)
    if calibration.faults and not config.uncalibrated:
        raise DataEngineError(
            f"LIBERO does not do what golden episodes say: {calibration.faults[0]}; mend it, and `villa eval "
            f"libero-calibrate` again; --uncalibrated insists"
        )
    with claimed(config.out, "eval libero") as folder:
        folder.claim("episodes/", "filmstrips/")
        played_by = arms(config, versions)
        lost = _play(config, played_by, python)
    results = []
    for arm in played_by:
        episodes = [arm.read(task, start) for _, task, start in _episodes(config, [arm])]
        missing = [one for one in lost if one[0] == arm]
        kept = [one for one in episodes if one is not None]
        results.append(arm_result(arm, [*kept, *(one[1] for one in missing)], config.played_tasks))
    if not results[0].episodes:
        why = next(iter(results[0].lost.values()), "nothing was played")
        raise DataEngineError(f"no episode came to its end; the first: {why}")
    return LiberoReport(
        suite=config.suite,
        arms=results,
        protocol=_protocol(config),
        versions=versions,
        published=dict(published(config.suite)) if config.init_set == "official" else {},
        calibration=calibration.said,
        out=str(config.out),
    )


def _episodes(config: LiberoConfig, played_by: Sequence[Arm]) -> list[Episode]:
    """List all episodes, task by task, so that a simulator stays in its scene."""
    return [(arm, task, start) for task in config.played_tasks for arm in played_by for start in range(config.episodes)]


def _play(config: LiberoConfig, played_by: Sequence[Arm], python: Path) -> list[tuple[Arm, Played]]:
    """Play what has no result yet; give what was lost to the simulator."""
    every = _episodes(config, played_by)
    todo = [(arm, task, start) for arm, task, start in every if arm.read(task, start) is None]
    lost = []
    needed = any(arm.policy == "served" for arm, _, _ in todo)
    with (
        served(config, needed=needed) as url,
        progress.task("play libero", len(every), "episodes", done=len(every) - len(todo)) as live,
    ):
        make = partial(
            Simulator, python, "play", suite=config.suite, side=config.image_size, quality=config.render_quality
        )
        jobs = [job(config, arm, task, start, url) for arm, task, start in todo]
        for index, answer in Crew(jobs, make, config.hang_s).play(config.workers):
            arm, task, start = todo[index]
            played = _played(config, arm, task, start, answer)
            if played.lost:
                lost.append((arm, played))
            arm.keep(played)
            live.advance(note=f"{arm.name} task {task}: {'lost' if played.lost else played.success}")
    return lost


def _played(config: LiberoConfig, arm: Arm, task: int, start: int, answer: dict[str, Any]) -> Played:
    """Make of an answer what is kept."""
    if answer["event"] != "ended":
        return Played(task=task, start=start, lost=answer["why"])
    film = arm.film(task, start)
    facts = {key: value for key, value in answer.items() if key != "event"}
    return Played(task=task, start=start, filmstrip=str(film.relative_to(config.out)) if film.exists() else "", **facts)


def _protocol(config: LiberoConfig) -> dict[str, str | int | float]:
    """Name every constant that changes a score."""
    return {
        "starts": config.init_set,
        "reset before each start": "yes",
        "settle steps": config.settle_steps,
        "max steps": config.step_limit,
        "control Hz": 20,
        "executed of a chunk": config.action_steps,
        "pictures": f"{config.image_size} px, both cameras turned by 180 degrees",
        "rendering": config.render_quality,
        "gripper": config.gripper,
        "success": "at any step, which ends the episode" if config.success == "any" else "at the last step",
    }
