"""`villa eval libero-calibrate`: does the installed LIBERO do what golden episodes say?

Three episodes of the scripted expert from official starts are played open loop. Success alone is nearly blind: turned
pictures, a newer renderer, a zeroed rotation, late actions or a missing reset leave it as it was.
"""

from collections.abc import Mapping
from pathlib import Path

from dataengine import progress
from dataengine.vector_layout import VectorLayout
from pipelines.evaluation.calibrate import golden
from pipelines.evaluation.calibrate.calibrate import CalibrateReport, concluded
from pipelines.evaluation.calibrate.config import Bounds
from pipelines.evaluation.calibrate.fingerprint import Status, status_among
from pipelines.evaluation.calibrate.rollout import Deviation, Rollout, record, replay
from pipelines.evaluation.libero.environment import ask, find_python
from pipelines.evaluation.libero.remote import RemoteScene

GOLDEN = Path(__file__).parent / "golden.npz"
EPISODES = ((0, 0), (1, 1), (4, 3))
"""Tasks of LIBERO-Object and official starts: an object that stands, a flat one, one that is tall."""
NAME = "libero"


class LiberoCalibrateConfig(Bounds):
    """By how much LIBERO may stray from the golden episodes."""

    golden: Path | None = None
    """File of golden episodes; made from what is installed where it is not there yet. By default the one that comes
    with this package."""
    python: str = ""
    """Python of the environment that `make sim-libero` makes; by default `.venv-libero/bin/python`, or what the
    environment variable `VILLA_LIBERO_PYTHON` says."""


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
    demos = path.name if config.golden else "the golden rollouts"
    return concluded(config, NAME, demos, deviations, versions, {}, made)


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
    return status_among(folder, NAME, versions, "`villa eval libero-calibrate` checks it", "{} episodes")
