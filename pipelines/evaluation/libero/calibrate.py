"""`villa eval calibrate libero`: does the installed LIBERO do what golden episodes, or recordings in a corpus, say?

Episodes are played open loop. Success alone is nearly blind: turned pictures, a newer renderer, a zeroed rotation, late
actions or a missing reset leave it as it was. The golden ones are three of the scripted expert from official starts,
drawn in both qualities.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from dataengine import progress
from dataengine.errors import DataEngineError
from dataengine.vector_layout import VectorLayout
from pipelines.evaluation.calibrate import golden
from pipelines.evaluation.calibrate.calibrate import CalibrateReport, chosen, concluded
from pipelines.evaluation.calibrate.config import CalibrateConfig
from pipelines.evaluation.calibrate.fingerprint import Status, status_among
from pipelines.evaluation.calibrate.rollout import Deviation, Rollout, record, replay
from pipelines.evaluation.libero.config import DEFAULT_SUITE as SUITE
from pipelines.evaluation.libero.demos import Demo, read_demos
from pipelines.evaluation.libero.environment import ask, find_python
from pipelines.evaluation.libero.remote import SIDE, RemoteScene
from pipelines.evaluation.libero_rules import LIBERO

GOLDEN = {quality: Path(__file__).parent / f"golden_{quality}.npz" for quality in ("fast", "full")}
EPISODES = ((0, 0), (1, 1), (4, 3))
"""Tasks of LIBERO-Object and official starts: an object that stands, a flat one, one that is tall."""
FULL = ", full rendering"
"""Marks golden episodes whose pictures are drawn as the benchmark draws them."""


def run(config: CalibrateConfig) -> CalibrateReport:
    """Replay episodes and keep what comes out."""
    python = find_python(config.libero.python)
    versions = {name: str(version) for name, version in ask(python, "versions").items()}
    made = ""
    if config.golden is not None and not config.golden.exists():
        made = str(config.golden)
        golden.save(config.golden, [_recorded(config, python, *each) for each in EPISODES], versions)
    if config.demos:
        demos, replays = config.demos, read_demos(config.demos, config.libero.render_quality)
    else:
        demos = config.golden.name if config.golden else "the golden rollouts"
        files = [config.golden] if config.golden else [*GOLDEN.values()]
        replays = [_golden_demo(rollout) for file in files for rollout in golden.load(file)[0]]
    wanted = chosen(config, demos, [one.rollout for one in replays])
    deviations = []
    with progress.task("calibrate libero", len(wanted), "episodes") as live:
        for one in replays:
            if any(one.rollout is rollout for rollout in wanted):
                deviations.append(_replayed(config, python, one))
                live.advance(note=one.rollout.task)
    return concluded(config, LIBERO, demos, deviations, versions, {}, made)


def _recorded(config: CalibrateConfig, python: Path, task: int, start: int) -> Rollout:
    quality = config.libero.render_quality
    with RemoteScene(python, task, quality=quality, silence_s=config.step_timeout_s) as scene:
        return record(scene, f"{SUITE}/{task}{FULL if quality == 'full' else ''}", start)


def _golden_demo(rollout: Rollout) -> Demo:
    """Find what is to be played in a golden episode's name."""
    match = re.fullmatch(rf"{SUITE}/(\d+)({FULL})?", rollout.task)
    if match is None:
        raise DataEngineError(f"'{rollout.task}' is no golden episode of LIBERO, expected {SUITE}/NUMBER")
    return Demo(rollout, SUITE, int(match[1]), "official", SIDE, "full" if match[2] else "fast")


def _replayed(config: CalibrateConfig, python: Path, one: Demo) -> Deviation:
    with RemoteScene(
        python,
        one.task,
        suite=one.suite,
        side=one.side,
        quality=one.quality,
        init_set=one.init_set,
        silence_s=config.step_timeout_s,
    ) as scene:
        scene.looks_at = {step for by_step in one.rollout.looks.values() for step in by_step}
        return replay(scene, one.rollout, VectorLayout.of("eef_pose", one.rollout.states.shape[1]))


def status(folder: Path, versions: Mapping[str, str]) -> Status:
    """Say whether the installed LIBERO was calibrated, and how."""
    return status_among(folder, LIBERO, versions, "`villa eval calibrate libero` checks it", "{} episodes")


def required_status(folder: Path, versions: Mapping[str, str], *, uncalibrated: bool) -> str:
    """Say whether the installed LIBERO was calibrated; raise DataEngineError where its calibration failed."""
    known = status(folder, versions)
    if known.faults and not uncalibrated:
        raise DataEngineError(
            f"LIBERO does not do what golden episodes say: {known.faults[0]}; mend it, and `villa eval calibrate "
            f"libero` again; --uncalibrated insists"
        )
    return known.said
