"""Plays a policy in closed loop on starts that training never saw, beside baselines that say what a figure is worth.

Success is the simulator's own flag at any step of an episode. Every episode is kept as it ends, so that a killed
evaluation goes on; a policy that was trained further is evaluated anew.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import ValidationError

from dataengine import progress
from dataengine.errors import DataEngineError
from dataengine.whole_file import write_whole
from pipelines.device import pick_device
from pipelines.evaluation.calibrate.fingerprint import status
from pipelines.evaluation.config import BASELINES, EvalConfig, PlayConfig
from pipelines.evaluation.contract import refuse, stated_mismatches
from pipelines.evaluation.episodes import Outcome
from pipelines.evaluation.expectation import expectation
from pipelines.evaluation.playing import Job, play_all
from pipelines.evaluation.remote import is_server
from pipelines.evaluation.results import EvalReport, Filmstrip, Lost, TaskResult, wilson
from pipelines.evaluation.rollouts import RolloutFiles, file_of
from pipelines.evaluation.simulators._base import ALIASES, Simulator, default_tasks, num_starts, simulator_class
from pipelines.evaluation.unit import Unit, make_unit
from pipelines.output.folder import Before, claimed, sources_at
from pipelines.training.act.stated import unfinished

OLD_RESULTS = Before(r"results/[\w.-]+-[0-9a-f]{8}\.(json|partial)|filmstrips/[\w.-]+\.jpg", lambda _: True)


def run(config: EvalConfig) -> EvalReport:
    """Evaluate one policy on all tasks, two tasks at a time."""
    with claimed(config.out, "eval", before=OLD_RESULTS, sources=sources_at(config.demonstrations)) as out:
        out.claim("results/", "episodes/", "filmstrips/", "videos/", "rollouts/")
        return _run(config)


def _run(config: EvalConfig) -> EvalReport:
    """Play what has no result yet, and put all results together."""
    simulator = simulator_class(config.simulator)
    is_here = config.policy not in BASELINES and not is_server(config.policy)
    if is_here and config.device is not None:
        pick_device(config.device)  # what is not there is said before anything is played
    calibration = require_calibration(config)
    units = [make_unit(config, task) for task in config.tasks or default_tasks(simulator)]
    acts_as = "" if config.policy in BASELINES else fitting_dataset(config, config.policy)
    missing = [unit for unit in units if unit.records or _kept(unit) is None]
    with progress.task(f"evaluate {units[0].name}", sum(unit.episodes for unit in missing), "episodes") as live:
        jobs = [Job(unit, unit.seeds) for unit in missing]
        for index, outcomes in play_all(jobs, config.processes, live.advance):
            result = _result(missing[index], outcomes)
            write_whole(missing[index].result_file, result.model_dump_json(indent=2))
            live.advance(0, note=f"{result.task} {result.successes}/{result.episodes}")
    results = [TaskResult.model_validate_json(unit.result_file.read_bytes()) for unit in units]
    successes, episodes = sum(r.successes for r in results), sum(r.episodes for r in results)
    low, high = wilson(successes, episodes)
    return EvalReport(
        policy=units[0].name,
        simulator=config.simulator,
        results=results,
        successes=successes,
        episodes=episodes,
        low=low,
        high=high,
        acts_as=acts_as,
        warnings=[*_warnings(config), *_notes(simulator, [unit.task for unit in missing])],
        published=getattr(simulator, "published", ""),
        calibration=calibration,
        unfinished=unfinished(config.policy) if is_here else "",
        out=str(config.out),
        filmstrips=str(config.out / "filmstrips") if config.num_filmstrips else "",
    )


def _kept(unit: Unit) -> TaskResult | None:
    """Give the result of an earlier call; None where there is none, or a damaged one: its episodes are counted anew."""
    try:
        return TaskResult.model_validate_json(unit.result_file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def rollout_files(config: EvalConfig) -> RolloutFiles:
    """Say where the episodes of an evaluation are kept with all that was seen and done."""
    simulator = simulator_class(config.simulator)
    units = [make_unit(config, task) for task in config.tasks or default_tasks(simulator)]
    files = [file_of(config.out, unit.journal.path.stem, seed) for unit in units for seed in unit.seeds]
    return RolloutFiles(out=config.out, policy=config.policy, simulator=simulator, files=files)


def fitting_dataset(config: PlayConfig, policy: str) -> str:
    """Name the dataset that a policy acts as in; raise DataEngineError where it does not fit the simulator."""
    simulator = simulator_class(config.simulator)
    expected = expectation(policy, simulator, config.acts_as)
    refuse([*stated_mismatches(expected, simulator)], config.accept, policy)
    return expected.dataset


def require_calibration(config: PlayConfig) -> str:
    """Say whether the simulator is calibrated; raise DataEngineError where its calibration failed."""
    known = status(config.calibration, ALIASES.get(config.simulator, config.simulator))
    if known.faults and not config.uncalibrated:
        raise DataEngineError(
            f"{config.simulator}: does not do what was recorded ({known.faults[0]}), and a score "
            f"would say nothing; mend it and run `villa eval calibrate {config.simulator}`, or insist with "
            f"--uncalibrated"
        )
    return known.said


def _notes(simulator: type[Simulator], played: Sequence[str]) -> list[str]:
    """Ask a simulator what it lacks to be the benchmark that it is called after."""
    notes = getattr(simulator, "notes", None)
    return list(notes(played)) if notes is not None else []


def _warnings(config: EvalConfig) -> list[str]:
    """Say what makes rates worth less than they look."""
    simulator = simulator_class(config.simulator)
    least = getattr(simulator, "least_episodes", 0)
    starts = max(num_starts(simulator, task) for task in config.tasks or default_tasks(simulator))
    warnings = []
    if config.episodes < least:
        warnings.append(f"{config.episodes} episodes a task are noise, {simulator.name} asks for {least} or more")
    if starts and config.episodes > starts and config.policy not in BASELINES and config.noise == "zero":
        warnings.append(
            f"a task has {starts} starts, and without noise the {config.episodes} episodes repeat them: --set "
            f"noise=normal, or a server that draws it"
        )
    return warnings


def _result(unit: Unit, outcomes: Sequence[Outcome]) -> TaskResult:
    """Count what was played; raise DataEngineError where the simulator brought no episode to its end."""
    played, lost = [one for one in outcomes if not one.lost], [one for one in outcomes if one.lost]
    if not played:
        raise DataEngineError(
            f"{unit.simulator} {unit.task}: no episode came to its end, {len(lost)} were lost to the simulator; start "
            f"{lost[0].seed}: {lost[0].lost}; remove {unit.journal.path} to try them again"
        )
    won = [one for one in played if one.success]
    low, high = wilson(len(won), len(played))
    ever = [one.solved_ever for one in played]
    return TaskResult(
        policy=unit.name,
        task=unit.task,
        instruction=unit.instruction,
        instruction_override=unit.override,
        successes=len(won),
        episodes=len(played),
        solved_ever=None if None in ever else sum(map(bool, ever)),
        rate=len(won) / len(played),
        low=low,
        high=high,
        mean_steps=float(np.mean([one.steps for one in won])) if won else 0.0,
        failed_seeds=[one.seed for one in played if not one.success],
        seeds=[one.seed for one in played],
        lost=[Lost(seed=one.seed, reason=one.lost) for one in lost],
        filmstrips=[
            Filmstrip(image=one.filmstrip, seed=one.seed, success=one.success, steps=one.steps)
            for one in played
            if one.filmstrip
        ],
        videos=[one.video for one in played if one.video],
        seconds=sum(one.seconds for one in played),
    )
