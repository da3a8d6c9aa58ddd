"""`villa eval libero`: a policy in closed loop in LIBERO, through the server that robots talk to as well.

The simulators are processes of another environment (`make sim-libero`); they know the policy's address and nothing of
torch. Every episode is kept as it ends: the same command goes on after a kill.
"""

from collections.abc import Sequence
from pathlib import Path

from dataengine import progress
from dataengine.errors import DataEngineError
from pipelines.evaluation.libero.arms import Arm, Played, arms, check_policy
from pipelines.evaluation.libero.calibrate import required_status
from pipelines.evaluation.libero.config import LiberoConfig
from pipelines.evaluation.libero.contract import require_fit
from pipelines.evaluation.libero.environment import ask, find_python
from pipelines.evaluation.libero.playing import Episode, play_episodes
from pipelines.evaluation.libero.remote import scene_class
from pipelines.evaluation.libero.results import LiberoReport, arm_result, published, write_results
from pipelines.evaluation.libero_rules import CONTROL_HZ
from pipelines.evaluation.rollouts import RolloutFiles
from pipelines.output.folder import claimed


def run(config: LiberoConfig) -> LiberoReport:
    """Play what has no result yet, and put all results together."""
    python = find_python(config.python)
    check_policy(config)
    versions = ask(python, "versions")
    calibration = required_status(config.calibrations, versions, uncalibrated=config.uncalibrated)
    with claimed(config.out, "eval libero") as folder:
        folder.claim("episodes/", "filmstrips/", "results/", "rollouts/")
        played_by = arms(config, versions)
        every = _episodes(config, played_by)
        todo = [(arm, task, start) for arm, task, start in every if arm.is_missing(task, start)]
        fits = require_fit(config, python, looks=any(arm.policy == "served" for arm, _, _ in todo))
        lost = _play(todo, len(every), python)
        kept = {arm.name: [one for one in map(arm.read, *_starts(config)) if one is not None] for arm in played_by}
        write_results(config, played_by, kept)
    results = []
    for arm in played_by:
        missing = [played for lost_arm, played in lost if lost_arm == arm]
        results.append(arm_result(arm, [*kept[arm.name], *missing], config.played_tasks))
    if not results[0].episodes:
        why = next(iter(results[0].lost.values()), "nothing was played")
        raise DataEngineError(f"no episode came to its end; the first: {why}")
    return LiberoReport(
        suite=config.suite,
        arms=results,
        protocol=_protocol(config),
        versions=versions,
        published=dict(published(config.suite)) if config.init_set == "official" else {},
        calibration=calibration,
        contract=fits,
        out=str(config.out),
    )


def rollout_files(config: LiberoConfig) -> RolloutFiles:
    """Say where the policy's episodes are kept with all that was seen and done."""
    python = find_python(config.python)
    check_policy(config)
    arm, *_ = arms(config, ask(python, "versions"))
    files = [arm.rollout(task, start) for task in config.played_tasks for start in range(config.episodes)]
    kind = scene_class(config.embodiment)
    return RolloutFiles(out=config.out, policy=config.decider, simulator=kind, files=files)


def _episodes(config: LiberoConfig, played_by: Sequence[Arm]) -> list[Episode]:
    """List all episodes, task by task, so that a simulator stays in its scene."""
    return [(arm, task, start) for task in config.played_tasks for arm in played_by for start in range(config.episodes)]


def _starts(config: LiberoConfig) -> tuple[list[int], list[int]]:
    """List the task and the number of every start."""
    pairs = [(task, start) for task in config.played_tasks for start in range(config.episodes)]
    return [task for task, _ in pairs], [start for _, start in pairs]


def _play(todo: Sequence[Episode], total: int, python: Path) -> list[tuple[Arm, Played]]:
    """Play; give what was lost to the simulator."""
    lost = []
    with progress.task("play libero", total, "episodes", done=total - len(todo)) as live:
        for (arm, task, _), played in play_episodes(todo, python):
            if played.lost:
                lost.append((arm, played))
            live.advance(note=f"{arm.name} task {task}: {'lost' if played.lost else played.success}")
    return lost


def _protocol(config: LiberoConfig) -> dict[str, str | int | float]:
    """Name every constant that changes a score."""
    return {
        "starts": config.init_set,
        "reset before each start": "yes",
        "settle steps": config.settle_steps,
        "max steps": config.step_limit,
        "control Hz": int(CONTROL_HZ),
        "executed of a chunk": config.action_steps,
        "pictures": f"{config.image_size} px, both cameras turned by 180 degrees",
        "rendering": config.render_quality,
        "gripper": config.gripper,
        "success": "at any step, which ends the episode" if config.success == "any" else "at the last step",
    }
