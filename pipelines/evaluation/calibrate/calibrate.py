"""`villa eval calibrate`: does the installed simulator do what recordings say?

Success alone does not tell: turned pictures, a newer renderer, late actions or a missing reset leave it as it was. So
recorded actions are played open loop, and poses, pictures and success are held against the recording.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from dataengine.errors import DataEngineError
from dataengine.report import Report
from dataengine.vector_layout import VectorLayout
from dataengine.whole_file import write_whole
from pipelines.evaluation.calibrate import golden
from pipelines.evaluation.calibrate.config import Bounds, CalibrateConfig
from pipelines.evaluation.calibrate.fingerprint import Fingerprint, file_of, render_settings, versions
from pipelines.evaluation.calibrate.likeness import Likeness, likeness, recordings
from pipelines.evaluation.calibrate.rollout import Deviation, Rollout, record, replay
from pipelines.evaluation.simulators._base import ALIASES, Simulator, default_tasks, simulator_class
from pipelines.evaluation.simulators._process import SimulatorProcess
from pipelines.output.folder import claimed
from pipelines.output.text_table import text_table

GOLDEN_SEED = 7
PLAYED = 6
"""Episodes of the expert that are held against recordings whose starts are not known."""


class CalibrateReport(Report):
    """How far a simulator strays, and from what."""

    ok: bool
    """False when something strays too far."""
    simulator: str
    demos: str
    deviations: list[Deviation]
    likeness: list[Likeness] = Field(default_factory=list)
    """Of recordings whose starts are not known, which nothing can repeat."""
    faults: list[str]
    out: str
    golden_made: str = ""
    """File of golden rollouts that was made from what is installed; it proves nothing yet."""

    def summary(self) -> str:
        """Print a table, and what strays too far."""
        head = ["task", "seed", "position, mm", "rotation, deg", "other", "grey levels", "done after"]
        rows = [
            [
                one.task,
                str(one.seed),
                f"{one.position_mm:.3g}",
                f"{one.rotation_deg:.3g}",
                f"{one.other:.3g}",
                f"{one.grey_levels:.3g}" + (f" ({one.camera})" if one.camera else ""),
                f"{one.success_step} of {one.expected_success_step}",
            ]
            for one in self.deviations
        ]
        lines = [text_table(head, rows)] if rows else []
        lines += [_alike(self.likeness)] if self.likeness else []
        lines += [f"not as recorded: {fault}" for fault in self.faults]
        lines += [f"golden rollouts made: {self.golden_made}"] if self.golden_made else []
        verdict = "calibrated" if self.ok else "NOT calibrated"
        if self.likeness:
            verdict = "alike, but no start is known and nothing was repeated," if self.ok else "NOT alike"
        return "\n".join([*lines, f"{self.simulator}: {verdict} against {self.demos}; {self.out}"])


def _alike(rows: Sequence[Likeness]) -> str:
    """Tell by task how recordings and the simulator compare."""
    head = ["task", "recordings", "played", "first pictures, grey levels", "starts", "hand's way", "gripper's way"]
    cells = [
        [
            *(one.task, str(one.recordings), str(one.played)),
            f"{one.grey_levels:.3g}" + (f" ({one.camera})" if one.camera else ""),
            "-" if one.start is None else f"{one.start:.3g}",
            *("-" if times is None else f"{times:.2f} x" for times in (one.response, one.gripper_response)),
        ]
        for one in rows
    ]
    return text_table(head, cells)


def run(config: CalibrateConfig) -> CalibrateReport:
    """Replay rollouts and keep what was found."""
    simulator_class(config.simulator)
    name = ALIASES.get(config.simulator, config.simulator)
    made = ""
    if config.golden is not None and not config.golden.exists():
        made = str(config.golden)
        golden.save(config.golden, _recorded(config), versions())
    demos, expected = _expected(config, name)
    if not expected:
        return _compared(config, name)
    return concluded(config, name, demos, _replayed(config, expected), versions(), render_settings(), made)


def _compared(config: CalibrateConfig, name: str) -> CalibrateReport:
    """Hold recordings whose starts are not known against episodes of the simulator's expert."""
    kind = simulator_class(name)
    by_task = recordings(config.demos, kind, config.tasks)
    rows = []
    with SimulatorProcess(config.simulator, config.step_timeout_s) as process:
        for task, recorded in by_task.items():
            made = process.make(task)
            played = [record(made, task, GOLDEN_SEED + i) for i in range(PLAYED)]
            rows.append(likeness(task, recorded, played, kind, config))
    return concluded(config, name, config.demos, [], versions(), render_settings(), "", rows)


def concluded(
    config: Bounds,
    simulator: str,
    demos: str,
    deviations: list[Deviation],
    versions: dict[str, str],
    render: dict[str, str],
    golden_made: str,
    likeness: Sequence[Likeness] = (),
) -> CalibrateReport:
    """Judge what strays, and keep that for evaluations."""
    faults = [fault for one in deviations for fault in faults_of(one, config)]
    faults += [fault for one in likeness for fault in one.faults]
    mark = Fingerprint(
        simulator=simulator,
        demos=demos,
        versions=versions,
        render=render,
        deviations=deviations,
        likeness=list(likeness),
        faults=faults,
    )
    with claimed(config.out, "eval calibrate") as out:
        path = file_of(config.out, simulator)
        out.claim(path.name)
        write_whole(path, mark.model_dump_json(indent=2))
    return CalibrateReport(
        ok=not faults,
        simulator=simulator,
        demos=demos,
        deviations=deviations,
        likeness=list(likeness),
        faults=faults,
        out=str(path),
        golden_made=golden_made,
    )


def _expected(config: CalibrateConfig, name: str) -> tuple[str, list[Rollout]]:
    """Read what the simulator must repeat; nothing where the starts of demonstrations are not known."""
    if config.demos:
        from pipelines.evaluation.calibrate.demos import read_demos

        demos, rollouts = config.demos, read_demos(config.demos, simulator_class(name))
        if not rollouts:
            return demos, []
    else:
        path: Path = config.golden or golden.shipped(name.rpartition(":")[2])
        if not path.exists():
            raise DataEngineError(
                f"{name}: no golden rollouts come with it; record some (`villa eval {name} expert --record DIR`, then "
                f"ingest DIR) and give them as --demos, or have a file made by --golden FILE"
            )
        demos, (rollouts, _) = path.name if config.golden else "the golden rollouts", golden.load(path)
    return demos, chosen(config, demos, rollouts)


def chosen(config: CalibrateConfig, demos: str, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """Take some rollouts of each task that is wanted; raise DataEngineError where there are none."""
    wanted = config.tasks or tuple(dict.fromkeys(one.task for one in rollouts))
    kept = [one for task in wanted for one in [r for r in rollouts if r.task == task][: config.episodes]]
    if not kept:
        raise DataEngineError(
            f"{demos}: has no rollouts of {', '.join(wanted)}, but of "
            f"{', '.join(sorted({one.task for one in rollouts})) or 'nothing'}"
        )
    return kept


def _recorded(config: CalibrateConfig) -> list[Rollout]:
    """Record golden rollouts."""
    with SimulatorProcess(config.simulator, config.step_timeout_s) as process:
        tasks = config.tasks or default_tasks(simulator_class(config.simulator))
        return [record(process.make(task), task, GOLDEN_SEED) for task in tasks]


def _replayed(config: CalibrateConfig, rollouts: Sequence[Rollout]) -> list[Deviation]:
    """Replay rollouts, each in a simulator of its own."""
    kind = simulator_class(config.simulator)
    with SimulatorProcess(config.simulator, config.step_timeout_s) as process:
        return [replay(process.make(one.task), one, state_layout(kind, one)) for one in rollouts]


def state_layout(kind: type[Simulator], rollout: Rollout) -> VectorLayout:
    """Lay out the states of a simulator."""
    return VectorLayout.of(getattr(kind, "state_encoding", "eef_pose"), rollout.states.shape[1])


def faults_of(one: Deviation, config: Bounds) -> list[str]:
    """Say what strays too far, a line each."""
    where = f"{one.task}, seed {one.seed}"
    bounds = (
        ("the hand strays", one.position_mm, config.max_position_mm, "mm"),
        ("the hand is turned off", one.rotation_deg, config.max_rotation_deg, "degrees"),
        ("grippers or joints stray", one.other, config.max_other, ""),
        (f"pictures of camera {one.camera} differ", one.grey_levels, config.max_grey_levels, "grey levels"),
    )
    lines = [
        f"{where}: {what} by {value:.3g} {unit}, at most {most:g} may be".replace("  ", " ").replace(" ,", ",")
        for what, value, most, unit in bounds
        if not value <= most
    ]
    lines += [f"{where}: the simulator has no camera {camera}" for camera in one.missing_cameras]
    if (one.success_step < 0) != (one.expected_success_step < 0):
        done = "never done" if one.success_step < 0 else f"done after {one.success_step} steps"
        lines.append(f"{where}: the task was {done}, the recording says {one.expected_success_step} (-1 for never)")
    return lines
