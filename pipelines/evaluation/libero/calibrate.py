"""`villa eval libero-calibrate`: does the installed LIBERO do what golden episodes say?

Three episodes of the scripted expert from official starts are played open loop. Success alone is nearly blind: turned
pictures, a newer renderer, a zeroed rotation, late actions or a missing reset leave it as it was.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from dataengine import progress
from dataengine.config import Config
from dataengine.vector_layout import VectorLayout
from dataengine.whole_file import write_whole
from pipelines.evaluation.calibrate import golden
from pipelines.evaluation.calibrate.calibrate import CalibrateReport, faults_of
from pipelines.evaluation.calibrate.config import CALIBRATIONS, CalibrateConfig
from pipelines.evaluation.calibrate.fingerprint import Fingerprint, Status, file_of
from pipelines.evaluation.calibrate.rollout import Deviation, Rollout, record, replay
from pipelines.evaluation.libero.environment import ask, find_python
from pipelines.evaluation.libero.remote import RemoteScene
from pipelines.output.folder import claimed

GOLDEN = Path(__file__).parent / "golden.npz"
EPISODES = ((0, 0), (1, 1), (4, 3))
"""Tasks of LIBERO-Object and official starts: an object that stands, a flat one, one that is tall."""
NAME = "libero"


class LiberoCalibrateConfig(Config):
    """By how much LIBERO may stray from the golden episodes."""

    out: Path = CALIBRATIONS
    """Folder of calibrations."""
    golden: Path | None = None
    """File of golden episodes; made from what is installed where it is not there yet. By default the one that comes
    with this package."""
    python: str = ""
    """Python of the environment that `make sim-libero` makes; by default `.venv-libero/bin/python`, or what the
    environment variable `VILLA_LIBERO_PYTHON` says."""
    max_position_mm: float = Field(1.0, gt=0, le=1e6)
    """How far the hand may stray."""
    max_rotation_deg: float = Field(0.1, gt=0, le=360)
    """How far the hand may turn off."""
    max_other: float = Field(0.01, gt=0, le=1e6)
    """How far the gripper (0 closed to 1 open) may stray."""
    max_grey_levels: float = Field(1.0, gt=0, le=255)
    """How far a picture may differ, on average over its blocks."""


def run(config: LiberoCalibrateConfig) -> CalibrateReport:
    """Replay the golden episodes and keep what comes out."""
    python = find_python(config.python)
    versions = {name: str(version) for name, version in ask(python, "versions").items()}
    path, made = config.golden or GOLDEN, ""
    if not path.exists():
        made = str(path)
        golden.save(path, [_recorded(python, task, start) for task, start in EPISODES], versions)
    rollouts, _ = golden.load(path)
    deviations = []
    with progress.task("calibrate libero", len(rollouts), "episodes") as live:
        for rollout in rollouts:
            deviations.append(_replayed(python, rollout))
            live.advance(note=rollout.task)
    bounds = {key: getattr(config, key) for key in CalibrateConfig.model_fields if key.startswith("max_")}
    faults = [fault for one in deviations for fault in faults_of(one, CalibrateConfig(simulator=NAME, **bounds))]
    demos = path.name if config.golden else "the golden rollouts"
    mark = Fingerprint(simulator=NAME, demos=demos, versions=versions, render={}, deviations=deviations, faults=faults)
    with claimed(config.out, "eval calibrate") as folder:
        file = file_of(config.out, NAME)
        folder.claim(file.name)
        write_whole(file, mark.model_dump_json(indent=2))
    return CalibrateReport(
        ok=not faults,
        simulator=NAME,
        demos=demos,
        deviations=deviations,
        faults=faults,
        out=str(file),
        golden_made=made,
    )


def _recorded(python: Path, task: int, start: int) -> Rollout:
    with RemoteScene(python, task) as scene:
        return record(scene, _task_name(task), start)


def _replayed(python: Path, rollout: Rollout) -> Deviation:
    with RemoteScene(python, int(rollout.task.rpartition("/")[2])) as scene:
        return replay(scene, rollout, VectorLayout.of("eef_pose", rollout.states.shape[1]))


def _task_name(task: int) -> str:
    return f"libero_object/{task}"


def status(folder: Path, versions: Mapping[str, str]) -> Status:
    """Say whether the installed LIBERO was calibrated, and how."""
    advice = "`villa eval libero-calibrate` checks it"
    try:
        known = Fingerprint.model_validate_json(file_of(folder, NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Status(calibrated=False, said=f"not calibrated; {advice}")
    except (OSError, ValidationError):
        return Status(calibrated=False, said=f"not calibrated ({file_of(folder, NAME)} is damaged); {advice}")
    changed = sorted(
        key for key in known.versions.keys() | versions.keys() if known.versions.get(key) != versions.get(key)
    )
    if changed:
        return Status(calibrated=False, said=f"not calibrated since {', '.join(changed)} changed; {advice}")
    if known.faults:
        return Status(calibrated=False, said=f"calibration failed: {known.faults[0]}", faults=known.faults)
    within = f"{known.position_mm:.2g} mm, {known.grey_levels:.2g} grey levels"
    return Status(calibrated=True, said=f"{len(known.deviations)} episodes of {known.demos} within {within}")
